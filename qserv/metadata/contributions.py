"""Contributions that are sent one by one into a transaction: what each is, how far it is, and how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Update, delete, func, null, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import LoadNameError, NoSuchLoadError, TransactionEndedError
from qserv.metadata.catalogue import Json
from qserv.metadata.loads import Wish
from qserv.metadata.tables import contributions, pending_keys, runs, transactions
from qserv.metadata.transactions import TransactionState


class ContributionState(StrEnum):
    """Where a contribution is in its life. Nobody but the service to which it is sent knows of one that is being received."""

    RECEIVING = "receiving"
    QUEUED = "queued"
    READING = "reading"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITS = (ContributionState.QUEUED, ContributionState.READING)
"""States in which a commit waits for it."""


@dataclass(frozen=True)
class SentFile:
    """A file of a contribution. One that names many, as a directory does, has a row for each."""

    contribution_id: int
    name: str
    table_name: str
    source: str
    state: ContributionState
    attempt: int
    request: Json | None
    """None of one that is done."""
    size_bytes: int | None
    sha256: str | None
    row_count: int
    rejected: int
    error: str | None
    error_code: str | None


async def send(
    connection: AsyncConnection, transaction_id: int, name: str, digest: str, files: Sequence[tuple[str, str, Json]]
) -> None:
    """Queue a contribution, unless the same one is there. Of one that failed or was cancelled, what is not done is queued again.

    Parameters
    ----------
    digest
        Of what is asked.
    files
        Table, shown source, and request of each of its files.

    Raises
    ------
    LoadNameError
        Another contribution has the name.
    TransactionEndedError
        The transaction is to be committed, or has ended.
    """
    await _lock(connection, transaction_id)
    if await is_sent(connection, transaction_id, name, digest):
        return
    await _must_take(connection, transaction_id)
    shared = {"transaction_id": transaction_id, "name": name, "request_hash": digest, "row_count": 0, "rejected": 0}
    rows = [
        {**shared, "table_name": table, "source": source, "request": request, "state": ContributionState.QUEUED}
        for table, source, request in files
    ]
    if not await of_transaction(connection, transaction_id, name):
        unique, named = ["transaction_id", "name", "source"], contributions.c.name.is_not(None)
        await connection.execute(upsert(contributions).on_conflict_do_nothing(index_elements=unique, index_where=named), rows)
    ended = contributions.c.state.in_((ContributionState.FAILED, ContributionState.CANCELLED))
    fresh = {"state": ContributionState.QUEUED, "attempt": 0, "error": null(), "error_code": null()}
    await connection.execute(update(contributions).where(*_named(transaction_id, name), ended).values(**fresh))


async def is_sent(connection: AsyncConnection, transaction_id: int, name: str, digest: str) -> bool:
    """Return whether the same contribution is there, and waits, is read, or is done.

    Raises
    ------
    LoadNameError
        Another contribution has the name.
    """
    found = await of_transaction(connection, transaction_id, name)
    known = select(contributions.c.request_hash).where(*_named(transaction_id, name)).limit(1)
    if found and (await connection.execute(known)).scalar_one() != digest:
        msg = f"there is a contribution {name} of something else already; give this one another name, or send the same again"
        raise LoadNameError(msg)
    return bool(found) and all(file.state in {*WAITS, ContributionState.DONE} for file in found)


async def of_transaction(connection: AsyncConnection, transaction_id: int, name: str | None = None) -> list[SentFile]:
    """Return the files that were sent into a transaction, in their order: all, or those of a contribution."""
    columns = [contributions.c[field] for field in SentFile.__dataclass_fields__]
    which = (contributions.c.name.is_not(None),) if name is None else (contributions.c.name == name,)
    found = select(*columns).where(contributions.c.transaction_id == transaction_id, *which)
    found = found.order_by(contributions.c.contribution_id)
    rows = (await connection.execute(found)).mappings()
    return [SentFile(**{**row, "state": ContributionState(row["state"])}) for row in rows]


async def begin(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Write down that files are read now."""
    waiting = (contributions.c.contribution_id.in_(ids), contributions.c.state == ContributionState.QUEUED)
    now = {"state": ContributionState.READING, "attempt": contributions.c.attempt + 1}
    await connection.execute(update(contributions).where(*waiting).values(**now))


async def give_back(connection: AsyncConnection, transaction_id: int) -> None:
    """Let the files of a transaction that were being read wait again; what was taken of them does not count."""
    reading = (contributions.c.transaction_id == transaction_id, contributions.c.state == ContributionState.READING)
    await _end_without_rows(connection, update(contributions).where(*reading).values(state=ContributionState.QUEUED))


