"""Where rows come from, as a database of two tables, whose rows are in the metadata database: each user may ask them.

A row's hidden column ``"_contribution"`` leads to its contribution, and that to its transaction.
"""

from schema.model import Column, ColumnType, Database, ForeignKey, Table, TableRole, TimeSystem

_CLOCK = TimeSystem("UTC", "TOPOCENTER")
"""Of the metadata server."""


def _number(name: str, description: str, ucd: str, *, nullable: bool = False, unit: str | None = None) -> Column:
    return Column(name, ColumnType.LONG, description, nullable=nullable, ucd=ucd, unit=unit, principal=True)


def _text(name: str, description: str, ucd: str, *, nullable: bool = False) -> Column:
    return Column(name, ColumnType.STRING, description, nullable=nullable, ucd=ucd, principal=True)


def _time(name: str, description: str, ucd: str, *, nullable: bool = False) -> Column:
    return Column(name, ColumnType.TIMESTAMP, description, nullable=nullable, ucd=ucd, principal=True)


_TRANSACTIONS = Table(
    "transactions",
    TableRole.REPLICATED,
    (
        _number("transaction_id", "Number of the transaction.", "meta.id;meta.main"),
        _text("name", "Name that whoever began it gave it, or that it was given.", "meta.id"),
        _text("database", "Database whose tables it made or changed.", "meta.dataset"),
        _text("kind", "load of files, transaction of files sent one by one, index, column, or withdrawal.", "meta.code.class"),
        _time("begun", "When it began, UTC.", "time.start"),
        _time("ended", "When it was committed, UTC.", "time.end"),
        _time("withdrawn", "When its rows were taken away, UTC; NULL if they were not.", "time.processing", nullable=True),
        _text("user_name", "Who began it.", "meta.curation"),
        _text("host", "Machine on which it was begun.", "meta.id"),
        _text("software", "What loaded it, with its version.", "meta.id;meta.software"),
    ),
    ("transaction_id",),
    "Committed transactions: the rows of one became visible together.",
    time_system=_CLOCK,
)

_CONTRIBUTIONS = Table(
    "contributions",
    TableRole.REPLICATED,
    (
        _number("contribution_id", 'Number of the contribution, which its rows have as "_contribution".', "meta.id;meta.main"),
        _number("transaction_id", "Transaction that it is part of.", "meta.id.parent"),
        _text("name", "Name that whoever sent it gave it; NULL of a file of a load.", "meta.id", nullable=True),
        _text("table_name", "Table that its rows were taken for.", "meta.id;meta.table"),
        _text("source", "The file: a path, or a URL without what may be secret in it.", "meta.ref;meta.file"),
        _number(
            "size_bytes", "Size of the file, where it was at hand as a whole.", "phys.size;meta.file", nullable=True, unit="byte"
        ),
        _text("sha256", "SHA-256 of the same bytes, hexadecimal.", "meta.checksum;meta.file", nullable=True),
        _number("row_count", "Rows that were taken.", "meta.number"),
        _number("rejected", "Rows that were set aside.", "meta.number"),
        _time("ended", "When its rows had been taken, UTC.", "time.processing"),
    ),
    ("contribution_id",),
    "Files and streams from which committed transactions took rows.",
    time_system=_CLOCK,
    foreign_keys=(
        ForeignKey("contributions_transaction", ("transaction_id",), "transactions", ("transaction_id",), "Its transaction."),
    ),
)

PROVENANCE = Database(
    "provenance", "provenance", (_TRANSACTIONS, _CONTRIBUTIONS), "Where the rows of all tables come from: transactions and files."
)
"""The database, whose name no other one can have. No node has it."""
