"""Segments: rows that were appended to a chunk of a published table, beside those that a load made."""

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"


def upgrade() -> None:
    """Make the tables; chunks of before have what a load made alone."""
    op.create_table(
        "segments",
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.BigInteger(), nullable=False, comment="0: what a load made."),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("overlap_row_count", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.BigInteger(), nullable=True, comment="That appended it; NULL: a load, or several."),
        sa.Column("counted", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("replaced", sa.BigInteger(), nullable=True, comment="Version of the catalogue that names another instead."),
        sa.ForeignKeyConstraint(
            ["table_id", "chunk"], ["chunks.table_id", "chunks.chunk"], name=op.f("segments_table_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("table_id", "chunk", "segment", name=op.f("segments_pkey")),
        comment="What a chunk's rows are in, where that is not what a load made alone.",
    )
    op.add_column(
        "czars",
        sa.Column("oldest", sa.BigInteger(), nullable=True, comment="No query of it was planned with a version before this one."),
    )
    op.add_column(
        "catalogue_version",
        sa.Column("whole", sa.BigInteger(), nullable=False, server_default="0", comment="Of the last change of more than chunks."),
    )
    op.execute("UPDATE catalogue_version SET whole = version")
    op.create_table(
        "chunk_changes",
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", "table_id", "chunk", name=op.f("chunk_changes_pkey")),
        comment="What changed with each of the last versions of the catalogue that changed chunks alone.",
    )
    op.create_table(
        "segment_builds",
        sa.Column("segment", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="append or merge."),
        sa.CheckConstraint("kind IN ('append', 'merge')", name=op.f("segment_builds_kind_check")),
        sa.PrimaryKeyConstraint("segment", name=op.f("segment_builds_pkey")),
        comment="Segments that nodes may have and that do not count: they are made now, or are left of who died.",
    )
