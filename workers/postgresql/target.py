"""A physical table: of a chunk, of its overlap, or of all rows of a replicated table."""

from dataclasses import dataclass

from qserv.ids import ChunkId
from schema.model import Table
from schema.physical import quote, table_name


@dataclass(frozen=True)
class Target:
    """The physical table that is loaded; ``chunk`` None is a replicated table, segment 0 what a load makes."""

    database: str
    table: Table
    chunk: ChunkId | None
    overlap: bool = False
    segment: int = 0

    @property
    def name(self) -> str:
        """Its unquoted name."""
        return table_name(self.table.name, self.chunk, overlap=self.overlap, segment=self.segment)

    @property
    def relation(self) -> str:
        """Its quoted name."""
        return f"{quote(self.database)}.{quote(self.name)}"

    @property
    def is_whole_table(self) -> bool:
        """Whether it is a replicated table itself, which is there and may have rows."""
        return self.chunk is None and not self.segment
