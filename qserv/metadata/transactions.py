"""Transactions: what was loaded, by whom, from which files; each change of state is part of the change that it tells of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, delete, func, insert, null, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import LoadCancelledError, UnknownNameError
from qserv.metadata.director_index import forget_keys, forget_pending
from qserv.metadata.tables import catalogue_version, contributions, runs, transactions

LEFT_OPEN = "the process that began it ended before"


class TransactionState(StrEnum):
    """Where a transaction is in its life."""

    QUEUED = "queued"
    OPEN = "open"
    COMMITTED = "committed"
    ABORTED = "aborted"


_UNCLEARED = (transactions.c.state.in_((TransactionState.COMMITTED, TransactionState.ABORTED)), ~transactions.c.cleared)


@dataclass(frozen=True)
class NewTransaction:
    """A transaction that begins: its unique name, the database that it loads into, and who begins it, where, with what."""

    name: str
    database: str
    family: str
    user_name: str
    host: str
    software: str
    kind: str = "load"
    """``transaction`` for one that takes contributions until it is to be committed."""


@dataclass(frozen=True)
class Contribution:
    """A file from which a transaction took rows.

    ``size_bytes`` and ``sha256`` are of the file as it lies there, known of files of the machine that read them.
    """

    table_name: str
    source: str
    size_bytes: int | None
    sha256: str | None
    row_count: int
    rejected: int
    contribution_id: int
    """The number that its rows carry."""
    sent: bool = False
    """Whether it was sent by itself into an open transaction."""


@dataclass(frozen=True)
class Transaction:
    """A transaction; ``row_count`` and ``rejected`` are those of its contributions together."""

    transaction_id: int
    name: str
    database: str
    state: TransactionState
    begun: datetime
    ended: datetime | None
    user_name: str
    host: str
    software: str
    error: str | None
    withdrawn: datetime | None
    row_count: int
    rejected: int


async def begin(connection: AsyncConnection, new: NewTransaction) -> int:
    """Begin a transaction; return its number. The caller holds the right to load into the database's family.

    One that is open into the same database is of a process that ended without a word: it is aborted.
    """
    opened = (transactions.c.state == TransactionState.OPEN, transactions.c.kind == "load")
    left = update(transactions).where(transactions.c.database == new.database, *opened)
    await connection.execute(left.values(state=TransactionState.ABORTED, ended=func.clock_timestamp(), error=LEFT_OPEN))
    begun = insert(transactions).values(**asdict(new), state=TransactionState.OPEN).returning(transactions.c.transaction_id)
    return int((await connection.execute(begun)).scalar_one())


async def contribute(connection: AsyncConnection, transaction_id: int, taken: Sequence[Contribution]) -> None:
    """Write down files whose rows have been taken: a row for each, or in the row that it has.

    Raises
    ------
    LoadCancelledError
        One of them was cancelled meanwhile.
    """
    values = [asdict(contribution) for contribution in taken]
    new = [{"transaction_id": transaction_id, **row} for row in values if not row.pop("sent")]
    if new:
        await connection.execute(insert(contributions), new)
    for contribution in taken:
        if contribution.sent:
            told = {name: getattr(contribution, name) for name in ("size_bytes", "sha256", "row_count", "rejected")}
            done = {"state": "done", "ended": func.clock_timestamp(), "request": null()}
            sent = update(contributions).where(*_reading(contribution.contribution_id)).values(**told, **done)
            _check_read((await connection.execute(sent)).rowcount)


async def new_contribution(connection: AsyncConnection) -> int:
    """Return a number for a contribution that is not written down yet."""
    number = text("SELECT nextval(pg_get_serial_sequence('contributions', 'contribution_id'))")
    return int((await connection.execute(number)).scalar_one())


async def new_run(connection: AsyncConnection, transaction_id: int, table_id: int) -> int:
    """Return the number of a new run of a table, which counts once it is taken."""
    made = insert(runs).values(transaction_id=transaction_id, table_id=table_id).returning(runs.c.run_id)
    return int((await connection.execute(made)).scalar_one())


async def take_run(connection: AsyncConnection, run_id: int, piece_of: int | None = None) -> None:
    """Write down that a run is on the disks of all its nodes.

    Parameters
    ----------
    piece_of
        The contribution of which it is a piece, and without whose end it does not count.

    Raises
    ------
    LoadCancelledError
        That, or all of the transaction, was cancelled meanwhile.
    """
    if piece_of is not None:
        sent = select(contributions.c.contribution_id).where(*_reading(piece_of)).with_for_update(read=True)
        _check_read(len((await connection.execute(sent)).all()))
    taken = update(runs).where(runs.c.run_id == run_id).values(taken=True, contribution_id=piece_of)
    _check_read((await connection.execute(taken)).rowcount)


async def taken_runs(connection: AsyncConnection, transaction_id: int, table_id: int) -> list[int]:
    """Return the runs of a table that count, in their order."""
    ended = select(contributions.c.contribution_id).where(
        contributions.c.transaction_id == transaction_id, contributions.c.state == "done"
    )
    found = select(runs.c.run_id).where(
        runs.c.transaction_id == transaction_id,
        runs.c.table_id == table_id,
        runs.c.taken,
        runs.c.contribution_id.is_(None) | runs.c.contribution_id.in_(ended),
    )
    return list((await connection.execute(found.order_by(runs.c.run_id))).scalars())


async def uncleared(connection: AsyncConnection) -> list[int]:
    """Return transactions that have ended, and of which nodes may have runs still."""
    found = select(transactions.c.transaction_id).where(*_UNCLEARED, transactions.c.kind != "column")
    return list((await connection.execute(found)).scalars())


async def begin_to_clear(connection: AsyncConnection, transaction_id: int) -> bool:
    """Keep a transaction from being begun anew until the caller commits; return False if nothing is to be cleared any more."""
    held = select(transactions.c.transaction_id).where(transactions.c.transaction_id == transaction_id, *_UNCLEARED)
    return (await connection.execute(held.with_for_update())).one_or_none() is not None


async def clear(connection: AsyncConnection, transaction_id: int) -> None:
    """Write down that no node has anything of a transaction any more that does not count."""
    await connection.execute(update(transactions).where(transactions.c.transaction_id == transaction_id).values(cleared=True))
    await forget_pending(connection, transaction_id)
    await connection.execute(delete(runs).where(runs.c.transaction_id == transaction_id))


async def end(connection: AsyncConnection, transaction_id: int, error: str | None = None) -> bool:
    """Commit an open transaction, or abort it with the reason; return False if it has ended already.

    To commit is part of what makes its rows visible, and raises the version of the catalogue behind this.
    """
    state = TransactionState.COMMITTED if error is None else TransactionState.ABORTED
    # Whoever else raises the version has to wait from here on.
    next_one = select(catalogue_version.c.version + 1).with_for_update().scalar_subquery() if error is None else None
    opened = update(transactions).where(
        transactions.c.transaction_id == transaction_id, transactions.c.state == TransactionState.OPEN
    )
    ended = (
        await connection.execute(opened.values(state=state, version=next_one, ended=func.clock_timestamp(), error=error))
    ).rowcount > 0
    if ended and error is not None:
        await forget_keys(connection, transaction_id)
        await cancel_waiting(connection, transaction_id)
    return ended


async def cancel_waiting(connection: AsyncConnection, transaction_id: int) -> None:
    """Let contributions of an aborted transaction not seem to wait."""
    waiting = (contributions.c.transaction_id == transaction_id, contributions.c.state.in_(("queued", "reading")))
    await connection.execute(update(contributions).where(*waiting).values(state="cancelled"))


async def state_of(connection: AsyncConnection, transaction_id: int) -> TransactionState:
    """Return where a transaction is in its life."""
    found = select(transactions.c.state).where(transactions.c.transaction_id == transaction_id)
    return TransactionState((await connection.execute(found)).scalar_one())


async def list_transactions(connection: AsyncConnection, *, limit: int, name: str | None = None) -> list[Transaction]:
    """Return transactions, the newest first: all, or the one of a name."""
    counts = [
        func.coalesce(func.sum(column), 0).label(column.name) for column in (contributions.c.row_count, contributions.c.rejected)
    ]
    found = (
        select(*(transactions.c[name] for name in Transaction.__dataclass_fields__ if name in transactions.c), *counts)
        .outerjoin(contributions, contributions.c.transaction_id == transactions.c.transaction_id)
        .group_by(transactions.c.transaction_id)
        .order_by(transactions.c.transaction_id.desc())
        .limit(limit)
    )
    if name is not None:
        found = found.where(transactions.c.name == name)
    rows = (await connection.execute(found)).mappings()
    return [
        Transaction(
            **{**row, "state": TransactionState(row["state"]), "row_count": int(row["row_count"]), "rejected": int(row["rejected"])}
        )
        for row in rows
    ]


async def read_transaction(connection: AsyncConnection, name: str) -> tuple[Transaction, Sequence[Contribution]]:
    """Return a transaction and its contributions, in the order in which they ended.

    Raises
    ------
    UnknownNameError
        There is none of the name.
    """
    found = await list_transactions(connection, limit=1, name=name)
    if not found:
        msg = f"there is no load {name}; `qserv loads` lists them"
        raise UnknownNameError(msg)
    columns = [contributions.c[each] for each in Contribution.__dataclass_fields__ if each != "sent"]
    done = (contributions.c.transaction_id == found[0].transaction_id, contributions.c.state == "done")
    of_it = select(*columns).where(*done).order_by(contributions.c.contribution_id)
    return found[0], [Contribution(**row) for row in (await connection.execute(of_it)).mappings()]


def _reading(contribution_id: int) -> tuple[ColumnElement[bool], ...]:
    return contributions.c.contribution_id == contribution_id, contributions.c.state == "reading"


def _check_read(found: int) -> None:
    if not found:
        msg = "a contribution was cancelled while it was read"
        raise LoadCancelledError(msg)
