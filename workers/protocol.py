"""Wire messages between czar or ingest and a worker, over Arrow Flight. Imports nothing of ours.

==============  =================================  ============================================================
Flight call     message                            answer
==============  =================================  ============================================================
DoGet(ticket)   `ChunkQuery`                       record batches; each carries a `BatchMark` as app metadata
DoPut(command)  `ChunkLoad` or `RunLoad`; then     one `LoadReceipt` as put metadata, after the rows are committed, or on disk
                `LoadEnd` after the rows
DoAction        the `Action` classes, by ``kind``  one JSON document each; of those that tell of progress, several
==============  =================================  ============================================================

Actions that make and change tables are in ``workers.table_actions``. Every call carries ``authorization: Bearer <cluster secret>``.
Errors travel as Flight errors whose extra info is a `Failure`.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Self

AUTHORIZATION = "authorization"
"""Name of the header that carries the cluster secret."""


class Lane(StrEnum):
    """Where the chunks of a query wait for their turn on a worker."""

    INTERACTIVE = "interactive"
    """Few rows, found by an index: never waits for a scan."""
    SCAN = "scan"
    """Whole chunks, which all scans read in one common order."""


_JSON = json.JSONEncoder(separators=(",", ":"), default=vars)
"""Writes messages within messages by their fields; ``dataclasses.asdict`` copies them first, which takes ten times as long."""


@dataclass(frozen=True)
class Message:
    """A message that travels as JSON."""

    def encode(self) -> bytes:
        """Return the message as JSON bytes."""
        return _JSON.encode(vars(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a message.

        Raises
        ------
        ValueError
            The bytes are not JSON or not of this message's fields.
        """
        values = json.loads(data.decode())  # of bytes it would guess the encoding first, for as long as it reads them
        if not isinstance(values, dict):
            msg = f"{cls.__name__}: a JSON object was expected"
            raise ValueError(msg)  # noqa: TRY004 (one error type for every undecodable message)
        try:
            return cls(**cls._from_json(values))
        except (KeyError, TypeError) as error:
            msg = f"{cls.__name__}: {error}"
            raise ValueError(msg) from error

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return constructor arguments; overridden where a field is itself a message."""
        return values


class ChunkTask(NamedTuple):
    """One chunk of a chunk query: the physical relation, quoted, that fills each slot of the template, and the keys that the chunk
    is asked for, where the template has slot ``keys``.

    (A tuple, because a scan has 100,000 of them, and a message costs three times as much to make.)
    """

    chunk: int
    relations: dict[str, str]
    keys: Sequence[int] | None = None


@dataclass(frozen=True)
class ChunkQuery(Message):
    """SQL with ``{slot}`` in place of physical relations, and the chunks of one node to run it on, in any order.

    A literal brace in the template is doubled, as in `str.format`. Slot ``keys`` stands for an array of bigint. The tasks travel as
    columns, ``chunks``, ``relations`` by slot and ``keys``, which takes half the time to write.
    """

    query_id: str
    template: str
    tasks: tuple[ChunkTask, ...]
    timeout_s: float
    lane: Lane = Lane.SCAN
    first: int = 1
    """How many chunks the first statements may be for, while nobody knows what a chunk takes: several where few rows are read."""

    def encode(self) -> bytes:
        """Return the query as JSON bytes."""
        chunks = [task.chunk for task in self.tasks]
        relations = {
            slot: [task.relations[slot] for task in self.tasks] for slot in (self.tasks[0].relations if self.tasks else ())
        }
        tasks: dict[str, Any] = {"chunks": chunks, "relations": relations}
        if self.tasks and self.tasks[0].keys is not None:
            tasks["keys"] = [task.keys for task in self.tasks]
        return _JSON.encode({**vars(self), "tasks": tasks}).encode()

    @classmethod
    def _from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        columns = values.get("tasks") or {"chunks": (), "relations": {}}
        chunks, relations = columns["chunks"], columns["relations"]
        filled = zip(*relations.values(), strict=True) if relations else [()] * len(chunks)
        keys = columns.get("keys") or [None] * len(chunks)
        tasks = (
            ChunkTask(chunk, dict(zip(relations, names, strict=True)), own)
            for chunk, names, own in zip(chunks, filled, keys, strict=True)
        )
        return {**values, "tasks": tuple(tasks), "lane": Lane(values.get("lane", Lane.SCAN))}


class BatchMark(NamedTuple):
    """Which chunks a batch belongs to, and whether their answer is complete with it (the batch may be empty).

    Chunks that were asked in one statement end together. Each task is in the marks of one group only. A mark travels as a byte, 1
    at the end, and eight bytes for each chunk, the lowest first: a scan has 100,000 of them, and JSON takes several times as long.
    """

    chunks: tuple[int, ...]
    end: bool

    def encode(self) -> bytes:
        """Return the mark as bytes."""
        return struct.pack(f"<?{len(self.chunks)}q", self.end, *self.chunks)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a mark.

        Raises
        ------
        ValueError
            So many bytes are none.
        """
        if len(data) % 8 != 1:
            msg = f"{cls.__name__}: 1 byte and 8 for each chunk were expected, not {len(data)} bytes"
            raise ValueError(msg)
        values = struct.unpack(f"<?{len(data) // 8}q", data)
        return cls(values[1:], values[0])


