"""HATS catalogues as sources: which files of such a directory hold the rows of its table (hats.readthedocs.io; IVOA Note HATS).

A catalogue is read by what its own files say of it, never by a listing: its directory holds more Parquet than its rows, such as
`_metadata`, a thumbnail, and in a collection the margins, whose rows are those of the main catalogue once more.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Final, Protocol

from qserv.errors import BadFileError

COLLECTION_FILE: Final = "collection.properties"
CATALOGUE_FILES: Final = ("hats.properties", "properties")
"""What a catalogue says of itself, under the name of today and the one of before."""

PARTITIONS_FILE: Final = "partition_info.csv"
DATASET: Final = "dataset"
COMMON_METADATA: Final = "_common_metadata"

KIND: Final = "dataproduct_type"
WITH_ROWS: Final = ("object", "source")
"""Kinds of catalogues whose rows are a table."""

SUFFIX: Final = re.compile(r"/|\.[A-Za-z0-9_.]+")
"""What files of partitions end in; a slash where they are directories of files."""

WITHOUT_POSITION: Final = "qserv_without_position"
"""Our own property: the file of rows that have no position, which HATS has no place for."""

PIXEL_COLUMNS: Final = frozenset({"_healpix_29", "_hipscat_index"})
PLACES: Final = frozenset({"Norder", "Dir", "Npix"})
"""Columns of where a row lies in the catalogue, as hive names directories; some writers put them into the files, too."""

PIXELS_A_DIRECTORY: Final = 10_000


class Directory(Protocol):
    """A directory that may be a catalogue. Names are those of files below it."""

    def text(self, name: str) -> str | None:
        """Return the text of a small file, None if it is not there.

        Raises
        ------
        BadFileError
            It is there, and cannot be read.
        """

    def names(self, name: str) -> list[str]:
        """Return the names of the files below a directory of it, from there on, sorted.

        Raises
        ------
        BadFileError
            Nobody can list them.
        """


def hats_files(directory: Directory) -> list[str] | None:
    """Return the names of the files with the rows of a HATS catalogue, or of the main one of a collection; None if it is neither.

    Of a catalogue without rows, it is the file that tells its columns.

    Raises
    ------
    BadFileError
        It is one, and has no rows of a table, or says what cannot be.
    """
    main = _properties(directory, COLLECTION_FILE)
    below = ""
    if main is not None:
        below = _inner(directory, main.get("hats_primary_table_url", ""))
    told = (_properties(directory, f"{below}{name}") for name in CATALOGUE_FILES)
    found = next((each for each in told if each is not None and KIND in each), None)
    if found is None:
        if main is None:
            return None
        msg = f"{directory}: its main catalogue {below.rstrip('/')!r} is not there; get the collection again, whole"
        raise BadFileError(msg)
    kind = found[KIND]
    if kind not in WITH_ROWS:
        msg = f"{directory} is a HATS catalogue of kind {kind!r}, whose rows are no table of their own; name the catalogue it is of"
        raise BadFileError(msg)
    suffix = found.get("hats_npix_suffix", ".parquet")
    if SUFFIX.fullmatch(suffix) is None:
        msg = f"{directory} says that its files end in {suffix!r}, which is no ending of a file; get it again"
        raise BadFileError(msg)
    names = [f"{below}{name}" for name in _partitions(directory, below, suffix)]
    if lost := found.get(WITHOUT_POSITION):
        names.append(f"{below}{_inner(directory, lost).rstrip('/')}")
    return names or [f"{below}{DATASET}/{COMMON_METADATA}"]


def partition_name(order: int, pixel: int, suffix: str = ".parquet") -> str:
    """Return the name of a partition's file below a catalogue."""
    return f"{DATASET}/Norder={order}/Dir={pixel // PIXELS_A_DIRECTORY * PIXELS_A_DIRECTORY}/Npix={pixel}{suffix}"


def places_of(columns: tuple[str, ...]) -> frozenset[str]:
    """Return which columns of a file say no more than where in a HATS catalogue its rows lie."""
    if not PIXEL_COLUMNS.intersection(columns):
        return frozenset()
    return frozenset((PIXEL_COLUMNS | PLACES).intersection(columns))


def read_properties(text: str) -> dict[str, str]:
    """Read a file of properties as Java writes them, each on a line of its own."""
    found = {}
    for line in map(str.strip, text.splitlines()):
        if not line or line[0] in "#!":
            continue
        place = min((at for at in map(line.find, "=:") if at >= 0), default=len(line))
        found[line[:place].strip()] = _unescaped(line[place + 1 :].strip())
    return found


def _unescaped(text: str) -> str:
    letters = iter(text)
    return "".join(next(letters, "") if letter == "\\" else letter for letter in letters)


def _properties(directory: Directory, name: str) -> Mapping[str, str] | None:
    text = directory.text(name)
    return None if text is None else read_properties(text)


def _inner(directory: Directory, name: str) -> str:
    """Return a name that must lead below the directory, with a slash behind it."""
    path = PurePosixPath(name)
    if not name or "://" in name or path.is_absolute() or ".." in path.parts:
        msg = f"{directory} names {name!r}, which is not below it; name that directory itself"
        raise BadFileError(msg)
    return f"{path}/"


def _partitions(directory: Directory, below: str, suffix: str) -> Iterator[str]:
    """Yield the names of the files of all partitions, below the catalogue."""
    text = directory.text(f"{below}{PARTITIONS_FILE}")
    if text is None:
        found = directory.names(f"{below}{DATASET}")
        yield from (f"{DATASET}/{name}" for name in found if "Npix=" in name)
        return
    try:
        header, *lines = [line.split(",") for line in text.splitlines() if line.strip()]
        order, pixel = header.index("Norder"), header.index("Npix")
        pixels = [(int(line[order]), int(line[pixel])) for line in lines]
    except (ValueError, IndexError) as error:
        msg = f"{directory}: {PARTITIONS_FILE} is no list of partitions: {error}; get it again"
        raise BadFileError(msg) from error
    for each in pixels:
        name = partition_name(*each, suffix)
        if suffix == "/":
            yield from (f"{name}{file}" for file in directory.names(f"{below}{name}"))
        else:
            yield name
