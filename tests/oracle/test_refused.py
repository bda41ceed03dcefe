"""What is valid and not yet there is refused with its place, and what has no answer is explained."""

from dataclasses import dataclass, field

import pytest

from qserv.errors import NotYetSupportedError, QueryError
from tests.oracle.corpora import Entry, read_entries


@dataclass(frozen=True)
class Refused(Entry):
    """A query that is refused today; ``valid`` is what plain PostgreSQL takes, where it has no such function."""

    valid: str | None = None


@dataclass(frozen=True)
class Wrong(Entry):
    """A query without answer: the error's ``code``, what its message ``says``, its ``place`` (line, column) if it must have one."""

    code: str = ""
    says: list = field(default_factory=list)
    place: list | None = None


REFUSED = read_entries("refused", Refused)
WRONG = read_entries("wrong", Wrong)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_place(name, loaded):
    entry = REFUSED[name]
    loaded.plain.execute(f"EXPLAIN {entry.valid or entry.query}", prepare=False)
    with pytest.raises(NotYetSupportedError, match="not yet supported") as refused:
        loaded.ask(entry.statement, text=entry.query)
    assert refused.value.place is not None


@pytest.mark.parametrize("name", WRONG)
def test_error_says_what_and_where(name, loaded):
    entry = WRONG[name]
    with pytest.raises(QueryError) as wrong:
        loaded.ask(entry.statement, text=entry.query)
    assert wrong.value.code == entry.code, wrong.value
    for words in entry.says:
        assert words in str(wrong.value)
    if entry.place:
        assert [wrong.value.place.line, wrong.value.place.column] == entry.place