@dataclass(frozen=True)
class ChunkLoad(Message):
    """Rows that follow are all rows of one chunk table (``part`` is ``base`` or ``overlap``), or of a replicated table
    (``chunk`` None). The table is made, or emptied if it exists, filled, indexed and analysed in one transaction: loading twice
    loads once.
    """

    database: str
    declaration: dict[str, Any]
    chunk: int | None
    part: str = "base"


PARTS = ("base", "overlap")
"""What a chunk has tables of: its own rows, and those of others near it."""


RUN = b"run:"
"""What the command of a `RunLoad` begins with."""


@dataclass(frozen=True)
class RunLoad(Message):
    """Rows that follow are the part of a run for this node: sorted by chunk and ``_healpix_29``. ``chunks`` names the chunks,
    ascending, ``ends`` the place behind the last row of each.

    They wait on the node's disk for `BuildTable`. A run that is sent again takes the place of itself.
    """

    transaction: int
    table: int
    run: int
    part: str
    chunks: list[int]
    ends: list[int]

    def encode(self) -> bytes:
        """Return the message as bytes that are no other message's."""
        return RUN + super().encode()


def decode_load(command: bytes) -> ChunkLoad | RunLoad:
    """Read the message that a load begins with.

    Raises
    ------
    ValueError
        The bytes are neither.
    """
    return RunLoad.decode(command[len(RUN) :]) if command.startswith(RUN) else ChunkLoad.decode(command)


@dataclass(frozen=True)
class LoadEnd(Message):
    """Metadata after the last row of a load: how many were sent. A stream that ends without it broke off: nothing is committed."""

    rows: int


@dataclass(frozen=True)
class LoadReceipt(Message):
    """Rows that were committed, or are on disk."""

    rows: int


@dataclass(frozen=True)
class Failure(Message):
    """An error of ``qserv.errors``, by its code, with its message."""

    code: str
    message: str


@dataclass(frozen=True)
class Action(Message):
    """Base of the calls that carry no rows."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Beat(Action):
    """Ask whether the worker lives. Answer: ``{}``, at once."""

    kind: ClassVar[str] = "beat"


@dataclass(frozen=True)
class Health(Action):
    """Ask whether the worker and its PostgreSQL answer.

    Answer: ``{"node": ..., "postgres": version, "queries": calls with a statement that runs, "waiting": those without one,
    "lanes": {lane: ...}}``, with for each lane the chunks that wait (``waiting``), the statements that run in its slots
    (``running``) and those that gave their slot up (``aside``), and since the worker started the statements begun (``begun``), the
    seconds that they waited (``waited_s``), and the statements that turned out too slow for it (``slow``).
    """

    kind: ClassVar[str] = "health"


@dataclass(frozen=True)
class Cancel(Action):
    """Stop all chunk queries of a query, on the worker and in PostgreSQL. Answer: ``{"cancelled": count}``."""

    kind: ClassVar[str] = "cancel"
    query_id: str
