"""Kinds of PostgreSQL's types, as far as it matters how numbers are added up, divided, compared and sent."""

from enum import Enum, auto


class Kind(Enum):
    """What a value is."""

    INTEGER = auto()
    """smallint and integer: their sum is a bigint."""
    BIGINT = auto()
    """Its sum is numeric."""
    NUMERIC = auto()
    """Or something of which it cannot be said that it is not."""
    FLOAT = auto()
    TIME = auto()
    INTERVAL = auto()
    OTHER = auto()
