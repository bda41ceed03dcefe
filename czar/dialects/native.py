"""The native dialect: PostgreSQL's SELECT, read so that what is written goes to PostgreSQL as it was written.

sqlglot knows hundreds of functions by the meaning they share between databases, and writes some of them as another function than
the one that was read (TO_HEX as HEX, a time format through Python's). Here it knows those alone that have a grammar of their own
and those that the planner looks into; all others stay calls by name.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import ParseError, TokenError
from sqlglot.parsers.postgres import PostgresParser
from sqlglot.tokenizer_core import Token, TokenType

from czar.dialects.aggregates import AGGREGATES, WINDOW_FUNCTIONS
from czar.dialects.number_lists import Shortened, shortened
from qserv.errors import Place, QuerySyntaxError

GRAMMAR = frozenset(
    {"CAST", "CEIL", "EXTRACT", "FLOOR", "NORMALIZE", "OVERLAY", "POSITION", "STRING_AGG", "SUBSTRING", "TRIM"},
)
"""Functions whose arguments are not a plain list."""

NAMED = frozenset(
    {
        *("ARRAY", "COALESCE", "CONTAINS", "GREATEST", "LEAST", "NULLIF", "GENERATE_SERIES", "UNNEST"),
        *("NOW", "CURRENT_TIMESTAMP", "CURRENT_TIME", "LOCALTIME", "LOCALTIMESTAMP"),
    },
)
"""Functions with a plain list of arguments, to which sqlglot's class is kept."""

UNITS = frozenset({"YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND"})
"""What may follow the text of an interval: ``INTERVAL '90' MINUTE``."""


def _read() -> dict[str, Callable[..., exp.Expr]]:
    planned = (*AGGREGATES, *WINDOW_FUNCTIONS)
    names = {name for kind in planned if issubclass(kind, exp.Func) for name in kind.sql_names()}
    kept = {name: build for name, build in PostgresParser.FUNCTIONS.items() if name in names | NAMED}
    bits = {name: PostgresParser.FUNCTIONS[name] for name in ("BIT_AND", "BIT_OR", "BIT_XOR")}
    return {**kept, **bits, "EVERY": exp.LogicalAnd.from_arg_list, "EXISTS": exists}


def exists(arguments: list[exp.Expr]) -> exp.Expr:
    """Return EXISTS of a query that begins in parentheses, not with SELECT: sqlglot takes it for an argument of a function."""
    if len(arguments) == 1 and isinstance(arguments[0], exp.Query):
        return exp.Exists(this=arguments[0])
    return exp.Anonymous(this="exists", expressions=arguments)


class NativeParser(PostgresParser):
    """Reads functions by name but for those that are looked into."""

    FUNCTIONS: ClassVar = _read()
    FUNCTION_PARSERS: ClassVar = {name: read for name, read in PostgresParser.FUNCTION_PARSERS.items() if name in GRAMMAR}
    NO_PAREN_FUNCTION_PARSERS: ClassVar = {
        name: read for name, read in PostgresParser.NO_PAREN_FUNCTION_PARSERS.items() if name in {"ANY", "CASE"}
    }

    def _parse_interval(self, require_interval: bool = True, parse_function_unit: bool = True) -> exp.Add | exp.Interval | None:  # noqa: FBT001, FBT002 (signature of the parser)
        """Leave the text of an interval to PostgreSQL, where no unit follows: sqlglot forgets words such as "ago"."""
        unit = self._tokens[self._index + 2].text.upper() if self._index + 2 < len(self._tokens) else ""
        written = [token.token_type for token in (self._curr, self._next) if token is not None]
        if written != [TokenType.INTERVAL, TokenType.STRING] or unit in UNITS:
            return super()._parse_interval(require_interval, parse_function_unit)
        text = self._next.text
        self._advance(2)
        return exp.Interval(this=exp.Literal.string(text))

    def _parse_table_sample(self, as_modifier: bool = False) -> exp.TableSample | None:  # noqa: FBT001, FBT002 (signature of the parser)
        """Read expressions, NULL among them, as the percentage and the seed."""
        del as_modifier
        if not self._match(TokenType.TABLE_SAMPLE):
            return None
        method = self._parse_var(upper=True)
        percent = self._parse_wrapped(self._parse_disjunction)
        seed = self._parse_wrapped(self._parse_disjunction) if self._match_text_seq("REPEATABLE") else None
        return exp.TableSample(method=method, percent=percent, seed=seed)

    def _parse_limit(
        self,
        this: exp.Expr | None = None,
        top: bool = False,  # noqa: FBT001, FBT002 (signature of the parser)
        skip_limit_token: bool = False,  # noqa: FBT001, FBT002 (as above)
    ) -> exp.Expr | None:
        """Read any expression behind LIMIT: sqlglot takes ``%`` there for PERCENT, which PostgreSQL has not."""
        if top or skip_limit_token or not self._match(TokenType.LIMIT):
            return super()._parse_limit(this, top=top, skip_limit_token=skip_limit_token)
        count = exp.var("ALL") if self._match(TokenType.ALL) else self._parse_disjunction()
        return exp.Limit(this=this, expression=count)

    def _parse_cube_or_rollup(self, with_prefix: bool = False) -> exp.Cube | exp.Rollup | None:  # noqa: FBT001, FBT002 (signature of the parser)
        """Read conditions, too, in ROLLUP and CUBE."""
        kinds: dict[TokenType, type[exp.Cube | exp.Rollup]] = {TokenType.CUBE: exp.Cube, TokenType.ROLLUP: exp.Rollup}
        if with_prefix or self._curr is None or self._curr.token_type not in kinds:
            return super()._parse_cube_or_rollup(with_prefix)
        kind = kinds[self._curr.token_type]
        self._advance()
        return kind(expressions=self._parse_wrapped_csv(self._parse_disjunction))

    def _parse_grouping_set(self) -> exp.Expr | None:
        return self._parse_grouping_sets() or self._parse_cube_or_rollup() or self._parse_disjunction()


