"""First tables: nodes, chunk maps, databases, tables, columns, chunks, replicas, statistics, queries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """Make the tables, the version row that every publish raises, and the schema of the director indexes."""
    op.create_table(
        "catalogue_version",
        sa.Column("one", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("one", name=op.f("catalogue_version_one_row_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("catalogue_version_pkey")),
        comment="Raised with every change that a czar must see.",
    )
    op.create_table(
        "chunk_maps",
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("overlap_deg", sa.Double(), nullable=False),
        sa.Column("chunks", postgresql.ARRAY(sa.BigInteger()), nullable=False, comment="NUNIQ of the pixels that tile the sphere."),
        sa.PrimaryKeyConstraint("family", name=op.f("chunk_maps_pkey")),
        comment="One chunk map and one overlap radius a family.",
    )
    op.create_table(
        "nodes",
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("postgres_port", sa.Integer(), nullable=False),
        sa.Column("worker_port", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Double(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("node_id", name=op.f("nodes_pkey")),
        comment="PostgreSQL servers and the workers beside them.",
    )
    op.create_table(
        "queries",
        sa.Column("query_id", sa.Uuid(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("dialect", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="executing, completed, error or aborted."),
        sa.Column("submitted", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True), nullable=True),
        sa.Column("chunk_count", sa.Integer(), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("byte_count", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("query_id", name=op.f("queries_pkey")),
        comment="The query log (LSST DMS-REQ-0345).",
    )
    op.create_table(
        "databases",
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["family"], ["chunk_maps.family"], name=op.f("databases_family_fkey")),
        sa.PrimaryKeyConstraint("database", name=op.f("databases_pkey")),
    )
    op.create_table(
        "tables",
        sa.Column("table_id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("database", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="Order within the database."),
        sa.Column("published", sa.Boolean(), server_default="false", nullable=False, comment="Users see published tables only."),
        sa.Column(
            "declaration",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The table without its columns, as schema.serialise writes it.",
        ),
        sa.Column(
            "facts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="Measured at publish, such as separations of keys.",
        ),
        sa.CheckConstraint("name <> ''", name=op.f("tables_name_check")),
        sa.ForeignKeyConstraint(["database"], ["databases.database"], name=op.f("tables_database_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("table_id", name=op.f("tables_pkey")),
        sa.UniqueConstraint("database", "name", name=op.f("tables_database_key")),
    )
    op.create_table(
        "chunks",
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column(
            "chunk", sa.BigInteger(), nullable=False, comment="NUNIQ; 0 for rows without position; -1 for a replicated table."
        ),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("overlap_row_count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["table_id"], ["tables.table_id"], name=op.f("chunks_table_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("table_id", "chunk", name=op.f("chunks_pkey")),
        comment="Chunks in which a table has rows, or overlap rows.",
    )
    op.create_table(
        "columns",
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "declaration",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The column, as schema.serialise writes it.",
        ),
        sa.ForeignKeyConstraint(["table_id"], ["tables.table_id"], name=op.f("columns_table_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("table_id", "name", name=op.f("columns_pkey")),
    )
    op.create_table(
        "column_statistics",
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column(
            "minimum", sa.Text(), nullable=True, comment="Smallest value that is neither NULL nor NaN, as PostgreSQL writes it."
        ),
        sa.Column("maximum", sa.Text(), nullable=True),
        sa.Column("null_count", sa.BigInteger(), nullable=False),
        sa.Column("has_nan", sa.Boolean(), nullable=False),
        sa.Column("has_infinity", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["table_id", "chunk"],
            ["chunks.table_id", "chunks.chunk"],
            name=op.f("column_statistics_table_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("table_id", "chunk", "column_name", name=op.f("column_statistics_pkey")),
        comment="Ranges of columns in the base rows (not the overlap) of a chunk.",
    )
    op.create_table(
        "replicas",
        sa.Column("table_id", sa.Integer(), nullable=False),
        sa.Column("chunk", sa.BigInteger(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.node_id"], name=op.f("replicas_node_id_fkey")),
        sa.ForeignKeyConstraint(
            ["table_id", "chunk"], ["chunks.table_id", "chunks.chunk"], name=op.f("replicas_table_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("table_id", "chunk", "node_id", name=op.f("replicas_pkey")),
        comment="Which node holds a copy of which chunk of which table.",
    )
    op.execute("INSERT INTO catalogue_version (version) VALUES (0)")
    op.execute("CREATE SCHEMA director_index")
