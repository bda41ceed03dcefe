"""Loads that are asked of the ingest service: each is a transaction that waits until it is begun, with what was asked.

``queued -> open -> committed | aborted``. One whose service died is queued again, `MAX_ATTEMPTS` times; one that was aborted is
queued again when the same is asked once more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, case, delete, func, null, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.errors import LoadNameError, NoSuchLoadError
from qserv.metadata.catalogue import Json
from qserv.metadata.director_index import forget_pending
from qserv.metadata.tables import contributions, runs, transactions
from qserv.metadata.transactions import NewTransaction, TransactionState, cancel_waiting

MAX_ATTEMPTS = 3
"""A load that three services died of is not begun once more."""


class Wish(StrEnum):
    """What is asked of a load, or begun."""

    COMMIT = "commit"
    """Of a transaction: when all that was sent is done."""
    SWAP = "swap"
    """Its tables change places with those that they replace: from then on a transaction cannot go on after a crash."""
    CANCEL = "cancel"


GIVEN_UP = func.coalesce(transactions.c.wish, "") == Wish.CANCEL
"""Whether a load is not to be begun again."""

TRANSACTION = "transaction"
"""Kind of a load that takes contributions until it is to be committed."""

INDEX = "index"
"""Kind of what makes or drops an index of a published table."""

COLUMN = "column"
"""Kind of what adds a column to a published table."""


WITHDRAWAL = "withdrawal"
"""Kind of what takes the rows of a committed transaction away."""


@dataclass(frozen=True)
class Queued:
    """A load that has not ended, and what was asked."""

    transaction_id: int
    name: str
    database: str
    family: str
    state: TransactionState
    attempt: int
    progress: Json | None
    request: Json | None
    """None of a load that was not asked of the service."""
    kind: str
    """``load``; `TRANSACTION`; `INDEX`; `COLUMN`; `WITHDRAWAL`."""


@dataclass(frozen=True)
class LoadFacts:
    """What is known of a load beside what is known of its transaction."""

    progress: Json | None
    report: Json | None
    error_code: str | None
    attempt: int
    request: Json | None
    """None once all is written down of its end."""
    kind: str
    wish: str | None


async def is_done(connection: AsyncConnection, name: str, digest: str) -> bool:
    """Return whether the same was asked before under a name, and is queued, runs, or is committed.

    Raises
    ------
    LoadNameError
        Something else was asked under this name.
    """
    found = (await connection.execute(select(transactions).where(transactions.c.name == name).with_for_update())).one_or_none()
    if found is None:
        return False
    if found.request_hash != digest:
        msg = f"there is a load {name} of something else already; give this one another name, or ask for the same again"
        raise LoadNameError(msg)
    return found.state != TransactionState.ABORTED or found.request is not None


async def enqueue(connection: AsyncConnection, new: NewTransaction, request: Json, digest: str) -> None:
    """Queue a load, unless it `is_done`.

    Raises
    ------
    LoadNameError
        Something else was asked under this name.
    """
    values = {**asdict(new), "state": TransactionState.QUEUED, "request": request, "request_hash": digest}
    made = upsert(transactions).values(**values).on_conflict_do_nothing(index_elements=["name"]).returning(transactions.c.name)
    if (await connection.execute(made)).first() or await is_done(connection, new.name, digest):
        return
    number = select(transactions.c.transaction_id).where(transactions.c.name == new.name)
    await _anew(connection, (await connection.execute(number)).scalar_one(), {**values, "attempt": 0})


async def requeue(connection: AsyncConnection, load: Queued) -> bool:
    """Queue a load again that was begun, and of which nothing is visible; return False if it was given up meanwhile.

    A transaction into which others sent is not begun anew: what they sent is gone.
    """
    own = transactions.c.kind != TRANSACTION
    wanted = select(own & ~GIVEN_UP & transactions.c.request.is_not(None)).where(
        transactions.c.transaction_id == load.transaction_id
    )
    if not (await connection.execute(wanted.with_for_update())).scalar_one():
        return False
    await _anew(connection, load.transaction_id, {"state": TransactionState.QUEUED})
    return True


async def waiting(connection: AsyncConnection) -> list[Queued]:
    """Return the loads that wait, and the transactions that are open, in the order in which they were asked."""
    goes_on = (transactions.c.state == TransactionState.OPEN) & (transactions.c.kind == TRANSACTION) & ~GIVEN_UP
    waits = (transactions.c.state == TransactionState.QUEUED) | goes_on
    return await _queued(connection, waits & transactions.c.request.is_not(None))


async def opened(connection: AsyncConnection) -> list[Queued]:
    """Return the loads that are open, and those of whose end not all is written down.

    Open transactions go on by themselves, unless they were given up.
    """
    ended = transactions.c.state.in_((TransactionState.COMMITTED, TransactionState.ABORTED))
    open_load = (transactions.c.state == TransactionState.OPEN) & ((transactions.c.kind != TRANSACTION) | GIVEN_UP)
    return await _queued(connection, open_load | (ended & transactions.c.request.is_not(None)))


async def _queued(connection: AsyncConnection, which: ColumnElement[bool]) -> list[Queued]:
    columns = [transactions.c[name] for name in Queued.__dataclass_fields__]
    found = select(*columns).where(which).order_by(transactions.c.begun, transactions.c.transaction_id)
    return [
        Queued(**{**row, "state": TransactionState(row["state"]), "family": row["family"] or row["database"]})
        for row in (await connection.execute(found)).mappings()
    ]


async def begin_queued(connection: AsyncConnection, transaction_id: int) -> bool:
    """Open a load that waits; return False if it does not any more."""
    waits = _of(transaction_id, TransactionState.QUEUED)
    opened = update(transactions).where(*waits).values(state=TransactionState.OPEN, attempt=transactions.c.attempt + 1)
    return (await connection.execute(opened)).rowcount > 0


async def drop_queued(connection: AsyncConnection, name: str, reason: str, code: str) -> bool:
    """Abort a load that waits; return False if it does not."""
    waits = (transactions.c.name == name, transactions.c.state == TransactionState.QUEUED)
    values = {"state": TransactionState.ABORTED, "ended": func.clock_timestamp(), "error": reason, "error_code": code}
    dropped = update(transactions).where(*waits).values(**values, request=null()).returning(transactions.c.transaction_id)
    number = (await connection.execute(dropped)).scalar_one_or_none()
    if number is not None:
        await cancel_waiting(connection, number)
    return number is not None


async def give_up(connection: AsyncConnection, name: str, code: str) -> None:
    """Let a load that has not ended not be begun again; if it is aborted, that is for this reason."""
    going = (transactions.c.name == name, transactions.c.request.is_not(None))
    await connection.execute(update(transactions).where(*going).values(wish=Wish.CANCEL, error_code=code))


async def close(connection: AsyncConnection, transaction_id: int, code: str) -> None:
    """Write down that all is done of a load that a dead process left and nobody begins anew."""
    known = func.coalesce(transactions.c.error_code, code)
    await connection.execute(
        update(transactions).where(transactions.c.transaction_id == transaction_id).values(request=null(), error_code=known)
    )


async def write_progress(connection: AsyncConnection, transaction_id: int, progress: Json) -> None:
    """Write down how far an open load is."""
    opened = _of(transaction_id, TransactionState.OPEN)
    await connection.execute(update(transactions).where(*opened).values(progress=progress))


async def write_end(
    connection: AsyncConnection, transaction_id: int, *, progress: Json, report: Json | None, code: str | None
) -> None:
    """Write down how far a load came, what it did, or the code of its error; what was asked is not needed any more."""
    values: Json = {"progress": progress, "report": null() if report is None else report, "error_code": code, "request": null()}
    if code is not None:  # whatever kept it from being aborted: nobody goes on with it
        going = transactions.c.state.in_((TransactionState.QUEUED, TransactionState.OPEN))
        values["state"] = case((going, TransactionState.ABORTED), else_=transactions.c.state)
        values["ended"] = func.coalesce(transactions.c.ended, func.clock_timestamp())
    await connection.execute(update(transactions).where(transactions.c.transaction_id == transaction_id).values(**values))


async def facts_of(connection: AsyncConnection, names: Sequence[str]) -> Mapping[str, LoadFacts]:
    """Return what is known of loads, by their names."""
    columns = [transactions.c[name] for name in LoadFacts.__dataclass_fields__]
    rows = (await connection.execute(select(transactions.c.name, *columns).where(transactions.c.name.in_(names)))).mappings()
    return {row["name"]: LoadFacts(**{name: row[name] for name in LoadFacts.__dataclass_fields__}) for row in rows}


async def state_of(connection: AsyncConnection, name: str) -> TransactionState:
    """Return where a load is in its life.

    Raises
    ------
    NoSuchLoadError
        There is none of the name.
    """
    found = (await connection.execute(select(transactions.c.state).where(transactions.c.name == name))).scalar_one_or_none()
    if found is None:
        msg = f"there is no load {name}; `qserv loads` lists them"
        raise NoSuchLoadError(msg)
    return TransactionState(found)


async def is_settled(connection: AsyncConnection, name: str) -> bool:
    """Whether nothing more comes of a load by itself: it has ended, or its commit was refused, or it is not there."""
    refused = transactions.c.wish.is_(None) & transactions.c.error.is_not(None) & (transactions.c.state == TransactionState.OPEN)
    ended = transactions.c.request.is_(None) & transactions.c.ended.is_not(None)
    settled = select(ended | refused).where(transactions.c.name == name)
    return bool((await connection.execute(settled)).scalar_one_or_none() in {True, None})


async def _anew(connection: AsyncConnection, transaction_id: int, values: Json) -> None:
    """Let a load be as if it had not begun. Its runs do not count any more; nodes delete them when it ends."""
    await forget_pending(connection, transaction_id)
    for table in (contributions, runs):
        await connection.execute(delete(table).where(table.c.transaction_id == transaction_id))
    fresh = {
        "ended": None,
        "error": None,
        "error_code": None,
        "cleared": False,
        "progress": null(),
        "report": null(),
        "wish": null(),
    }
    await connection.execute(update(transactions).where(transactions.c.transaction_id == transaction_id).values(**fresh, **values))


def _of(transaction_id: int, state: TransactionState) -> tuple[ColumnElement[bool], ...]:
    return transactions.c.transaction_id == transaction_id, transactions.c.state == state
