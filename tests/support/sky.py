"""A synthetic survey of any size: the same seed gives the same rows, whatever the size of the blocks that they come in.

Tables: ``object`` (director), its dependents ``source`` (which has a position of its own) and ``forced_source``, ``ccd_visit``
(replicated), the reference catalogues ``bright_ref`` and ``deep_ref`` (directors), and the tables ``bright_match`` and
``deep_match`` that hold pairs of their keys and those of objects. What a table is declared as stands in ``survey.yaml`` and
``survey.partition.yaml`` beside this file.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support import detections, objects, references
from tests.support.places import Places

FELIS = Path(__file__).parent / "survey.yaml"

SEED = 20261121

SMALL_OBJECTS = 3_000
"""For tests: 12,000 sources."""

BENCH_OBJECTS = 5_000_000
"""For benchmarks: 20,000,000 sources."""

BLOCK_OBJECTS = 50_000
"""Objects of a block: with 66 columns, some 30 MB."""

BY_OBJECT = {
    "object": objects.rows,
    "source": detections.sources,
    "forced_source": detections.forced_sources,
    "bright_ref": lambda *span: references.catalogue("bright_ref", *span),
    "deep_ref": lambda *span: references.catalogue("deep_ref", *span),
    "bright_match": lambda *span: references.matches("bright_ref", *span),
    "deep_match": lambda *span: references.matches("deep_ref", *span),
}
"""Tables whose rows follow from numbers of objects: places, first number, number behind the last -> rows."""

TABLES = (*BY_OBJECT, "ccd_visit")


@dataclass(frozen=True)
class Survey:
    """A survey of so many objects."""

    objects: int = SMALL_OBJECTS
    seed: int = SEED
    block_objects: int = BLOCK_OBJECTS
    """How many are made at a time. It changes no row; pairs may come in another order."""
    widened: bool = False
    """Whether fields grow with the objects beyond `SMALL_OBJECTS`, so that there are as many on a square degree of each."""

    @classmethod
    def scaled(cls, scale: float) -> "Survey":
        """Return the survey of the benchmarks, or a smaller one."""
        return cls(round(BENCH_OBJECTS * scale))

    @property
    def places(self) -> Places:
        """Where its objects are."""
        return Places(self.seed, max(1.0, self.objects / SMALL_OBJECTS) if self.widened else 1.0)

    def blocks(self, table: str) -> Iterator[pa.Table]:
        """Yield the rows of a table, in blocks."""
        if table == "ccd_visit":
            yield detections.visits(self.seed)
            return
        for start in range(0, max(self.objects, 1), self.block_objects):
            yield BY_OBJECT[table](self.places, start, min(start + self.block_objects, self.objects))

    def rows(self, table: str) -> pa.Table:
        """Return all rows of a table."""
        return pa.concat_tables(self.blocks(table))

    def write(self, table: str, path: Path) -> int:
        """Write a table's rows as Parquet, one block in memory at a time; return how many there are."""
        blocks = self.blocks(table)
        block = next(blocks)
        count = 0
        with pq.ParquetWriter(path, block.schema) as writer:
            for each in itertools.chain([block], blocks):
                writer.write_table(each)
                count += len(each)
        return count
