"""The words of an ADQL text."""

import re
from bisect import bisect_right
from enum import Enum, auto
from typing import NamedTuple

from qserv.errors import Place, QuerySyntaxError


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    """Keyword or regular identifier."""
    DELIMITED = auto()
    """Identifier in double quotes."""
    STRING = auto()
    INTEGER = auto()
    DECIMAL = auto()
    """Number with a point or an exponent."""
    SYMBOL = auto()
    END = auto()


class Token(NamedTuple):
    """A token: ``key`` is the upper-case form of a word, the value of a quoted one, and the text of any other."""

    kind: Kind
    text: str
    key: str
    start: int
    end: int
    """Offset of its last character, as in sqlglot."""


TOKEN = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*)
  | (?P<DECIMAL>(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<INTEGER>\d+)
  | (?P<WORD>[A-Za-z][A-Za-z0-9_]*)
  | (?P<STRING>'(?:[^']|'')*')
  | (?P<DELIMITED>"(?:[^"]|"")*")
  | (?P<SYMBOL><=|>=|<>|!=|\|\||[-+*(),.;=<>]|/(?!\*))
    """,
    re.VERBOSE | re.ASCII,
)

FOREIGN = {
    "::": "casts are written CAST(value AS type)",
    "/*": "comments begin with -- and end with their line",
    "_": 'a name that begins with an underscore is written in double quotes, such as "_healpix_29"',
    "'": "a string that begins here does not end; a quote within it is doubled",
    '"': "a name in double quotes that begins here does not end",
    "%": "the remainder is written MOD(a, b)",
    "^": "a power is written POWER(a, b)",
    "0x": "hexadecimal numbers are not part of ADQL",
}
"""What to write instead of what other dialects of SQL allow."""


class Source:
    """A text and where its lines begin."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        """Return line and column of an offset."""
        line = bisect_right(self.line_starts, offset)
        return Place(line, offset - self.line_starts[line - 1] + 1)


def tokenise(source: Source) -> list[Token]:
    """Cut a text into tokens, the last of kind `Kind.END`.

    Raises
    ------
    QuerySyntaxError
        A character begins no token of ADQL.
    """
    text, tokens, offset, match_at = source.text, [], 0, TOKEN.match
    size = len(text)
    while offset < size:
        match = match_at(text, offset)
        if match is None:
            raise _foreign(source, offset)
        start, offset = offset, match.end()
        name = match.lastgroup
        if name == "blank":
            continue
        found = match.group()
        kind = Kind[name or "END"]
        if kind is Kind.WORD:
            key = found.upper()
        elif kind is Kind.STRING:
            key = found[1:-1].replace("''", "'")
        elif kind is Kind.DELIMITED:
            key = found[1:-1].replace('""', '"')
            if not key:
                msg = "a name in double quotes must not be empty"
                raise QuerySyntaxError(msg, source.place(start))
        else:
            key = found
            if kind is not Kind.SYMBOL and offset < size and (text[offset].isalnum() or text[offset] == "_"):
                raise _foreign(source, start)
        tokens.append(Token(kind, found, key, start, offset - 1))
    tokens.append(Token(Kind.END, "", "", size, size))
    return tokens


def _foreign(source: Source, offset: int) -> QuerySyntaxError:
    """Return the error for text at ``offset`` that ADQL has no token for."""
    found = source.text[offset : offset + 2]
    hint = FOREIGN.get(found) or FOREIGN.get(found[:1])
    if hint is None and found[:1].isdigit():
        hint = "a name cannot begin with a digit, unless it is written in double quotes"
    if hint is None and found[:1].isalpha():
        hint = "a name with letters other than A to Z is written in double quotes"
    shown = found if found in FOREIGN else found[:1]
    return QuerySyntaxError(f"unexpected {shown!r}" + (f": {hint}" if hint else ""), source.place(offset))
