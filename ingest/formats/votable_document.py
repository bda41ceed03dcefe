"""Documents of VOTable, parsed while they are read: the fields of the first table that has data, then its data."""

import binascii
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final
from xml.parsers import expat

from ingest.formats.compression import open_bytes
from ingest.formats.source import BATCH_BYTES, MOST_COLUMNS, MOST_VALUE_BYTES
from ingest.formats.votable_values import Field
from ingest.locations import Location
from qserv.errors import BadFileError

PIECE_BYTES: Final = 1 << 16
"""Parsed at a time: what it holds is kept, be it of the next batch."""

MOST_CELLS: Final = BATCH_BYTES // 64
"""Of a batch of TABLEDATA, as texts of Python, which take about so many bytes each."""

MOST_TOKEN_BYTES: Final = 1 << 20
"""Of a tag or a comment: expat keeps it until it is whole."""

MOST_NAMES: Final = 10_000
"""Of elements and attributes that differ: VOTable has about a hundred, and expat keeps them all."""

MOST_DEPTH: Final = 100
MOST_MESSAGE: Final = 300
"""Characters of what a service says of a failure."""

_Start = Callable[[str, Mapping[str, str]], object]
_Text = Callable[[str], object]


class Document:
    """A document that is read from its begin to its end.

    Attributes
    ----------
    fields
        Of the first table with data.
    serialisation
        Of its data: TABLEDATA, BINARY, BINARY2 or FITS; empty as long as they are not found.
    """

    def __init__(self, path: Location, file: IO[bytes]) -> None:
        self.fields: list[Field] = []
        self.serialisation = ""
        self._path, self._file = path, file
        self._fed_bytes = 0
        self._is_over = False
        self._elements: list[str] = []
        self._in_data = False
        self._cells: list[str] = []
        self._texts: list[str] = []
        self._left = b""
        self._stream = bytearray()
        self._names: dict[str, str] = {}
        self._parser = expat.ParserCreate(intern=self._names)
        self._parser.buffer_text = True
        self._parser.buffer_size = PIECE_BYTES
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.SkippedEntityHandler = self._refuse_entity
        self._handle(self._start, self._end)

    def find_table(self) -> None:
        """Read up to the data of the first table that has some; if none has, the last one has no rows."""
        while not self.serialisation:
            if self._feed():
                continue
            if not self.fields:
                msg = f"{self._path} has no TABLE with FIELDs"
                raise BadFileError(msg)
            self.serialisation = "TABLEDATA"

    def rows(self) -> Iterator[list[str]]:
        """Yield the values of rows in TABLEDATA, row by row, of bounded size."""
        held_bytes = row_bytes = 0
        while True:
            if len(self._cells) >= MOST_CELLS or held_bytes >= BATCH_BYTES or not self._in_data:
                if self._cells:
                    yield self._cells.copy()
                self._cells.clear()
                held_bytes = 0
            if not self._in_data:
                return
            before = len(self._cells)
            fed_bytes = self._feed()
            held_bytes += fed_bytes
            row_bytes = 0 if len(self._cells) > before else row_bytes + fed_bytes
            if row_bytes > MOST_VALUE_BYTES:
                msg = f"{self._path} has a row of over {MOST_VALUE_BYTES:,} bytes; leave columns out of it"
                raise BadFileError(msg)

    def read(self, size: int) -> bytes:
        """Return so many bytes of STREAM, decoded; fewer where it ends."""
        while len(self._stream) < size and self._in_data:
            self._feed()
        data = bytes(self._stream[:size])
        del self._stream[:size]
        return data

    def finish(self) -> None:
        """Read up to the end: only then it is known that the document is whole, and that its rows are all there are."""
        while not self._is_over and self._feed():
            self._stream.clear()

    def _feed(self) -> int:
        """Parse a piece of the file; return its size, 0 at the end."""
        piece = self._file.read(PIECE_BYTES)
        self._fed_bytes += len(piece)
        self._is_over = not piece
        try:
            self._parser.Parse(piece, not piece)
        except (expat.ExpatError, LookupError) as error:
            # The latter is of an encoding that nobody knows.
            msg = f"as XML, {error}"
            raise ValueError(msg) from error
        if self._in_data:
            self._decode()
        if self._fed_bytes - self._parser.CurrentByteIndex > MOST_TOKEN_BYTES + PIECE_BYTES and piece:
            msg = f"{self._path} has a tag or a comment of over {MOST_TOKEN_BYTES:,} bytes"
            raise BadFileError(msg)
        if len(self._names) > MOST_NAMES:
            msg = f"{self._path} has over {MOST_NAMES:,} names of elements and attributes, and VOTable has few"
            raise BadFileError(msg)
        return len(piece)

    def _handle(self, start: _Start, end: _Text, text: _Text | None = None) -> None:
        self._parser.StartElementHandler, self._parser.EndElementHandler = start, end
        self._parser.CharacterDataHandler = text

    def _refuse_entity(self, name: str, *_: object) -> None:
        msg = f"{self._path} has the entity {name!r} of a document type of its own: write it again without"
        raise BadFileError(msg)

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = tag.rpartition(":")[2]
        parents = self._elements
        if not parents and name != "VOTABLE":
            msg = f"{self._path} is XML, but no VOTable: it begins with {tag!r}"
            raise BadFileError(msg)
        if self._in_data or len(parents) == MOST_DEPTH:
            msg = f"{self._path} has {tag!r} inside of {parents[-1]}, where VOTable has none"
            raise BadFileError(msg)
        parents.append(name)
        if name == "INFO" and attributes.get("name") == "QUERY_STATUS":
            self._check_status(attributes.get("value", "").strip().upper())
        if self.serialisation:
            return
        match parents[-3:]:
            case [_, "DATA", "TABLEDATA"]:
                self._begin_data(name)
                self._handle(*self._of_cells(tag))
            case ["DATA", "BINARY" | "BINARY2" | "FITS" as serialisation, "STREAM"]:
                self._check_stream(attributes)
                self._begin_data(serialisation)
                self._parser.CharacterDataHandler = self._texts.append
            case _:
                self._take_description(parents, attributes)

    def _take_description(self, elements: list[str], attributes: Mapping[str, str]) -> None:
        """Take what the last one of nested elements says of a table."""
        match elements[-3:]:
            case [*_, "TABLE"]:
                self.fields = []
            case [_, "TABLE", "FIELD"]:
                self.fields.append(Field.of(self._path, attributes))
                if len(self.fields) > MOST_COLUMNS:
                    msg = f"{self._path} has more than {MOST_COLUMNS:,} columns"
                    raise BadFileError(msg)
            case ["TABLE", "FIELD", "VALUES"] if "null" in attributes:
                self.fields[-1] = self.fields[-1].with_null(attributes["null"])
            case ["TABLE", "FIELD", "DESCRIPTION"]:
                self._parser.CharacterDataHandler = self._take_message
            case [_, "DATA", "FITS"] if attributes.get("extnum", "1").strip() not in {"", "0", "1"}:
                msg = f"{self._path} has its table in extension {attributes['extnum']} of a FITS file, and only the first is read"
                raise BadFileError(msg)

    def _end(self, _tag: str) -> None:
        name = self._elements.pop()
        if name == "INFO" and self._parser.CharacterDataHandler is not None:
            said = " ".join("".join(self._texts).split())[:MOST_MESSAGE]
            msg = (
                f"{self._path} is the answer to a query that failed (QUERY_STATUS ERROR): {said or 'no reason is given'}; ask again"
            )
            raise BadFileError(msg)
        if name == "DESCRIPTION" and self._parser.CharacterDataHandler is not None:
            self.fields[-1] = self.fields[-1].with_description("".join(self._texts))
            self._texts.clear()
            self._parser.CharacterDataHandler = None
        if self._in_data and name == "STREAM":
            self._decode(is_last=True)
            self._parser.CharacterDataHandler = None
            self._in_data = False

    def _check_status(self, status: str) -> None:
        if status == "OVERFLOW":
            msg = (
                f"{self._path} does not hold all rows: the query met a limit of the service (QUERY_STATUS OVERFLOW);"
                f" ask again with a larger MAXREC"
            )
            raise BadFileError(msg)
        if status == "ERROR":
            self._parser.CharacterDataHandler = self._take_message

    def _take_message(self, text: str) -> None:
        if len(self._texts) < MOST_MESSAGE:
            self._texts.append(text[: 2 * MOST_MESSAGE])

    def _check_stream(self, attributes: Mapping[str, str]) -> None:
        if attributes.get("href"):
            msg = f"{self._path} holds no rows: they are at {attributes['href']!r}; get that, or the VOTable with the rows in it"
            raise BadFileError(msg)
        encoding = attributes.get("encoding", "base64").strip()
        if encoding != "base64":
            msg = f"{self._path} has a STREAM in the encoding {encoding!r}, and only base64 is read; write it again"
            raise BadFileError(msg)

    def _begin_data(self, serialisation: str) -> None:
        if not self.fields and serialisation != "FITS":
            msg = f"{self._path} has a TABLE with DATA, but without FIELD"
            raise BadFileError(msg)
        self.serialisation = serialisation
        self._in_data = True

    def _of_cells(self, tag: str) -> tuple[_Start, _Text, _Text]:
        """Return handlers that take the values in TABLEDATA; there are millions, and nothing else is in it."""
        prefix = tag.removesuffix("TABLEDATA")
        row_tag, cell_tag = f"{prefix}TR", f"{prefix}TD"
        width, cells, row = len(self.fields), self._cells, list[str]()
        inside, value = tag, ""

        def start(name: str, attributes: Mapping[str, str]) -> None:
            nonlocal inside
            if attributes or inside != (row_tag if name == cell_tag else tag if name == row_tag else None):
                self._check_begin(name, attributes, {cell_tag: row_tag, row_tag: tag}.get(name), inside)
            inside = name

        def text(data: str) -> None:
            nonlocal value
            if inside == cell_tag:
                value += data

        def end(name: str) -> None:
            nonlocal inside, value
            if name == cell_tag:
                row.append(value)
                value, inside = "", row_tag
                if len(row) > width:
                    msg = f"a row has more than {width} values, of as many fields"
                    raise ValueError(msg)
            elif name == row_tag:
                if len(row) != width:
                    msg = f"a row has {len(row)} values, of {width} fields"
                    raise ValueError(msg)
                cells.extend(row)
                row.clear()
                inside = tag
            else:
                self._elements.pop()
                self._in_data = False
                self._handle(self._start, self._end)

        return start, end, text

    def _check_begin(self, name: str, attributes: Mapping[str, str], allowed: str | None, inside: str) -> None:
        """Refuse an element of TABLEDATA where it is not allowed, or whose value is written otherwise."""
        if inside != allowed:
            msg = f"{self._path} has {name!r} inside of {inside!r}, where VOTable has none"
            raise BadFileError(msg)
        if attributes.get("encoding", "none") != "none":
            msg = f"{self._path} has a value in the encoding {attributes['encoding']!r}, which is not read; write it again"
            raise BadFileError(msg)

    def _decode(self, *, is_last: bool = False) -> None:
        """Decode what there is of STREAM."""
        encoded = self._left + b"".join("".join(self._texts).encode("ascii").split())
        self._texts.clear()
        whole = len(encoded) if is_last else (len(encoded) - 1) // 4 * 4
        # The last four characters are kept until the end, as only they may be filled up.
        self._left = encoded[max(whole, 0) :]
        if whole > 0:
            if not is_last and b"=" in encoded[:whole]:
                msg = "base64 goes on behind its end"
                raise ValueError(msg)
            self._stream += binascii.a2b_base64(encoded[:whole], strict_mode=True)


@contextmanager
def table_of(path: Location, *, to_end: bool = False) -> Iterator[Document]:
    """Lend the document of a file, read up to its table's data; ``to_end`` reads what is behind them, too, afterwards."""
    with open_bytes(path) as file:
        document = Document(path, file)
        document.find_table()
        yield document
        if to_end:
            document.finish()
