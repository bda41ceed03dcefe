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
    Index,
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
    Column("withheld", Boolean, nullable=False, server_default="false", comment="Whole, though users do not see it."),
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

aliases = Table(
    "aliases",
    metadata,
    Column("alias", Text, primary_key=True),
    Column("database", Text, ForeignKey("databases.database"), nullable=False),
    comment="Names under which databases are asked beside their own.",
)

chunks = Table(
    "chunks",
    metadata,
    Column("table_id", Integer, ForeignKey("tables.table_id", ondelete="CASCADE"), primary_key=True),
    Column("chunk", BigInteger, primary_key=True, comment="NUNIQ; 0 for rows without position; -1 for a replicated table."),
    Column("row_count", BigInteger, nullable=False),
    Column("overlap_row_count", BigInteger, nullable=False),
    Column(
        "friends_deg", Double, comment="Rows of a director that are not farther apart are in one group (_friends); NULL: unknown."
    ),
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

segments = Table(
    "segments",
    metadata,
    Column("table_id", Integer, primary_key=True),
    Column("chunk", BigInteger, primary_key=True),
    Column("segment", BigInteger, primary_key=True, comment="0: what a load made."),
    Column("row_count", BigInteger, nullable=False),
    Column("overlap_row_count", BigInteger, nullable=False),
    Column("transaction_id", BigInteger, comment="That appended it; NULL: a load, or several."),
    Column("counted", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("replaced", BigInteger, comment="Version of the catalogue that names another instead."),
    ForeignKeyConstraint(["table_id", "chunk"], ["chunks.table_id", "chunks.chunk"], ondelete="CASCADE"),
    comment="What a chunk's rows are in, where that is not what a load made alone.",
)
Index("segments_replaced", segments.c.replaced, postgresql_where=segments.c.replaced.is_not(None))

appended_chunks = Table(
    "appended_chunks",
    metadata,
    Column("transaction_id", BigInteger, ForeignKey("transactions.transaction_id", ondelete="CASCADE"), primary_key=True),
    Column("table_id", Integer, primary_key=True),
    Column("chunk", BigInteger, primary_key=True),
    Column("row_count", BigInteger, nullable=False),
    Column("overlap_row_count", BigInteger, nullable=False),
    ForeignKeyConstraint(["table_id", "chunk"], ["chunks.table_id", "chunks.chunk"], ondelete="CASCADE"),
    comment="Where the rows are that a transaction appended, whatever segments they are in by now.",
)
Index("appended_chunks_of_chunk", appended_chunks.c.table_id, appended_chunks.c.chunk)

segment_builds = Table(
    "segment_builds",
    metadata,
    Column("segment", BigInteger, Identity(), primary_key=True),
    Column("family", Text, nullable=False),
    Column("database", Text, nullable=False),
    Column("table_name", Text, nullable=False),
    Column("kind", Text, nullable=False, comment="append or merge."),
    CheckConstraint("kind IN ('append', 'merge')", name="kind"),
    comment="Segments that nodes may have and that do not count: they are made now, or are left of who died.",
)

catalogue_version = Table(
    "catalogue_version",
    metadata,
    Column("one", Boolean, primary_key=True, server_default="true"),
    Column("version", BigInteger, nullable=False),
    Column("whole", BigInteger, nullable=False, server_default="0", comment="Of the last change of more than chunks."),
    CheckConstraint("one", name="one_row"),
    comment="Raised with every change that a czar must see.",
)

chunk_changes = Table(
    "chunk_changes",
    metadata,
    Column("version", BigInteger, primary_key=True),
    Column("table_id", Integer, primary_key=True),
    Column("chunk", BigInteger, primary_key=True),
    comment="What changed with each of the last versions of the catalogue that changed chunks alone.",
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
    Column("plan_shape", Text, comment="How it was answered: steps, access to the chunks, what was done with their rows."),
    Column("chunk_count", Integer),
    Column("row_count", BigInteger),
    Column("byte_count", BigInteger),
    Column("error", Text),
    Column("error_code", Text),
    Column("czar_id", Text, comment="Who runs it, or ran it."),
    Column("chunks_done", Integer, comment="While it runs, written about every second; chunk_count is its total."),
    Column("cancel_requested", Boolean, nullable=False, server_default="false"),
    comment="The query log (LSST DMS-REQ-0345).",
)
Index("queries_executing", queries.c.czar_id, postgresql_where=queries.c.state == "executing")

czars = Table(
    "czars",
    metadata,
    Column("czar_id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("seen", DateTime(timezone=True), nullable=False, comment="Last sign of life, by the clock of this database."),
    Column("running", JSONB, nullable=False, server_default="{}", comment="Queries that it runs, by user."),
    Column("oldest", BigInteger, comment="No query of it was planned with a version before this one."),
    comment="Czars that run. One without a sign of life for the time of its lease is dead, and its row goes.",
)

readings = Table(
    "readings",
    metadata,
    Column("user_name", Text, primary_key=True),
    Column("began", DateTime(timezone=True), primary_key=True, comment="Begin of the piece of time."),
    Column("row_count", BigInteger, nullable=False),
    Column("byte_count", BigInteger, nullable=False, comment="In Arrow's memory."),
    comment="What users read of answers lately, from all czars together; each adds up about every second.",
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Uuid, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("dialect", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("max_rows", BigInteger, nullable=False, comment="Rows of the result at the most."),
    Column("state", Text, nullable=False, comment="queued, running, completed, failed or cancelled."),
    Column("cancel_requested", Boolean, nullable=False, server_default="false"),
    Column("deleted", Boolean, nullable=False, server_default="false", comment="Not to be seen any more; goes when it has ended."),
    Column("attempt", Integer, nullable=False, server_default="0", comment="How often a czar has begun to run it."),
    Column("czar_id", Text, comment="Who runs it, or ran it last."),
    Column("query_id", Uuid, comment="Of the last attempt, in the query log."),
    Column("submitted", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("started", DateTime(timezone=True), comment="Of the last attempt."),
    Column("ended", DateTime(timezone=True)),
    Column("expires", DateTime(timezone=True), comment="When job and result are deleted; NULL until it has ended."),
    Column("chunk_count", Integer),
    Column("row_count", BigInteger),
    Column("byte_count", BigInteger, comment="Arrow bytes of the result."),
    Column("overflow", Boolean, nullable=False, server_default="false", comment="Whether there were more rows than max_rows."),
    Column("error", JSONB, comment="Code, message, retryable, line and column."),
    comment="Asynchronous queries.",
)
Index("jobs_waiting", jobs.c.submitted, postgresql_where=jobs.c.state.in_(("queued", "running")))

transactions = Table(
    "transactions",
    metadata,
    Column("transaction_id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("database", Text, nullable=False),
    Column("state", Text, nullable=False, comment="queued, open, committed or aborted."),
    Column("begun", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended", DateTime(timezone=True)),
    Column("user_name", Text, nullable=False, comment="Of the system that began it."),
    Column("host", Text, nullable=False),
    Column("software", Text, nullable=False, comment="What loaded it, with its version."),
    Column("error", Text, comment="Why it was aborted."),
    Column("cleared", Boolean, nullable=False, server_default="false", comment="Whether no node has runs of it any more."),
    Column("family", Text, comment="Of the database; NULL: before it was written down."),
    Column("request", JSONB, comment="What the ingest service is to load; NULL once it has ended."),
    Column("request_hash", Text, comment="SHA-256 of what was asked, by which the same is known again."),
    Column("attempt", Integer, nullable=False, server_default="0", comment="How often the ingest service began it."),
    Column("progress", JSONB, comment="How far each stage is."),
    Column("report", JSONB, comment="What a committed one did."),
    Column("error_code", Text),
    Column("kind", Text, nullable=False, server_default="load"),
    Column("wish", Text, comment="What is asked of an open one: commit; swap once tables change places."),
    Column("withdrawn", DateTime(timezone=True), comment="When the rows of a committed one were taken away."),
    Column("version", BigInteger, comment="Of the catalogue, since which it is committed."),
    CheckConstraint("state IN ('queued', 'open', 'committed', 'aborted')", name="state"),
    CheckConstraint("kind IN ('load', 'transaction', 'index', 'column', 'withdrawal')", name="kind"),
    comment="Loads: the rows of one become visible together, or none of them.",
)
Index("transactions_state", transactions.c.state)
Index("transactions_asked", transactions.c.transaction_id, postgresql_where=transactions.c.request.is_not(None))
Index("transactions_uncleared", transactions.c.transaction_id, postgresql_where=~transactions.c.cleared)

contributions = Table(
    "contributions",
    metadata,
    Column("contribution_id", BigInteger, Identity(), primary_key=True),
    Column(
        "transaction_id",
        BigInteger,
        ForeignKey("transactions.transaction_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("table_name", Text, nullable=False),
    Column("source", Text, nullable=False, comment="The file: a path, or a URL without what may be secret in it."),
    Column("size_bytes", BigInteger, comment="Of a file of the machine that read it, as it lies there."),
    Column("sha256", Text, comment="Of the same bytes."),
    Column("row_count", BigInteger, nullable=False, comment="Rows that were taken."),
    Column("rejected", BigInteger, nullable=False, comment="Rows that were set aside."),
    Column("ended", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("name", Text, comment="Given by who sent it; NULL of a load's file."),
    Column("state", Text, nullable=False, server_default="done"),
    Column("request", JSONB, comment="Where its rows are, and how they are read."),
    Column("request_hash", Text, comment="SHA-256 of what was asked, by which the same is known again."),
    Column("attempt", Integer, nullable=False, server_default="0", comment="How often it was begun."),
    Column("error", Text, comment="Why no row of it was taken."),
    Column("error_code", Text),
    CheckConstraint("state IN ('queued', 'reading', 'done', 'failed', 'cancelled')", name="state"),
    comment="Files from which a transaction took rows.",
)
Index(
    "contributions_sent",
    contributions.c.transaction_id,
    contributions.c.name,
    contributions.c.source,
    unique=True,
    postgresql_where=contributions.c.name.is_not(None),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", BigInteger, Identity(), primary_key=True),
    Column(
        "transaction_id",
        BigInteger,
        ForeignKey("transactions.transaction_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("table_id", Integer, nullable=False),
    Column("taken", Boolean, nullable=False, server_default="false", comment="Whether it is on the disks of all its nodes."),
    Column("contribution_id", BigInteger, comment="Of which it is a piece."),
    comment="Sorted rows of a transaction, which wait beside the nodes in files.",
)

pending_keys = Table(
    "pending_keys",
    metadata,
    Column("contribution_id", BigInteger, nullable=False, index=True),
    Column("key", BigInteger, nullable=False),
    Column("chunk", BigInteger, nullable=False),
    comment="Keys of directors' rows whose contribution has not ended.",
)

moved_keys = Table(
    "moved_keys",
    metadata,
    Column("database", Text, primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, comment="Of the catalogue, since which its row is elsewhere."),
    Column("key", BigInteger, primary_key=True),
    Column("chunk", BigInteger, nullable=False, comment="Where its row was before."),
    comment="Keys of directors whose rows moved to other chunks.",
)

DIRECTOR_INDEX_SCHEMA = "director_index"
"""Schema that holds one table ``(key bigint primary key, chunk bigint)`` a director table, named ``<database>.<table>``."""
