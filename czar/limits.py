"""What one query may use, and what its owner is told when it would use more."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from czar.shown_sql import amount
from qserv.errors import (
    AnswerSizeError,
    QueryCancelledError,
    QueryLimitError,
    RowLimitError,
    StepSizeError,
    TimeLimitError,
    TooManyQueriesError,
)
from qserv.settings import Settings
from schema.physical import quote

TOO_LARGE = "qserv: the table is larger than its step may be"
"""What PostgreSQL says when a guarded insert stops."""

LOOK_SHARE = 0.001
"""Share of the inserted rows at which the size of their table is looked at: a look costs as much as some rows."""


def guarded_insert(table: str, sql: str, limit_bytes: int) -> str:
    """Return the statement that fills a temporary table from a query, and stops with `TOO_LARGE` when it is larger than allowed.

    PostgreSQL has a limit for temporary files, and none for temporary tables.
    """
    size = f"pg_relation_size('pg_temp.{quote(table)}'::regclass)"
    # A text that is no truth value stops the statement. It is made at run time: a constant would be refused beforehand.
    stop = f"CAST('{TOO_LARGE}' || random()::text AS boolean)"
    guard = f"CASE WHEN random() < {LOOK_SHARE} AND {size} > {limit_bytes} THEN {stop} ELSE TRUE END"
    return f"INSERT INTO {quote(table)} SELECT * FROM ({sql}) AS made WHERE {guard}"  # noqa: S608 (quoted; sql is the czar's)


def step_size_error(limit_bytes: int) -> StepSizeError:
    """Return what to say of a step that is too large."""
    msg = (
        f"its rows need more than {amount(limit_bytes)} in the scratch database; restrict it further by WHERE,"
        " or let the nodes do it (EXPLAIN shows the steps)"
    )
    return StepSizeError(msg)


def step_within(batches: Iterable[pa.RecordBatch], limit_bytes: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a step, while they are as small as a step may be.

    Raises
    ------
    StepSizeError
        They are not.
    """
    size_bytes = 0
    for batch in batches:
        size_bytes += batch.nbytes
        if size_bytes > limit_bytes:
            raise step_size_error(limit_bytes)
        yield batch


def in_step(error: QueryLimitError, name: str, tables: Sequence[str], reason: str) -> QueryLimitError:
    """Return the error of a limit with the step that met it, and why that is one; one within a step within a step is named once."""
    if str(error).startswith("step "):
        return error
    return type(error)(f"step {name}, which reads {', '.join(dict.fromkeys(tables))} ({reason}): {error}")


def time_limit_error(limit_s: float) -> TimeLimitError:
    """Return what to say of a query that ran too long."""
    return TimeLimitError(f"the query ran longer than its time limit of {limit_s:g} s; restrict it further, or raise the limit")


@dataclass(frozen=True)
class AnswerLimit:
    """How large an answer may be. ``rows`` is None where who asks cuts it."""

    rows: int | None
    size_bytes: int

    def check(self, rows: int, size_bytes: int) -> None:
        """Stop an answer that is too large.

        Raises
        ------
        RowLimitError, AnswerSizeError
            It has more rows, or more bytes, than allowed.
        """
        if self.rows is not None and rows > self.rows:
            msg = f"the answer has more than {self.rows:,} rows; restrict it by WHERE, end it by LIMIT, or aggregate it by GROUP BY"
            raise RowLimitError(msg)
        if size_bytes > self.size_bytes:
            msg = (
                f"the answer is larger than {amount(self.size_bytes)} ({rows:,} rows so far);"
                " select fewer columns, restrict it by WHERE, or end it by LIMIT"
            )
            raise AnswerSizeError(msg)


@dataclass(eq=False)
class Ticket:
    """A query's place among those that run; before, in the queue. Watched by its `Execution`."""

    user: str
    called: asyncio.Future[None]
    chunks_done: int = 0
    chunks_total: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    def close(self) -> None:
        """Wake the query, if it still waits. Any thread may call it."""
        self.loop.call_soon_threadsafe(self.call, QueryCancelledError("the query was cancelled while it waited for others to end"))

    def call(self, error: Exception | None = None) -> None:
        """Let the query run, or tell it why it will not."""
        if self.called.done():
            return
        if error is None:
            self.called.set_result(None)
        else:
            self.called.set_exception(error)


class Admission:
    """Lets so many queries run at a time, in all here and of each user everywhere; the others wait in the order in which they came.

    A user whose share is used up does not hold up those behind. For one loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: Counter[str] = Counter()
        self._elsewhere: Mapping[str, int] = Counter()
        self._queue: deque[Ticket] = deque()

    @property
    def running(self) -> int:
        """Queries that run."""
        return self._running.total()

    @property
    def waiting(self) -> int:
        """Queries that wait for others to end."""
        return len(self._queue)

    @property
    def users(self) -> Mapping[str, int]:
        """Queries that run here, by user."""
        return self._running

    def hear(self, elsewhere: Mapping[str, int]) -> None:
        """Take note of how many queries of each user other czars run."""
        self._elsewhere = elsewhere
        self._call_next()

    def ticket(self, user: str) -> Ticket:
        """Return a place in the queue; `enter` waits for its turn."""
        return Ticket(user, asyncio.get_running_loop().create_future())

    async def enter(self, ticket: Ticket, *, patient: bool = False) -> None:
        """Wait until the query may run; call `leave` when it has ended. A patient one waits for as long as it takes.

        Raises
        ------
        TooManyQueriesError
            The others took too long.
        QueryCancelledError
            It was cancelled meanwhile.
        """
        self._queue.append(ticket)
        self._call_next()
        entered = False
        try:
            async with asyncio.timeout(None if patient else self._settings.queue_wait_s):
                await ticket.called
            entered = True
        except TimeoutError:
            raise self._refusal(ticket.user) from None
        finally:
            if ticket in self._queue:
                self._queue.remove(ticket)
            elif not entered:
                self.leave(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Give the place to another query."""
        self._running[ticket.user] -= 1
        self._running += Counter()  # forgets users without a query
        self._call_next()

    def _call_next(self) -> None:
        for ticket in list(self._queue):
            if self.running >= self._settings.max_queries:
                return
            if self._of(ticket.user) < self._settings.max_queries_per_user and not ticket.called.done():
                self._queue.remove(ticket)
                self._running[ticket.user] += 1
                ticket.call()

    def _of(self, user: str) -> int:
        return self._running[user] + self._elsewhere.get(user, 0)

    def _refusal(self, user: str) -> TooManyQueriesError:
        own, most = self._of(user), self._settings.max_queries_per_user
        whose = f"{own} queries of {user} run already" if own >= most else f"{self.running} queries run already"
        msg = f"{whose}, and none ended within {self._settings.queue_wait_s:g} s; try again later, or cancel one (`qserv queries`)"
        return TooManyQueriesError(msg)
