"""A physical table: of a chunk, of its overlap, or of all rows of a replicated table."""

from dataclasses import dataclass

from qserv.ids import ChunkId
from schema.model import Table
from schema.physical import relation


@dataclass(frozen=True)
class Target:
    """The physical table that is loaded; ``chunk`` None is a replicated table."""

    database: str
    table: Table
    chunk: ChunkId | None
    overlap: bool = False

    @property
    def relation(self) -> str:
        """Its quoted name."""
        return relation(self.database, self.table.name, self.chunk, overlap=self.overlap)
