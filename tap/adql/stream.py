"""Reading tokens one after the other, with errors that say what was expected."""

from typing import NoReturn, TypeVar

from sqlglot import exp

from qserv.errors import QuerySyntaxError
from schema.reserved import RESERVED
from tap.adql.tokens import Kind, Source, Token, tokenise

Node = TypeVar("Node", bound=exp.Expression)

MAX_DEPTH = 60
"""How deep parentheses, subqueries and signs may nest: each level costs about ten Python frames of the thousand there are."""

HINTS = {
    "LIMIT": "the number of rows is limited by TOP: SELECT TOP 10 ...",
    "FETCH": "the number of rows is limited by TOP: SELECT TOP 10 ...",
    "CASE": "CASE is not part of ADQL; COALESCE is",
    "CROSS": "a product is written with a comma: FROM a, b",
    "INTO": "SELECT INTO is not part of ADQL",
    "FOR": "locks are not part of ADQL",
    "OVER": "window functions are not part of ADQL",
    "WINDOW": "window functions are not part of ADQL",
    "NULLS": "ORDER BY has only ASC and DESC in ADQL",
    "ESCAPE": "LIKE has no ESCAPE in ADQL",
    ";": "one query only, please",
}
"""What to write instead of words of other dialects."""


class TokenStream:
    """Tokens of a text and the place of the reader in them."""

    def __init__(self, text: str) -> None:
        self.source = Source(text)
        self.tokens = tokenise(self.source)
        self.index = 0
        self.depth = 0
        self.token: Token = self.tokens[0]

    # -- looking and taking -------------------------------------------------------------------------------------------------------

    def advance(self) -> Token:
        """Take the current token."""
        token = self.token
        self.index += 1
        self.token = self.tokens[self.index]
        return token

    def ahead(self) -> Token:
        """Return the token after the current one."""
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def at(self, key: str) -> bool:
        """Whether the current token is this keyword or symbol."""
        token = self.token
        return token.key == key and (token.kind is Kind.WORD or token.kind is Kind.SYMBOL)

    def accept(self, key: str) -> Token | None:
        """Take the current token if it is this keyword or symbol."""
        return self.advance() if self.at(key) else None

    def expect(self, key: str) -> Token:
        """Take this keyword or symbol.

        Raises
        ------
        QuerySyntaxError
            Something else stands here.
        """
        if not self.at(key):
            self.fail(_quoted(key))
        return self.advance()

    def enter(self) -> None:
        """Go one level deeper into parentheses; ``leave`` comes back."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            msg = f"the query nests deeper than {MAX_DEPTH} levels"
            raise QuerySyntaxError(msg, self.source.place(self.token.start))

    def leave(self) -> None:
        """Come back from a level."""
        self.depth -= 1

    # -- names --------------------------------------------------------------------------------------------------------------------

    def at_name(self) -> bool:
        """Whether the current token can be a name."""
        token = self.token
        return token.kind is Kind.DELIMITED or (token.kind is Kind.WORD and token.key not in RESERVED)

    def name(self, what: str) -> exp.Identifier:
        """Take an identifier; ``what`` says in an error what it would name.

        Raises
        ------
        QuerySyntaxError
            No identifier stands here, or a reserved word that is not delimited.
        """
        token = self.token
        if not self.at_name():
            if token.kind is Kind.WORD and token.key not in HINTS:
                msg = f'{token.text} is a reserved word: as a {what} it is written "{token.text}", in double quotes'
                raise QuerySyntaxError(msg, self.source.place(token.start))
            self.fail(f"a {what}")
        self.advance()
        if token.kind is Kind.DELIMITED:
            return self.placed(exp.Identifier(this=token.key, quoted=True), token)
        return self.placed(exp.Identifier(this=token.text, quoted=False), token)

    # -- places and errors --------------------------------------------------------------------------------------------------------

    def placed(self, node: Node, token: Token) -> Node:
        """Write the place of a token on a node, as sqlglot's own parsers do: ``col`` is the column of its last character."""
        place = self.source.place(token.end)
        node.update_positions(line=place.line, col=place.column, start=token.start, end=token.end)
        return node

    def fail(self, expected: str) -> NoReturn:
        """Raise a `QuerySyntaxError` that says what was expected here instead of the current token."""
        token = self.token
        if token.kind is Kind.END:
            msg = f"the query ends where {expected} is expected"
        else:
            msg = f"{expected} is expected, not {token.text if token.kind is Kind.STRING else _quoted(token.text)}"
            msg += self._hint()
        raise QuerySyntaxError(msg, self.source.place(token.start))

    def _hint(self) -> str:
        """Return what to write instead of a word of another dialect here, or just before: there it was taken for an alias."""
        for token in (self.token, self.tokens[max(self.index - 1, 0)]):
            if token.kind in {Kind.WORD, Kind.SYMBOL} and token.key in HINTS:
                return f": {HINTS[token.key]}"
        return ""


def _quoted(text: str) -> str:
    """Return symbols in quotes, words as they are."""
    return text if text[:1].isalnum() or text[:1] == '"' else f"'{text}'"
