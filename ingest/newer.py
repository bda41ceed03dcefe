"""New rows of a table with versions, as far as those that they follow need to know them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingest.family import Family
from ingest.making import Making
from ingest.places import BASE, Place
from ingest.references import Measurement, slot_safe
from ingest.rows import Bools
from qserv.errors import IngestError
from qserv.ids import ChunkId
from schema.model import CONTRIBUTION_COLUMN, ENDED_COLUMN, Table, Versions
from schema.physical import is_among

Places = Mapping[str, Mapping[ChunkId, Place]]
"""Where rows of tables are, by their names."""

Keys = npt.NDArray[np.void]
"""Keys of rows, shape (n,), with an integer for each column."""


def keys_of(rows: pa.RecordBatch | pa.Table, columns: Sequence[str]) -> Keys:
    """Return the integers that rows have in some columns."""
    return keys_from(*(rows.column(name).cast(pa.int64()).to_numpy() for name in columns))


def keys_from(*columns: npt.ArrayLike) -> Keys:
    """Return keys of their columns, integers of shape (n,) each."""
    arrays = [np.asarray(column, dtype=np.int64) for column in columns]
    found = np.empty(len(arrays[0]), dtype=[(f"key{place}", np.int64) for place in range(len(arrays))])
    for place, array in enumerate(arrays):
        found[f"key{place}"] = array
    return found


@dataclass(frozen=True)
class Newer:
    """New rows, in the order of their keys: when each begins, and the number of its contribution; and which are withdrawn."""

    table: Table
    versions: Versions
    keys: Keys
    rows: pa.Table
    withdrawn: Bools

    @classmethod
    async def read(
        cls, making: Making, family: Family, table: Table, versions: Versions, places: Mapping[ChunkId, Place]
    ) -> "Newer":
        """Read new rows.

        Raises
        ------
        IngestError
            Two have one key.
        """
        names = [*table.version_key, versions.start, CONTRIBUTION_COLUMN]
        shown = ", ".join(f"source.{slot_safe(name)} AS column{place}" for place, name in enumerate(names))
        gone = "FALSE" if versions.withdrawn is None else f"source.{slot_safe(versions.withdrawn)} IS NOT NULL"
        found: list[pa.RecordBatch] = []
        ask = measurement(making, family, {table.name: places}).ask
        await ask(f"SELECT {shown}, {gone} AS gone FROM {{source}} AS source", {"source": (table, BASE)}, found.append)  # noqa: S608 (columns are quoted)
        rows = pa.Table.from_batches(found)
        keys = keys_of(rows, rows.column_names[:-3])
        order = np.argsort(keys)
        keys, rows = keys[order], rows.take(pa.array(order)).combine_chunks()
        if (twice := keys[1:] == keys[:-1]).any():
            raise occurs_twice(table, keys[1:][twice][0])
        return cls(table, versions, keys, rows.drop_columns("gone"), rows.column("gone").to_numpy())

    @property
    def contribution_id(self) -> int:
        """The number of one of their contributions."""
        return int(self.rows.column(self.rows.num_columns - 1)[0].as_py())

    def ended(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        """Return rows that these follow as rows of the history, with its schema.

        Raises
        ------
        IngestError
            One begins later than the row that follows it.
        """
        keys = keys_of(batch, self.table.version_key)
        newer = self.rows.take(pa.array(np.searchsorted(self.keys, keys)))
        start, number = (newer.column(newer.num_columns + place).combine_chunks() for place in (-2, -1))
        later = pc.greater(start, batch.column(self.versions.start)).fill_null(fill_value=False)
        if not pc.all(later).as_py():
            raise not_later(self.table, self.versions, np.sort(keys[~later.to_numpy(zero_copy_only=False)])[0])
        columns = {name: batch.column(name) for name in batch.schema.names} | {self.versions.end: start, ENDED_COLUMN: number}
        return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)


def measurement(making: Making, family: Family, places: Places, measured: Places | None = None) -> Measurement:
    """Return what asks nodes about rows of tables: of all that are there, or of some that are measured."""
    return Measurement(making.engine, making.nodes, family.database, making.staging, places, measured or places)


def among(place: Place, columns: Sequence[str], keys: Keys) -> Place:
    """Return where the rows are that have, in some columns, one of some keys."""
    condition = is_among(columns, [keys[name].tolist() for name in keys.dtype.names or ()], "rows")
    return replace(place, base=f"(SELECT * FROM {place.base} AS rows WHERE {condition})")  # noqa: S608 (quoted, and integers)


def not_later(table: Table, versions: Versions, key: np.void) -> IngestError:
    """Return the error of a row that begins before the one that it follows."""
    msg = f"the row of {named(table, key)} does not begin ({versions.start}) after the one that is there"
    return IngestError(f"table {table.name}: {msg}")


def occurs_twice(table: Table, key: np.void) -> IngestError:
    """Return the error of two new rows with one key."""
    return IngestError(f"table {table.name}: {named(table, key)} occurs twice in what was sent; one row has a key")


def named(table: Table, key: np.void) -> str:
    """Return a key as messages name it."""
    return ", ".join(f"{name} {value}" for name, value in zip(table.version_key, key.tolist(), strict=True))
