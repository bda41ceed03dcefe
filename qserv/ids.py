"""Identifiers that must not be mixed up, as types of their own."""

from typing import NamedTuple, NewType

NodeId = NewType("NodeId", str)
"""Name of a node: one PostgreSQL server and the worker beside it, such as ``node-1``."""

ChunkId = NewType("ChunkId", int)
"""Number of a chunk: NUNIQ of its HEALPix pixel, ``4 * 4**order + ipix`` (IVOA MOC 2.0, 4.2), or `NULL_CHUNK`."""

NULL_CHUNK = ChunkId(0)
"""The chunk of rows whose position is NULL. NUNIQ starts at 4, so no pixel has this number."""

REPLICATED_CHUNK = ChunkId(-1)
"""Stands for the whole of a replicated table where others have chunks."""


class Segment(NamedTuple):
    """A part of the rows of a chunk, in tables of its own. Number 0 is what a load made."""

    number: int
    row_count: int
    overlap_row_count: int
