"""Look-ups by key as messages of PostgreSQL's protocol, their statements kept prepared. No I/O.

A look-up of 66 columns takes PostgreSQL 0.25 ms, of which 0.2 ms to read and plan the statement. It is the same statement for every
question of the same form about the same chunk, the keys apart: these are its parameter.
"""

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from workers.postgresql import wire

MOST_PREPARED: Final = 64
"""Statements that a connection keeps. One of 66 columns takes 230 kB of its backend."""

MOST_SEEN: Final = 1_024
"""Statements that a connection remembers to have run once: those with a number of their own beside the keys never come again, and
are not to drive out others."""


class LookUp(NamedTuple):
    """A query with ``$1``, which is an array of bigint, and that array."""

    sql: str
    keys: Sequence[int]


class Prepared:
    """The statements that one connection keeps prepared: those that came more than once, and were used last."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()
        self._seen: OrderedDict[int, None] = OrderedDict()
        """Hashes of statements, the oldest first."""
        self._numbers = itertools.count()

    def messages(self, look_ups: Sequence[LookUp]) -> bytes:
        """Return what runs some look-ups one after the other.

        Each of them is answered by RowDescription, DataRows and CommandComplete, all together by ReadyForQuery at the end. The
        first error ends it, as it would end a single statement.
        """
        return b"".join([*(message for each in look_ups for message in self._messages(each)), wire.SYNC])

    def forget(self) -> None:
        """Count on none of the statements: it is not known which of them the server has."""
        self._names.clear()

    def _messages(self, look_up: LookUp) -> list[bytes]:
        sql, keys = look_up
        name = self._names.get(sql)
        if name is not None:
            self._names.move_to_end(sql)
            return [wire.run(name, keys)]
        if not self._came_before(sql):
            return [wire.prepare("", sql), wire.run("", keys)]
        dropped = [wire.drop(self._names.popitem(last=False)[1])] if len(self._names) == MOST_PREPARED else []
        name = self._names[sql] = f"s{next(self._numbers)}"
        return [*dropped, wire.prepare(name, sql), wire.run(name, keys)]

    def _came_before(self, sql: str) -> bool:
        """Return whether a statement was run, as far as that is remembered, and remember it."""
        key = hash(sql)
        came = key in self._seen
        self._seen[key] = None
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return came
