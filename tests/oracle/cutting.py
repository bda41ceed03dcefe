"""The text of a SELECT cut into its parts, at tokens: no part is rewritten, so that the oracle reads what was written."""

import itertools
from dataclasses import dataclass

from sqlglot.dialects.postgres import Postgres
from sqlglot.tokens import TokenType

CLAUSES = {
    TokenType.SELECT: "select",
    TokenType.DISTINCT: "distinct",
    TokenType.ON: "on",
    TokenType.FROM: "from",
    TokenType.ORDER_BY: "order",
    TokenType.LIMIT: "limit",
    TokenType.FETCH: "limit",
    TokenType.OFFSET: "offset",
    **dict.fromkeys((TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT), "set"),
    **dict.fromkeys((TokenType.WHERE, TokenType.GROUP_BY, TokenType.HAVING, TokenType.WINDOW), "rest"),
}

OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET}
CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET}

COUNT_WORDS = {"FIRST", "NEXT", "ROW", "ROWS", "ONLY", "WITH", "TIES"}
"""What stands around the number of FETCH and OFFSET."""

DIRECTIONS = {"ASC", "DESC", "NULLS", "FIRST", "LAST"}


@dataclass(frozen=True)
class Cut:
    """The parts of a SELECT."""

    head: str
    """WITH and what it names, and SELECT with its DISTINCT; all of a set operation, or of another form without a list of items."""
    items: tuple[str, ...]
    rest: str
    """From FROM on, without ORDER BY, LIMIT and OFFSET."""
    order: tuple[str, ...]
    limit: int | None
    offset: int
    distinct: bool
    extendable: bool
    """Whether further items can be selected."""

    @classmethod
    def of(cls, text, count_of=int):
        """Cut a text; ``count_of`` reads the number of LIMIT or OFFSET, which may be an expression: then it must ask for it."""
        found, commas = _top_level(text)
        tail = [found[name].start for name in ("order", "limit", "offset") if name in found]
        ends = sorted([*tail, len(text)])

        def body(name):
            token = found[name]
            return token.end + 1, next(end for end in ends if end > token.start)

        def count(name):
            if name not in found:
                return None
            low, high = body(name)
            words = text[low:high].split()
            while words and words[0].upper() in COUNT_WORDS:
                words.pop(0)
            while words and words[-1].upper() in COUNT_WORDS:
                words.pop()
            written = " ".join(words)
            return None if written.upper() in {"ALL", "NULL"} else count_of(written or "1")

        common = {
            "order": _parts(text, *body("order"), commas) if "order" in found else (),
            "limit": count("limit"),
            "offset": count("offset") or 0,
        }
        if "set" in found or "select" not in found:
            return cls(head=text[: ends[0]], items=(), rest="", distinct=True, extendable=False, **common)
        start = min([found[name].start for name in ("from", "rest") if name in found] + ends)
        distinct = "distinct" in found and found["distinct"].start < start
        first = (found["distinct"] if distinct else found["select"]).end + 1
        if distinct and "on" in found and not text[first : found["on"].start].strip():
            first = _closing(text, found["on"].end + 1)
        return cls(
            head=text[:first],
            items=_parts(text, first, start, commas),
            rest=text[start : ends[0]],
            distinct=distinct,
            extendable=True,
            **common,
        )

    @property
    def order_expressions(self):
        """The terms of ORDER BY without their directions."""
        return tuple(_without_direction(term) for term in self.order)

    def select(self, hidden=(), tail=""):
        """Return the query with further items, and without ORDER BY, LIMIT and OFFSET; then a tail."""
        assert self.extendable or not hidden, "ORDER BY of a set operation names its columns"
        return f"{self.head} {', '.join([*self.items, *hidden])} {self.rest} {tail}"

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
        depth += (token.token_type in OPENING) - (token.token_type in CLOSING)
        clause = CLAUSES.get(token.token_type)
        is_distinct_from = (clause == "from" and previous is TokenType.DISTINCT) or (
            clause == "distinct" and previous is not TokenType.SELECT
        )
        if depth == 0 and clause and not is_distinct_from:
            found.setdefault(clause, token)
        if depth == 0 and token.token_type is TokenType.COMMA:
            commas.append(token.start)
        previous = token.token_type
    return found, commas


def _closing(text, start):
    """Return the place behind the parenthesis that closes the one that is opened next."""
    depth = 0
    for place in range(text.index("(", start), len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return place + 1
    message = "a parenthesis is not closed"
    raise ValueError(message)


def _parts(text, start, end, commas):
    bounds = [start - 1, *(comma for comma in commas if start <= comma < end), end]
    return tuple(text[low + 1 : high].strip() for low, high in itertools.pairwise(bounds))


def _without_direction(term):
    words = term.split()
    while words and words[-1].upper() in DIRECTIONS:
        words.pop()
    return " ".join(words)
