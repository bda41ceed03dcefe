"""Asynchronous queries, the czars that run them, and what is asked of a running query."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Make the tables."""
    moment = sa.DateTime(timezone=True)
    op.add_column("queries", sa.Column("error_code", sa.Text()))
    op.add_column("queries", sa.Column("czar_id", sa.Text(), comment="Who runs it, or ran it."))
    done = "While it runs, written about every second; chunk_count is its total."
    op.add_column("queries", sa.Column("chunks_done", sa.Integer(), comment=done))
    op.add_column("queries", sa.Column("cancel_requested", sa.Boolean(), server_default="false", nullable=False))
    op.create_index("queries_executing", "queries", ["czar_id"], postgresql_where=sa.text("state = 'executing'"))
    op.create_table(
        "czars",
        sa.Column("czar_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("seen", moment, nullable=False, comment="Last sign of life, by the clock of this database."),
        sa.PrimaryKeyConstraint("czar_id", name=op.f("czars_pkey")),
        comment="Czars that run. One without a sign of life for the time of its lease is dead, and its row goes.",
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("max_rows", sa.BigInteger(), nullable=False, comment="Rows of the result at the most."),
        sa.Column("state", sa.Text(), nullable=False, comment="queued, running, completed, failed or cancelled."),
        sa.Column("cancel_requested", sa.Boolean(), server_default="false", nullable=False),
        sa.Column(
            "deleted",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="Not to be seen any more; goes when it has ended.",
        ),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False, comment="How often a czar has begun to run it."),
        sa.Column("czar_id", sa.Text(), comment="Who runs it, or ran it last."),
        sa.Column("query_id", sa.Uuid(), comment="Of the last attempt, in the query log."),
        sa.Column("submitted", moment, server_default=sa.text("now()"), nullable=False),
        sa.Column("started", moment, comment="Of the last attempt."),
        sa.Column("ended", moment),
        sa.Column("expires", moment, comment="When job and result are deleted; NULL until it has ended."),
        sa.Column("chunk_count", sa.Integer()),
        sa.Column("row_count", sa.BigInteger()),
        sa.Column("byte_count", sa.BigInteger(), comment="Arrow bytes of the result."),
        sa.Column(
            "overflow", sa.Boolean(), server_default="false", nullable=False, comment="Whether there were more rows than max_rows."
        ),
        sa.Column("error", postgresql.JSONB(astext_type=sa.Text()), comment="Code, message, retryable, line and column."),
        sa.PrimaryKeyConstraint("job_id", name=op.f("jobs_pkey")),
        comment="Asynchronous queries.",
    )
    op.create_index("jobs_waiting", "jobs", ["submitted"], postgresql_where=sa.text("state IN ('queued', 'running')"))