async def fail(connection: AsyncConnection, contribution_id: int, error: str, code: str) -> None:
    """Write down why a file was not taken; what was taken of it does not count."""
    values = {"state": ContributionState.FAILED, "error": error, "error_code": code, "ended": func.clock_timestamp()}
    going = (contributions.c.contribution_id == contribution_id, contributions.c.state.in_(WAITS))
    await _end_without_rows(connection, update(contributions).where(*going).values(**values))


async def cancel(connection: AsyncConnection, transaction_id: int, name: str) -> None:
    """Let files of a contribution not be taken that are not done. One that is read now is done with, when it notices.

    Raises
    ------
    NoSuchLoadError
        There is none of the name.
    """
    if not await of_transaction(connection, transaction_id, name):
        msg = f"there is no contribution {name} in this transaction"
        raise NoSuchLoadError(msg)
    going = (*_named(transaction_id, name), contributions.c.state != ContributionState.DONE)
    await _end_without_rows(connection, update(contributions).where(*going).values(state=ContributionState.CANCELLED))


async def rows_of(connection: AsyncConnection, transaction_id: int) -> dict[str, tuple[int, int]]:
    """Return how many rows were taken, and set aside, for each table."""
    table, taken = contributions.c.table_name, (func.sum(contributions.c.row_count), func.sum(contributions.c.rejected))
    done = (contributions.c.transaction_id == transaction_id, contributions.c.state == ContributionState.DONE)
    found = await connection.execute(select(table, *taken).where(*done).group_by(table))
    return {name: (int(rows), int(rejected)) for name, rows, rejected in found}


async def ask_commit(connection: AsyncConnection, transaction_id: int) -> None:
    """Ask that a transaction be committed when all that was sent is done.

    Raises
    ------
    TransactionEndedError
        It was aborted.
    """
    found = (await connection.execute(select(transactions.c.state).where(_is(transaction_id)).with_for_update())).scalar_one()
    if found == TransactionState.ABORTED:
        msg = "the transaction was aborted; nothing of it can be committed"
        raise TransactionEndedError(msg)
    waits = transactions.c.wish.is_(None) & (found != TransactionState.COMMITTED)
    asked = {"wish": Wish.COMMIT, "error": null(), "error_code": null()}
    await connection.execute(update(transactions).where(_is(transaction_id), waits).values(**asked))


async def wish_of(connection: AsyncConnection, transaction_id: int) -> Wish | None:
    """Return what is asked of a transaction."""
    found = (await connection.execute(select(transactions.c.wish).where(_is(transaction_id)))).scalar_one()
    return None if found is None else Wish(found)


async def begin_swap(connection: AsyncConnection, transaction_id: int) -> None:
    """Write down that tables change places now."""
    await connection.execute(update(transactions).where(_is(transaction_id)).values(wish=Wish.SWAP))


async def refuse_commit(connection: AsyncConnection, transaction_id: int, error: str, code: str) -> None:
    """Let a transaction be open as before it was asked to be committed, and say why."""
    values = {"wish": null(), "error": error, "error_code": code}
    await connection.execute(update(transactions).where(_is(transaction_id)).values(**values))


async def _lock(connection: AsyncConnection, transaction_id: int) -> None:
    """Let the same contribution not be sent twice at once."""
    await connection.execute(select(transactions.c.transaction_id).where(_is(transaction_id)).with_for_update())


async def _must_take(connection: AsyncConnection, transaction_id: int) -> None:
    """Refuse contributions into a transaction that takes none any more."""
    columns = (transactions.c.name, transactions.c.state, transactions.c.wish)
    found = (await connection.execute(select(*columns).where(_is(transaction_id)))).one()
    if found.state not in {TransactionState.QUEUED, TransactionState.OPEN} or found.wish is not None:
        what = f"is {found.state}" if found.wish is None else "is being committed"
        msg = f"transaction {found.name} {what}, and takes nothing more; begin another one"
        raise TransactionEndedError(msg)


async def _end_without_rows(connection: AsyncConnection, change: Update) -> None:
    """Change the state of files, and forget what was taken of them.

    In this order: a piece that is taken at the same moment (`take_run`) is written before the change, or is refused after it.
    """
    ids = list((await connection.execute(change.returning(contributions.c.contribution_id))).scalars())
    for table in (runs, pending_keys):
        await connection.execute(delete(table).where(table.c.contribution_id.in_(ids)))


def _named(transaction_id: int, name: str) -> tuple[ColumnElement[bool], ...]:
    return contributions.c.transaction_id == transaction_id, contributions.c.name == name


def _is(transaction_id: int) -> ColumnElement[bool]:
    return transactions.c.transaction_id == transaction_id
