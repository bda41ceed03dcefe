"""Tables of the metadata database, as SQLAlchemy Core sees them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_name)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
    },
)

nodes = Table(
    "nodes",
    metadata,
    Column("node_id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("postgres_port", Integer, nullable=False),
    Column("worker_port", Integer, nullable=False),
    Column("weight", Double, nullable=False, server_default="1"),
    comment="PostgreSQL servers and the workers beside them.",
)

chunk_maps = Table(
    "chunk_maps",
    metadata,
    Column("family", Text, primary_key=True),
    Column("overlap_deg", Double, nullable=False),
    Column("chunks", ARRAY(BigInteger), nullable=False, comment="NUNIQ of the pixels that tile the sphere."),
    comment="One chunk map and one overlap radius a family.",
)

databases = Table(
    "databases",
    metadata,
    Column("database", Text, primary_key=True),
    Column("family", Text, ForeignKey("chunk_maps.family"), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    Column("version", Text, nullable=False, server_default=""),
)

tables = Table(
    "tables",
    metadata,
    Column("table_id", Integer, Identity(), primary_key=True),
    Column("database", Text, ForeignKey("databases.database", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("position", Integer, nullable=False, comment="Order within the database."),
    Column("published", Boolean, nullable=False, server_default="false", comment="Users see published tables only."),
    Column("declaration", JSONB, nullable=False, comment="The table without its columns, as schema.serialise writes it."),
    Column("facts", JSONB, nullable=False, server_default="{}", comment="Measured at publish, such as separations of keys."),
    CheckConstraint("name <> ''", name="name"),
    UniqueConstraint("database", "name"),
)

columns = Table(
    "columns",
    metadata,
    Column("table_id", Integer, ForeignKey("tables.table_id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("declaration", JSONB, nullable=False, comment="The column, as schema.serialise writes it."),
)

chunks = Table(
    "chunks",
    metadata,
    Column("table_id", Integer, ForeignKey("tables.table_id", ondelete="CASCADE"), primary_key=True),
    Column("chunk", BigInteger, primary_key=True, comment="NUNIQ; 0 for rows without position; -1 for a replicated table."),
    Column("row_count", BigInteger, nullable=False),
    Column("overlap_row_count", BigInteger, nullable=False),
    comment="Chunks in which a table has rows, or overlap rows.",
)

replicas = Table(
    "replicas",
    metadata,
    Column("table_id", Integer, primary_key=True),
    Column("chunk", BigInteger, primary_key=True),
    Column("node_id", Text, ForeignKey("nodes.node_id"), primary_key=True),
    ForeignKeyConstraint(["table_id", "chunk"], ["chunks.table_id", "chunks.chunk"], ondelete="CASCADE"),
    comment="Which node holds a copy of which chunk of which table.",
)

column_statistics = Table(
    "column_statistics",
    metadata,
    Column("table_id", Integer, primary_key=True),
    Column("chunk", BigInteger, primary_key=True),
    Column("column_name", Text, primary_key=True),
    Column("minimum", Text, comment="Smallest value that is neither NULL nor NaN, as PostgreSQL writes it."),
    Column("maximum", Text),
    Column("null_count", BigInteger, nullable=False),
    Column("has_nan", Boolean, nullable=False),
    Column("has_infinity", Boolean, nullable=False),
    ForeignKeyConstraint(["table_id", "chunk"], ["chunks.table_id", "chunks.chunk"], ondelete="CASCADE"),
    comment="Ranges of columns in the base rows (not the overlap) of a chunk.",
)

catalogue_version = Table(
    "catalogue_version",
    metadata,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("version", BigInteger, nullable=False),
    CheckConstraint("one", name="one_row"),
    comment="Raised with every change that a czar must see.",
)

queries = Table(
    "queries",
    metadata,
    Column("query_id", Uuid, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("state", Text, nullable=False, comment="executing, completed, error or aborted."),
    Column("submitted", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended", DateTime(timezone=True)),
    Column("chunk_count", Integer),
    Column("row_count", BigInteger),
    Column("byte_count", BigInteger),
    Column("error", Text),
    comment="The query log (LSST DMS-REQ-0345).",
)

DIRECTOR_INDEX_SCHEMA = "director_index"
"""Schema that holds one table ``(key bigint primary key, chunk bigint)`` a director table, named ``<database>.<table>``."""
