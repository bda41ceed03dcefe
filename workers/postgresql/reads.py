"""Chunk queries on PostgreSQL: SQL in, Arrow record batches out."""

import math
import select
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import quote

import psycopg
import pyarrow as pa

from qserv.errors import NodeUnavailableError, QservError, TimeLimitError
from workers.postgresql.columns import MalformedError
from workers.postgresql.connections import Pool
from workers.postgresql.failures import connection_lost, prepared_anew, query_error
from workers.postgresql.priority import give_way
from workers.postgresql.stream import PARAMETERS, PAUSE_MS, Question, RowStream
from workers.postgresql.wire import ServerError
from workers.protocol import Lane
from workers.stop import Stop

RECYCLE_RELATIONS: Final = 2_000
"""Distinct tables after which a connection is replaced: a backend that touched 20,000 holds 600 MB (DESIGN, section 4)."""

_SESSION: Final = (
    "-c jit=off -c enable_mergejoin=off -c default_transaction_read_only=on -c timezone=UTC -c client_connection_check_interval=1s"
    " -c plan_cache_mode=force_generic_plan"
)
"""JIT does not pay on chunks (measured, DESIGN section 11), nor do merge joins: where PostgreSQL cannot know how many values a key
has, it sorts both sides rather than hash them (docs/decisions/near-neighbours.md). Times are kept without zone, so every node must
agree on one; a query whose connection was closed before a cancel could reach it ends within a second; and a statement that is kept
prepared is planned once, because a few keys are looked up by an index, whichever they are."""

SILENCE_S: Final = 20.0
"""Default of the setting ``worker_silence_s``: a query may compute minutes in silence, its server answers within seconds."""

ABANDON_S: Final = 2.0
"""A query that was stopped is waited for as long: a server that lives has ended it, or been asked again many times."""

CONNECT_TIMEOUT_S: Final = 5
"""PostgreSQL is on this machine, or as near."""

_KEEPALIVE: Final = "keepalives_idle=30&keepalives_interval=10&keepalives_count=3"
"""A node that vanishes is noticed within a minute, instead of after the system's two hours."""


class ReadConnection:
    """A connection for chunk queries, one at a time.

    Parameters
    ----------
    uri
        Of libpq.
    silence_s
        Seconds without a word after which the server is asked whether it lives, and so on after as many.
    lane
        Of its queries. Backends of scans give way to others where they may.
    """

    def __init__(self, uri: str, silence_s: float = SILENCE_S, lane: Lane = Lane.INTERACTIVE) -> None:
        self._uri, self._silence_s = uri, silence_s
        self._asked_s = 0.0
        """Silence after which the server was last asked."""
        self._stop: Stop | None = None
        try:
            connection = psycopg.connect(uri, autocommit=True)
        except psycopg.Error as error:
            # Refused before there is a session: whatever the reason, this node cannot answer.
            raise query_error(None, _first_line(error)) from error
        self._stream = RowStream(connection, self._while_silent)
        if lane is Lane.SCAN:
            give_way(connection.info.backend_pid, self._stream.port)
        self._timeout_ms = 0
        self.used = False
        """Whether a query was answered on it before."""
        self._relations: set[str] = set()
        self.broken = False
        """Set while a query runs on it: only one that was read to its end leaves the connection fit for another."""

    @property
    def lost(self) -> bool:
        """Whether the server does not hear, so that a new connection would not help."""
        return self._stream.lost

    @property
    def worn(self) -> bool:
        """Whether the connection must not be used again."""
        return self.broken or len(self._relations) > RECYCLE_RELATIONS

    def ask(self, question: Question, relations: Iterable[str], timeout_ms: int, stop: Stop) -> None:
        """Send a question, and do not wait. PostgreSQL cancels it after `timeout_ms`, and when it is stopped."""
        self.broken = True
        self._stop = stop
        self._relations.update(relations)
        before = [] if timeout_ms == self._timeout_ms else [f"SET statement_timeout = {timeout_ms}"]
        # If that fails, the query fails, and the connection is not used again.
        self._timeout_ms = timeout_ms
        self._stream.ask(question, before=before)

    @property
    def descriptor(self) -> int:
        """As that of `RowStream`."""
        return self._stream.descriptor

    def look(self) -> None:
        """As `RowStream.look`."""
        self._stream.look()

    def schema(self) -> pa.Schema:
        """Wait for the begin of the answer; return its schema."""
        return self._stream.schema()

    def next_batch(self) -> pa.RecordBatch | None:
        """Return the next rows, None after the last."""
        return self._stream.next_batch()

    def finish(self, stop: Stop) -> None:
        """Note that a query was read to its end."""
        self.used = True
        # A cancel that came too late for this query could still hit the next one of this connection.
        self.broken = stop.reason is not None

    def _while_silent(self, silent_s: float) -> None:
        """Give up on a server that does not answer anybody, or does not stop what it was told to.

        Raises
        ------
        ServerError
            It is lost.
        """
        if silent_s < self._asked_s:
            self._asked_s = 0.0
        if self._stop is not None and self._stop.reason is not None and silent_s > ABANDON_S:
            msg = "it does not stop"
            raise self._lost(msg)
        if silent_s < self._asked_s + self._silence_s:
            return
        self._asked_s = silent_s
        try:
            psycopg.connect(self._uri).close()
        except psycopg.Error as error:
            if error.sqlstate is None:  # else it lives, and says why it cannot serve us
                raise self._lost(_first_line(error)) from error

    def _lost(self, message: str) -> ServerError:
        self._stream.lost = True
        return ServerError(None, message, fatal=True)

    def cancel(self) -> None:
        """Ask PostgreSQL to stop what runs on this connection. Any thread may call it."""
        self._stream.cancel()

    def close(self) -> None:
        """End the connection."""
        self._stream.close()


