"""Queries of the corpus: YAML files, one a family of features.

An entry has a ``name``, a ``query``, and where they apply

- ``dialect``: ``adql`` or ``mysql``; without it the native one;
- ``oracle``: the same question to plain PostgreSQL, where that needs another spelling;
- ``differs``: a difference of meaning that is allowed, in a sentence; it needs an ``oracle`` that shows it;
- ``empty``: true where no row is the right answer. An answer without rows is an error elsewhere;
- ``within``: how far off doubles may be, of themselves, where a sum of magnitudes does not say it.

``pending.yaml`` names the entries that the engine refuses today, and those that it answers wrongly, with the reason.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from czar.parse import parse
from tap.adql.parse import parse_adql
from tests.oracle.asking import RELATIVE

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One query of a corpus."""

    name: str
    query: str
    dialect: str = "native"
    oracle: str | None = None
    differs: str | None = None
    empty: bool = False
    within: float = RELATIVE

    @property
    def needs_bigsky(self):
        return "bigsky" in self.query.lower()

    @property
    def statement(self):
        """What a session takes."""
        if self.dialect == "native":
            return self.query
        return parse_adql(self.query) if self.dialect == "adql" else parse(self.query, self.dialect)


def read_entries(directory, kind=Entry):
    """Return the entries of all files of a directory beside this file, by their names after the file's."""
    entries = {}
    for path in sorted((HERE / directory).glob("*.yaml")):
        for item in yaml.safe_load(path.read_text(encoding="utf-8")) or []:
            entry = kind(**item)
            name = f"{path.stem}/{entry.name}"
            assert name not in entries, f"{name} is there twice"
            assert "differs" not in item or "oracle" in item, f"{name}: a difference needs the oracle's query"
            entries[name] = entry
    return entries


@dataclass(frozen=True)
class Pending:
    """Entries of the corpus that have no right answer yet."""

    refused: frozenset[str]
    wrong: dict[str, str]
    """Names of entries that are answered wrongly, or fail, and why."""


def read_pending():
    content = yaml.safe_load((HERE / "pending.yaml").read_text(encoding="utf-8"))
    return Pending(frozenset(content["refused"]), content["wrong"])
