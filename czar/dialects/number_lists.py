"""Long lists of whole numbers, ``IN (1, 2, ...)``: one part of a tree with the numbers as an array, not a part for each of 100,000.

A list is taken out of a text before the text is cut into words; a lone number stands in its place. If that comes back as a word of
its own, the list stood where words do, and not inside of a text, a name or a comment; and if the parser made it what IN looks in,
it is put back there. Otherwise the text is to be read as it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

LONG: Final = 100
"""Numbers of a list that is one part; shorter ones stay as they are, for whoever looks at their parts."""

NUMBERS: Final = "numbers"
"""Of an IN in a tree: the whole numbers that it lists, or that its subquery gives, as an array of int64, ascending."""

MARK: Final = "0"

_LISTS: Final = re.compile(
    rf"(?<![\w$])IN\s*+\(\s*+(-?\d{{1,19}}+(?:\s*+,\s*+-?\d{{1,19}}+){{{LONG - 1},}}+)\s*+\)", re.IGNORECASE | re.ASCII
)
"""Its quantifiers never give back what they took: a text is looked through once."""


@dataclass(frozen=True)
class Shortened:
    """A text without its long lists, and where they were."""

    text: str
    lists: dict[int, str]
    """By the offset in the short text."""

    def words(self, tokens: Iterable[Token]) -> list[Token] | None:
        """Return the words of the short text, at their places in the whole one, a list as the text of one number; None if a list
        was inside of a word. Their lines and columns are not right.
        """
        left, found, more = dict(self.lists), [], 0
        for token in tokens:
            text, start = token.text, token.start + more
            if token.start in left and token.token_type is TokenType.NUMBER and text == MARK:
                text = left.pop(token.start)
                more += len(text) - len(MARK)
            found.append(Token(token.token_type, text, token.line, token.col, start, token.end + more, token.comments))
        return None if left else found

    def put_back(self, trees: Iterable[exp.Expr]) -> bool:
        """Make the lists that were read as numbers lists of IN; return whether all were, and no number is beyond bigint."""
        left = list(self.lists.values())
        for member in [node for tree in trees for node in tree.find_all(exp.In)]:
            text = member.expressions[0].name if len(member.expressions) == 1 else None
            if text in left:
                left.remove(text)
                try:
                    list_numbers(member, np.array(list(map(int, text.split(","))), dtype=np.int64))
                except OverflowError:
                    return False
        return not left


def shortened(text: str) -> Shortened | None:
    """Return a text without its long lists of whole numbers; None if it has none."""
    parts, lists, end, size = [], {}, 0, 0
    for found in _LISTS.finditer(text) if len(text) > 2 * LONG else ():
        parts += [text[end : found.start(1)], MARK]
        size += found.start(1) - end
        lists[size] = found[1]
        size += len(MARK)
        end = found.end(1)
    return Shortened("".join([*parts, text[end:]]), lists) if lists else None


def list_numbers(member: exp.In, numbers: NDArray[np.int64]) -> None:
    """Let an IN list whole numbers, as one part: each once, in their order."""
    numbers = np.sort(numbers)
    numbers = numbers[np.append(True, numbers[1:] != numbers[:-1])]  # a sixth of the time of NumPy's unique
    member.set("expressions", [exp.Var(this=", ".join(map(str, numbers.tolist())))])
    member.meta[NUMBERS] = numbers


def lists_numbers(node: exp.Expr | None) -> bool:
    """Whether an IN lists numbers as one part."""
    return isinstance(node, exp.In) and NUMBERS in node.meta and bool(node.expressions)
