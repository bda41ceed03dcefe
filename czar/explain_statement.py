"""``EXPLAIN [ANALYZE] [(FORMAT TEXT|JSON, ANALYZE)] SELECT ...`` as a statement, and its answer of one column."""

import json
import re
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from czar.explain import Explanation
from qserv.errors import Place, QuerySyntaxError

COLUMN = "QUERY PLAN"
"""Name of the one column of the answer, as PostgreSQL's."""

_GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN = re.compile(rf"{_GAP}EXPLAIN\b", re.IGNORECASE | re.DOTALL)
_ANALYZE = re.compile(rf"{_GAP}ANALY[ZS]E\b", re.IGNORECASE | re.DOTALL)
_OPTIONS = re.compile(rf"{_GAP}\((?!{_GAP}(?:\(|SELECT\b|WITH\b|VALUES\b|TABLE\b))(?P<options>[^()]*)\)", re.IGNORECASE | re.DOTALL)

_YES = frozenset({"", "on", "true", "1"})
_NO = frozenset({"off", "false", "0"})


@dataclass(frozen=True)
class ExplainStatement:
    """A query whose plan is asked for."""

    query: str
    """Its text, blanks in the place of what stood before it, so that places in it are those of the whole statement."""
    analyze: bool = False
    """Whether the query is to be run, and measured."""
    format: Literal["text", "json"] = "text"

    def rows(self, explanation: Explanation) -> pa.RecordBatch:
        """Return the answer: a row for each line of text, or one row of JSON."""
        lines = explanation.text.splitlines() if self.format == "text" else [json.dumps(explanation.to_json(), indent=2)]
        return pa.RecordBatch.from_pydict({COLUMN: pa.array(lines, pa.string())})


def read_explain(text: str) -> ExplainStatement | None:
    """Read a statement that begins with EXPLAIN; None if it does not.

    Raises
    ------
    QuerySyntaxError
        An option is none of ANALYZE and FORMAT.
    """
    found = _EXPLAIN.match(text)
    if found is None:
        return None
    end, analyze, shown = found.end(), False, "text"
    if word := _ANALYZE.match(text, end):
        end, analyze = word.end(), True
    elif listed := _OPTIONS.match(text, end):
        for option in listed["options"].split(","):
            name, _, value = option.strip().lower().partition(" ")
            value = value.strip().strip("'\"")
            if name in {"analyze", "analyse"} and value in _YES | _NO:
                analyze = value in _YES
            elif name == "format" and value in {"text", "json"}:
                shown = value
            else:
                msg = f"EXPLAIN ({option.strip()}) is not known; its options are ANALYZE, and FORMAT TEXT or JSON"
                raise QuerySyntaxError(msg, _place(text, listed.start("options")))
        end = listed.end()
    return ExplainStatement(re.sub(r"[^\n]", " ", text[:end]) + text[end:], analyze, "json" if shown == "json" else "text")


def _place(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(before.count("\n") + 1, offset - before.rfind("\n"))
