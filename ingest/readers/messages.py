"""What an ingest service and its readers tell each other, pickled, over pipes that nobody else has; answers behind their length."""

import pickle
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ingest.dependents import KeptOrphans
from ingest.family import Family
from ingest.staging import Staging
from ingest.taking import Part
from qserv.errors import QservError
from qserv.ids import ChunkId, NodeId
from qserv.metadata.nodes import Node
from schema.model import Table

LENGTH: Final = struct.Struct(">Q")


@dataclass(frozen=True)
class Reading:
    """Of which table the files are, and where their rows go.

    Attributes
    ----------
    metadata_url, secret
        The cluster's two doors: its metadata database, with the password, and the cluster secret.
    replicas
        Nodes that hold each chunk.
    trusting
        Whether dependents are placed by the position that they carry, for the nodes to check.
    """

    metadata_url: str = field(repr=False)
    secret: str = field(repr=False)
    nodes: tuple[Node, ...]
    table: Table
    table_id: int
    family: Family
    staging: Staging
    transaction_id: int
    load: str
    replicas: int
    run_bytes: int
    trusting: bool


Job = tuple[Part, ...]
"""Files that a reader takes together, so that small ones share runs; or one part of a file."""


@dataclass
class Taken:
    """What was taken.

    Attributes
    ----------
    rows
        In all.
    of_parts
        Rows of each contribution that is taken in parts.
    chunks
        Which chunks each node was sent rows of.
    """

    rows: int = 0
    of_parts: Counter[int] = field(default_factory=Counter)
    chunks: dict[NodeId, set[ChunkId]] = field(default_factory=dict)
    orphans: KeptOrphans = field(default_factory=KeptOrphans)

    def add(self, other: "Taken") -> None:
        """Count what somebody else took."""
        self.rows += other.rows
        self.of_parts.update(other.of_parts)
        for node, chunks in other.chunks.items():
            self.chunks.setdefault(node, set()).update(chunks)
        self.orphans.join(other.orphans)


def packed(message: object) -> bytes:
    """Return an answer as it goes over the pipe."""
    content = pickle.dumps(message)
    return LENGTH.pack(len(content)) + content


def plain_error(error: QservError) -> QservError:
    """Return an error as another process can raise it: of the same code, with nothing but its message."""
    plain: QservError = next(kind for kind in type(error).__mro__ if kind.__module__ == QservError.__module__)(str(error))
    return plain