class Native(Postgres):
    """PostgreSQL's SELECT, with functions by name."""

    Parser = NativeParser


def read_native(text: str) -> list[exp.Expr]:
    """Return the statements of a text of the native dialect.

    Raises
    ------
    QuerySyntaxError
        A number runs into a word, which PostgreSQL would refuse or read in another way in another version.
    sqlglot.errors.ParseError, sqlglot.errors.TokenError
        The text is not SQL.
    """
    short = shortened(text)
    statements = None if short is None else _read_short(short, text)
    return _parsed(Native().tokenize(text), text) if statements is None else statements


def _read_short(short: Shortened, text: str) -> list[exp.Expr] | None:
    """Read a text without its long lists, and put them back; None if it is not so easy, or wrong: the whole text says where."""
    try:
        words = short.words(Native().tokenize(short.text))
        statements = None if words is None else _parsed(words, text)
    except (ParseError, TokenError, QuerySyntaxError):
        return None
    return statements if statements is not None and short.put_back(statements) else None


def _parsed(words: list[Token], text: str) -> list[exp.Expr]:
    """Return the statements of a text that was cut into words."""
    tokens = [_number(token, text) for token in words]
    for token, following in pairwise(tokens):
        if token.token_type is TokenType.NUMBER and following.start == token.end + 1 and _is_word(following):
            msg = f"a number runs into a word: {token.text}{following.text}"
            raise QuerySyntaxError(msg, _place(token, text))
    return [settled(statement) for statement in Native().parser().parse(tokens, text) if statement is not None]


def settled(tree: exp.Expr) -> exp.Expr:
    """Return a tree in which texts are plain, quantifiers are sqlglot's, and NOT stands as an operand only in parentheses."""

    def settle(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.ByteString | exp.RawString):
            return exp.Literal.string(node.this)
        if isinstance(node, exp.Anonymous) and node.name.lower() in {"all", "some"} and len(node.expressions) == 1:
            kind = exp.All if node.name.lower() == "all" else exp.Any
            return kind(this=exp.Paren(this=node.expressions[0]))
        if isinstance(node, exp.Not) and isinstance(node.parent, exp.Binary | exp.Between | exp.In | exp.Unary):
            # ``a NOT IN (1) IS NULL`` is read as (NOT a IN (1)) IS NULL, and would be written as NOT (a IN (1) IS NULL).
            return node if isinstance(node.parent, exp.Connector | exp.Not | exp.Paren) else exp.Paren(this=node)
        return node

    return tree.transform(settle, copy=False)


def _is_word(token: Token) -> bool:
    return token.text[:1].isalpha() or token.text[:1] == "_"


def _number(token: Token, text: str) -> Token:
    """Turn ``0x1F`` and ``0b101`` into decimal numbers, which sqlglot takes for texts of bits."""
    bases = {TokenType.HEX_STRING: ("0x", 16), TokenType.BIT_STRING: ("0b", 2)}
    prefix, base = bases.get(token.token_type, ("", 0))
    if not prefix or text[token.start : token.start + 2].lower() != prefix:
        return token
    return Token(TokenType.NUMBER, str(int(token.text, base)), token.line, token.col, token.start, token.end, token.comments)


def _place(token: Token, text: str) -> Place:
    before = text[: token.start]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
