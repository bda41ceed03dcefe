"""VOTable (IVOA, versions 1.0 to 1.5): the first table of a document that has data, in any serialisation."""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Final, cast

import pyarrow as pa

from ingest.formats.fits import FitsFile
from ingest.formats.source import MOST_COLUMNS, Undivided, check_names, explained
from ingest.formats.votable_binary import Layout, columns_of_bytes
from ingest.formats.votable_document import Document, table_of
from ingest.formats.votable_values import Field, columns_of_texts
from ingest.locations import Location
from qserv.errors import BadFileError

_BEGIN: Final = re.compile(r"\s*<(\?xml\s|!--|!DOCTYPE\s|([\w.-]+:)?VOTABLE[\s>/])")


@dataclass(frozen=True)
class _Column:
    """A column of the file: of the field at a place, and among that field's columns."""

    place: int
    number: int


@dataclass(frozen=True)
class VotableFile(Undivided):
    """A VOTable.

    Elements of an array ``a`` are columns ``a_1``, ``a_2`` or ``a_1_1``, its first axis first; bits are an integer, the highest
    one first; a complex number is ``c_real`` and ``c_imag``. A table in FITS has the columns and units that this says.
    """

    path: Location
    units: Mapping[str, str]
    ucds: Mapping[str, str]
    descriptions: Mapping[str, str]
    fields: tuple[Field, ...]
    found: Mapping[str, _Column]
    fits: FitsFile | None = None
    row_count: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns, in its order."""
        return self.fits.columns if self.fits else tuple(self.found)

    @classmethod
    def open(cls, path: Location) -> "VotableFile":
        """Read the document up to the data of the first table that has some."""
        with explained(path), table_of(path) as document:
            fields = tuple(document.fields)
            if document.serialisation == "FITS":
                fits = FitsFile.open(path, _fits_in)
                return cls(path, fits.units, fits.ucds, fits.descriptions, fields, {}, fits)
            if sum(field.column_count for field in fields) > MOST_COLUMNS:
                msg = f"{path} has more than {MOST_COLUMNS:,} columns, elements of arrays counted"
                raise BadFileError(msg)
            if document.serialisation != "TABLEDATA":
                Layout.of(path, fields, with_flags=document.serialisation == "BINARY2")
        found = [
            (name, _Column(place, number)) for place, field in enumerate(fields) for number, name in enumerate(field.column_names)
        ]
        check_names(path, [name for name, _ in found])

        def told(texts: Sequence[str]) -> dict[str, str]:
            return {name: texts[column.place] for name, column in found if texts[column.place]}

        units, ucds = told([field.unit for field in fields]), told([field.ucd for field in fields])
        return cls(path, units, ucds, told([field.description for field in fields]), fields, dict(found))

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows; see `ingest.formats.source.SourceFile.batches`. The last ones wait for the end of the document."""
        with explained(self.path):
            held = None
            for batch in self._batches(columns):
                if held is not None:
                    yield held
                held = batch
            if held is not None:
                yield held

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if self.fits:
            yield from replace(self.fits, lend=partial(_fits_in, to_end=True)).batches(columns)
            return
        for name in columns:
            refused = self.fields[self.found[name].place].refused
            if refused:
                msg = f"{self.path}, column {name!r}: {refused}"
                raise BadFileError(msg)
        places = {self.found[name].place for name in columns}
        with table_of(self.path, to_end=True) as document:
            for values in self._values(document, places):
                arrays = [values[self.found[name].place][self.found[name].number] for name in columns]
                yield pa.RecordBatch.from_arrays(arrays, list(columns))

    def _values(self, document: Document, places: set[int]) -> Iterator[dict[int, list[pa.Array]]]:
        """Yield the columns of the fields at these places, in batches."""
        if document.serialisation == "TABLEDATA":
            width = len(self.fields)
            for cells in document.rows():
                yield {place: columns_of_texts(self.fields[place], cells[place::width]) for place in places}
            return
        layout = Layout.of(self.path, self.fields, with_flags=document.serialisation == "BINARY2")
        for rows in layout.rows(document):
            yield {place: columns_of_bytes(self.fields[place], place, rows) for place in places}


def looks_like_votable(begin: bytes) -> bool:
    """Tell whether a file that begins so is a VOTable, or other XML."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = begin.decode("utf-16", "ignore")
    else:
        text = begin.removeprefix(codecs.BOM_UTF8).decode("ascii", "ignore")
    return _BEGIN.match(text) is not None


def _fits_in(path: Location, *, to_end: bool = False) -> AbstractContextManager[IO[bytes]]:
    """Lend the FITS file in a document."""
    return cast("AbstractContextManager[IO[bytes]]", table_of(path, to_end=to_end))
