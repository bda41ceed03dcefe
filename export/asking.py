"""What is exported, as queries: one for an answer, and for a table one for each part of the sky that has not too many rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from czar.service.client import Czar
from export.cutting import ALL_SKY, MAX_ORDER
from export.meaning import write_schema_of_answer, write_schema_of_table
from partitioner.healpix import ORDER
from partitioner.pixel import HealpixPixel
from qserv.errors import ExportError
from schema.model import HEALPIX_COLUMN, ColumnType, Table
from schema.serialise import table_from_json
from schema.types import arrow_type

PART_ROWS: Final = 10_000_000
PART_BYTES: Final = 2 * 2**30
"""Of one query: well within what an answer may have (`QSERV_MAX_ROWS`, `QSERV_MAX_ANSWER_BYTES`, `QSERV_QUERY_TIMEOUT_S`)."""

TEXT_BYTES: Final = 32
"""Of a text, as long as nobody has seen it."""

COUNT_ORDERS: Final = 5
"""By which pixels are finer than the one whose rows are counted: 1024 of them."""


@dataclass(frozen=True)
class Part:
    """A part of what is exported: all rows in some pixels. Without a query there are none."""

    pixels: tuple[HealpixPixel, ...]
    query: str | None
    dialect: str = "native"


class Asked(Protocol):
    """What is exported."""

    @property
    def name(self) -> str:
        """Of the catalogue, and of its table."""

    @property
    def position(self) -> tuple[str, str] | None:
        """Columns of right ascension and declination, if they are known."""

    @property
    def rows(self) -> int | None:
        """How many there will be, if that is known."""

    @property
    def table(self) -> Table | None:
        """The table, if it is one."""

    def parts(self, least_rows: int) -> Iterator[Part]:
        """Yield parts that tile the sky.

        Parameters
        ----------
        least_rows
            A pixel with so many rows is not divided.
        """

    def check(self) -> None:
        """Raise an `ExportError` if the parts are not of one and the same moment."""

    def write_schema(self, directory: Path, with_nan: Sequence[str]) -> Path:
        """Write the schema by which a collection can be loaded again, and return its Felis file.

        Parameters
        ----------
        directory
            The collection, with all else that is in it.
        with_nan
            Columns of an answer in which NaN is.
        """


class AskedQuery:
    """The answer of a query."""

    rows: int | None = None
    table: Table | None = None

    def __init__(self, query: str, dialect: str, name: str, position: tuple[str, str] | None) -> None:
        self.query, self.dialect, self.name, self.position = query, dialect, name, position

    def parts(self, least_rows: int) -> Iterator[Part]:
        """Yield the one part."""
        del least_rows
        yield Part(ALL_SKY, self.query, self.dialect)

    def check(self) -> None:
        """Do nothing: one query is of one moment."""

    def write_schema(self, directory: Path, with_nan: Sequence[str]) -> Path:
        """Write what is proposed for the rows; see `Asked.write_schema`."""
        return write_schema_of_answer(directory, self.name, with_nan)


class AskedTable:
    """A published table.

    Raises
    ------
    ExportError
        It has no position.
    """

    def __init__(self, czar: Czar, database: str, table: str, *, part_rows: int = PART_ROWS) -> None:
        self._czar, self._part_rows = czar, part_rows
        self.declaration = czar.declaration(database, table)
        self.table = table_from_json(self.declaration.table)
        self.name = self.table.name
        self.rows = self.declaration.rows
        self.position = self._position()

    def parts(self, least_rows: int) -> Iterator[Part]:
        """Yield the parts: one of a small table."""
        most = max(min(self._part_rows, PART_BYTES // _row_bytes(self.table)), least_rows)
        if not self.table.partitioned or self.rows is None or self.rows <= most:
            yield Part(ALL_SKY, self._select())
            return
        yield Part((), self._select(f"{_quoted(HEALPIX_COLUMN)} IS NULL"))
        counts = self._counts(None)
        for pixel in ALL_SKY:
            yield from self._parts(pixel, counts, COUNT_ORDERS, most)

    def check(self) -> None:
        """Raise an error if the table has other rows than when it was first looked at."""
        now = self._czar.declaration(self.declaration.database, self.name)
        if now.edition != self.declaration.edition:
            msg = f"table {self.declaration.database}.{self.name} has other rows than when the export began; export it again"
            raise ExportError(msg)

    def write_schema(self, directory: Path, with_nan: Sequence[str]) -> Path:
        """Write what is declared of the table; see `Asked.write_schema`."""
        del with_nan
        return write_schema_of_table(directory, self.declaration, self.table)

    def _position(self) -> tuple[str, str]:
        if self.table.ra is not None and self.table.dec is not None:
            return self.table.ra, self.table.dec
        database, name = self.declaration.database, self.table.name
        if not self.table.directors:
            msg = f"table {database}.{name} has no position; export a SELECT that has one, such as a join"
            raise ExportError(msg)
        director, key = self.table.directors[0]
        other = table_from_json(self._czar.declaration(database, director).table)
        columns = f"t.*, d.{other.ra}, d.{other.dec}"
        tables = f"{database}.{name} AS t JOIN {database}.{director} AS d ON t.{key} = d.{other.director_key}"
        msg = f"table {database}.{name} has no position of its own; export the answer of: SELECT {columns} FROM {tables}"  # noqa: S608 (a text for people)
        raise ExportError(msg)

    def _parts(self, pixel: HealpixPixel, counts: dict[int, int], order: int, most: int) -> Iterator[Part]:
        """Yield the parts of a pixel, from the counts of the pixels of an order."""
        finer = 2 * (order - pixel.order)
        rows = sum(counts.get((pixel.ipix << finer) + each, 0) for each in range(1 << finer)) if counts else 0
        if rows == 0:
            yield Part((pixel,), None)
        elif rows <= most or pixel.order >= MAX_ORDER:
            yield Part((pixel,), self._select(_within(pixel)))
        else:
            if pixel.order == order:
                order += COUNT_ORDERS
                counts = self._counts(pixel)
            for child in pixel.children:
                yield from self._parts(child, counts, order, most)

    def _counts(self, pixel: HealpixPixel | None) -> dict[int, int]:
        """Return the rows of the finer pixels of a pixel, or of the whole sky."""
        order = COUNT_ORDERS + (0 if pixel is None else pixel.order)
        number = f"{_quoted(HEALPIX_COLUMN)} >> {2 * (ORDER - order)}"
        where = f"{_quoted(HEALPIX_COLUMN)} IS NOT NULL" if pixel is None else _within(pixel)
        query = f"SELECT {number} AS pixel, COUNT(*) AS row_count FROM {self._from} WHERE {where} GROUP BY {number}"  # noqa: S608 (as below)
        found = self._czar.query(query)
        return dict(zip(found.column("pixel").to_pylist(), found.column("row_count").to_pylist(), strict=True))

    @property
    def _from(self) -> str:
        return f"{_quoted(self.declaration.database)}.{_quoted(self.name)}"

    def _select(self, where: str | None = None) -> str:
        columns = ", ".join(_quoted(column.name) for column in self.table.columns)
        return f"SELECT {columns} FROM {self._from}" + (f" WHERE {where}" if where else "")  # noqa: S608 (names that are quoted)


def _row_bytes(table: Table) -> int:
    """Return about how many bytes a row takes in memory."""
    kinds = [(column, arrow_type(column)) for column in table.columns]
    texts = {ColumnType.CHAR, ColumnType.STRING, ColumnType.UNICODE, ColumnType.TEXT, ColumnType.BINARY}
    return max(sum(TEXT_BYTES if column.datatype in texts else max(kind.bit_width // 8, 1) for column, kind in kinds), 1)


def _within(pixel: HealpixPixel) -> str:
    first, end = pixel.range29
    return f"{_quoted(HEALPIX_COLUMN)} >= {first} AND {_quoted(HEALPIX_COLUMN)} < {end}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
