"""The text of a SELECT cut into its parts, at tokens: no part is rewritten, so that the oracle reads what was written."""

import itertools
from dataclasses import dataclass

from sqlglot.dialects.postgres import Postgres
from sqlglot.tokens import TokenType

CLAUSES = {
    TokenType.SELECT: "select",
    TokenType.DISTINCT: "distinct",
    TokenType.FROM: "from",
    TokenType.ORDER_BY: "order",
    TokenType.LIMIT: "limit",
    TokenType.OFFSET: "offset",
}

DIRECTIONS = {"ASC", "DESC", "NULLS", "FIRST", "LAST"}


@dataclass(frozen=True)
class Cut:
    """The parts of a SELECT."""

    items: tuple[str, ...]
    rest: str
    """From FROM on, without ORDER BY, LIMIT and OFFSET."""
    order: tuple[str, ...]
    limit: int | None
    offset: int
    distinct: bool

    @classmethod
    def of(cls, text):
        found, commas = _top_level(text)
        start = found["from"].start
        ends = sorted([*(found[name].start for name in ("order", "limit", "offset") if name in found), len(text)])

        def body(name):
            token = found[name]
            return token.end + 1, next(end for end in ends if end > token.start)

        def count(name):
            if name not in found:
                return None
            low, high = body(name)
            return int(text[low:high])

        distinct = "distinct" in found and found["distinct"].start < start
        first = (found["distinct"] if distinct else found["select"]).end + 1
        return cls(
            items=_parts(text, first, start, commas),
            rest=text[start : ends[0]],
            order=_parts(text, *body("order"), commas) if "order" in found else (),
            limit=count("limit"),
            offset=count("offset") or 0,
            distinct=distinct,
        )

    @property
    def order_expressions(self):
        """The terms of ORDER BY without their directions."""
        return tuple(_without_direction(term) for term in self.order)

    def select(self, hidden=(), tail=""):
        """Return the query with further items, and without ORDER BY, LIMIT and OFFSET; then a tail."""
        return f"SELECT {'DISTINCT ' if self.distinct else ''}{', '.join([*self.items, *hidden])} {self.rest} {tail}"

    def window(self):
        """Return ORDER BY, and a limit that keeps every row which may be in the window of LIMIT and OFFSET."""
        if not self.order:
            return ""
        ties = "" if self.limit is None else f" FETCH FIRST {self.offset + self.limit} ROWS WITH TIES"
        return f"ORDER BY {', '.join(self.order)}{ties}"


def _top_level(text):
    """Return the first token of each clause, and the places of commas, outside of parentheses."""
    found, commas = {}, []
    depth, previous = 0, None
    for token in Postgres().tokenize(text):
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        clause = CLAUSES.get(token.token_type)
        distinct_from = clause == "from" and previous is TokenType.DISTINCT
        if depth == 0 and clause and not distinct_from:
            found.setdefault(clause, token)
        if depth == 0 and token.token_type is TokenType.COMMA:
            commas.append(token.start)
        previous = token.token_type
    return found, commas


def _parts(text, start, end, commas):
    bounds = [start - 1, *(comma for comma in commas if start <= comma < end), end]
    return tuple(text[low + 1 : high].strip() for low, high in itertools.pairwise(bounds))


def _without_direction(term):
    words = term.split()
    while words and words[-1].upper() in DIRECTIONS:
        words.pop()
    return " ".join(words)
