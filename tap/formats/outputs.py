"""The formats in which answers can be had, and their names (TAP 1.1, section 2.7.3; TAPRegExt 1.0, section 2.5)."""

from dataclasses import dataclass, field

from qserv.errors import QueryValueError
from tap.formats.binary2 import Binary2Encoder
from tap.formats.delimited import CsvEncoder, TsvEncoder
from tap.formats.encoder import Encoder
from tap.formats.parquet import ParquetEncoder
from tap.formats.tabledata import TabledataEncoder

VOTABLE = "application/x-votable+xml"


@dataclass(frozen=True)
class OutputFormat:
    """A format: its media type, as the answer's header says it, and the names that ask for it."""

    media_type: str
    aliases: tuple[str, ...]
    encoder: type[Encoder]
    suffix: str
    """Of a file that holds an answer."""
    ivo_id: str | None = None
    """Identifier in TAPRegExt, if it has one."""
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(_plain(name) for name in (self.media_type, *self.aliases)))


def _plain(name: str) -> str:
    """Return a name without blanks, quotes and the difference of upper and lower case."""
    return "".join(name.lower().split()).replace('"', "")


TAPREGEXT = "ivo://ivoa.net/std/TAPRegExt#output-votable-"

OUTPUTS = (
    OutputFormat(VOTABLE, ("votable", "votable/b2"), Binary2Encoder, "vot", TAPREGEXT + "binary2"),
    OutputFormat(VOTABLE + ";serialization=binary2", (), Binary2Encoder, "vot", TAPREGEXT + "binary2"),
    OutputFormat(VOTABLE + ";serialization=tabledata", ("votable/td",), TabledataEncoder, "vot", TAPREGEXT + "td"),
    OutputFormat("text/xml", (), TabledataEncoder, "xml", TAPREGEXT + "td"),
    OutputFormat("text/csv;header=present", ("csv", "text/csv"), CsvEncoder, "csv"),
    OutputFormat("text/tab-separated-values", ("tsv",), TsvEncoder, "tsv"),
    OutputFormat(
        "application/vnd.apache.parquet", ("parquet", "application/x-parquet", "application/parquet"), ParquetEncoder, "parquet"
    ),
)
"""All formats, the default one first."""

BY_NAME = {name: output for output in OUTPUTS for name in output.names}


def find_output(name: str | None) -> OutputFormat:
    """Return the format of a name; the default one for no name.

    Raises
    ------
    QueryValueError
        There is no such format; the message names those there are.
    """
    if not name:
        return OUTPUTS[0]
    found = BY_NAME.get(_plain(name))
    if found is None:
        shorts = ", ".join(output.aliases[0] if output.aliases else output.media_type for output in OUTPUTS)
        msg = f"RESPONSEFORMAT {name!r} is not supported; there are: {shorts}"
        raise QueryValueError(msg)
    return found