class ChunkRows:
    """The answer to one chunk query. It is asked at once; call `begin`, then `batches`, and `close` in any case.

    Parameters
    ----------
    pool
        Where its connection comes from, and goes back to.
    question
        A SELECT, or look-ups.
    relations
        Physical tables in it.
    deadline_s
        On the clock of `time.monotonic`.
    stop
        Cancels it.

    Raises
    ------
    QservError
        It was stopped before, or there is no connection for it.
    """

    def __init__(
        self, pool: Pool[ReadConnection], question: Question, relations: Iterable[str], deadline_s: float, stop: Stop
    ) -> None:
        self._pool, self._question, self._relations = pool, question, tuple(relations)
        self._deadline_s, self._stop = deadline_s, stop
        self._connection: ReadConnection | None = None
        self._first: pa.RecordBatch | None = None
        self.schema = pa.schema([])
        """Schema of the rows."""
        self._connection, self._listening = self._ask()

    @property
    def descriptor(self) -> int:
        """Becomes readable when something of the answer has come; until `begin`."""
        return self._connection.descriptor if self._connection else -1

    def look(self) -> None:
        """Give up on a server that is silent for too long.

        Raises
        ------
        NodeUnavailableError
            It is lost.
        """
        try:
            if self._connection is not None:
                self._connection.look()
        except ServerError as error:
            raise self._meaning(error) from error

    def begin(self) -> None:
        """Wait for the first batch.

        Raises
        ------
        QservError
            The query failed, was stopped or took too long.
        """
        while (connection := self._connection) is not None:
            has_begun = False
            try:
                self.schema = connection.schema()
                has_begun = True
                self._first = self._next(connection)
            except MalformedError as error:
                raise _damaged(error) from error
            except ServerError as error:
                outdated = prepared_anew(error.sqlstate) or (connection_lost(error.sqlstate) and not has_begun)
                if not connection.used or connection.lost or self._stop.reason is not None or not outdated:
                    raise self._meaning(error) from error
                # PostgreSQL was restarted, or a table made anew, while the connection was idle: a new one may serve.
                self.close()
                self._pool.forget_idle()
                self._connection, self._listening = self._ask()
            else:
                return

    def batches(self) -> Iterator[tuple[pa.RecordBatch, bool]]:
        """Yield the rows and whether a batch is the last one. There is at least one batch; the last may be empty."""
        batch, self._first = self._first, None
        if batch is None:
            yield pa.RecordBatch.from_pylist([], self.schema), True
        try:
            while batch is not None and self._connection is not None:
                following = self._next(self._connection)
                yield batch, following is None
                batch = following
        except MalformedError as error:
            raise _damaged(error) from error
        except ServerError as error:
            raise self._meaning(error) from error

    def close(self) -> None:
        """Give the connection back; a query that still runs is cancelled."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.broken:
            connection.cancel()
        self._stop.remove(self._listening)
        self._pool.give_back(connection)

    def _ask(self) -> tuple[ReadConnection, int]:
        """Send the query on a connection of the pool; return that, and the number under which it listens to be stopped."""
        timeout_ms = remaining_ms(self._deadline_s - time.monotonic())
        connection = self._pool.take()
        try:
            listening = self._stop.add(connection.cancel)
        except BaseException:
            self._pool.give_back(connection)
            raise
        connection.ask(self._question, self._relations, timeout_ms, self._stop)
        return connection, listening

    def _next(self, connection: ReadConnection) -> pa.RecordBatch | None:
        """Return the next batch, None after the last."""
        batch = connection.next_batch()
        if batch is None:
            connection.finish(self._stop)
        return batch

    def _meaning(self, error: ServerError) -> QservError:
        return self._stop.reason or query_error(error.sqlstate, str(error), self._relations)


def first_to_come(answers: Sequence[ChunkRows]) -> int:
    """Wait until something of an answer that has not begun comes; return the place of the answer, the least if there are several.

    Raises
    ------
    QservError
        As `ChunkRows.look`.
    """
    poll = select.poll()
    for answer in answers:
        poll.register(answer.descriptor, select.POLLIN)
    while not (heard := {descriptor for descriptor, _ in poll.poll(PAUSE_MS)}):
        for answer in answers:
            answer.look()
    return next(place for place, answer in enumerate(answers) if answer.descriptor in heard)


class Reads:
    """Chunk queries on the PostgreSQL beside this worker.

    Parameters
    ----------
    conninfo
        libpq URI of the reading role; it holds the password.
    connections
        Most of a lane at a time.
    kept
        Idle ones that are kept of each lane; default: all.
    silence_s
        As in `ReadConnection`.
    """

    def __init__(
        self, conninfo: str, connections: int, kept: Mapping[Lane, int] | None = None, silence_s: float = SILENCE_S
    ) -> None:
        connect_s = max(1, min(CONNECT_TIMEOUT_S, int(silence_s)))
        options = f"application_name=qserv-worker&connect_timeout={connect_s}&{_KEEPALIVE}&{PARAMETERS}&options={quote(_SESSION)}"
        self._uri = f"{conninfo}{'&' if '?' in conninfo else '?'}{options}"
        self._pools = {
            lane: Pool(partial(ReadConnection, self._uri, silence_s, lane), connections, kept[lane] if kept else None)
            for lane in Lane
        }

    def ask(self, question: Question, relations: Iterable[str], deadline_s: float, stop: Stop, lane: Lane) -> ChunkRows:
        """Send a chunk query, and do not wait for its rows. Parameters and errors are those of `ChunkRows`."""
        return ChunkRows(self._pools[lane], question, relations, deadline_s, stop)

    def close(self) -> None:
        """End the idle connections."""
        for pool in self._pools.values():
            pool.close()


def remaining_ms(remaining_s: float) -> int:
    """Return a statement time-out, ms; above a second in whole seconds, so that not every chunk of a query has to set it anew.

    Raises
    ------
    TimeLimitError
        Nothing remains.
    """
    if remaining_s <= 0:
        msg = "the query ran longer than its time limit; restrict it further, or raise the limit"
        raise TimeLimitError(msg)
    return max(1, math.ceil(remaining_s * 1000)) if remaining_s < 1 else math.ceil(remaining_s) * 1000


def _damaged(error: MalformedError) -> NodeUnavailableError:
    return NodeUnavailableError(
        f"what PostgreSQL of this node sends are no rows of the query: {error}; look at its log and its disk"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
