"""The rows that are loaded: the real catalogue of 981,852 stars, and a generated one of any size."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schema.catalogues import schema_path
from schema.felis import read_database
from schema.model import Database, Table

BIGSKY = Path(__file__).resolve().parents[3] / "shared" / "data" / "stars" / "bigsky_mag11.parquet"
"""Where the file is looked for unless it is named: it is too large for the repository."""

ROW_GROUP_ROWS = 250_000
"""Rows made and written at a time."""


@dataclass(frozen=True)
class Bigsky:
    """The catalogue that is measured."""

    path: Path
    schema: Path
    database: Database

    @classmethod
    def at(cls, path: Path) -> "Bigsky":
        """Return the catalogue of a file."""
        return cls(path, schema_path("stars"), read_database(schema_path("stars")))

    @property
    def table(self) -> Table:
        """Its table."""
        return self.database.by_name["bigsky"]


def generate(path: Path, like: Path, rows: int, seed: int) -> None:
    """Write a file of stars that lie uniformly on the sky, with the columns of a bigsky file, row group by row group.

    Other columns are values of that file, taken at random. Tycho identifiers are unique.
    """
    pool = pq.read_table(like).combine_chunks()
    random = np.random.default_rng(seed)
    with pq.ParquetWriter(path, pool.schema) as writer:
        for start in range(0, rows, ROW_GROUP_ROWS):
            count = min(ROW_GROUP_ROWS, rows - start)
            group = pool.take(pa.array(random.integers(0, pool.num_rows, count)))
            number = np.arange(start, start + count)
            made = {
                "ra_degrees": pa.array(random.uniform(0, 360, count)),
                "dec_degrees": pa.array(np.degrees(np.arcsin(random.uniform(-1, 1, count)))),
                "tyc_id": pa.array([f"{1 + n // 99_999}-{1 + n % 99_999}-1" for n in number.tolist()]),
                "ccdm": pa.nulls(count, pool.schema.field("ccdm").type),
            }
            for name, values in made.items():
                index = pool.schema.get_field_index(name)
                group = group.set_column(index, pool.schema.field(name), values.cast(pool.schema.field(name).type))
            writer.write_table(group)
