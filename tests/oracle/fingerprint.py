"""Which queries are of the same form: they differ in literals, in how long lists are, and in the case of names."""

import re

from sqlglot import exp

from czar.parse import parse

LITERALS = (
    (re.compile(r"'(?:[^']|'')*'"), "?"),
    (re.compile(r'"[^"]*"'), "x"),
    (re.compile(r"-?\b\d+(?:\.\d+)?(?:e[-+]?\d+)?\b"), "?"),
    (re.compile(r"\?(?:, \?)+"), "?"),
)
"""What a rough form is without, in order: texts, names in quotes, numbers, lists of them."""


def rough_form(text):
    """Return the form of a generated query, quickly: names in quotes count for nothing, because each catalogue has its own."""
    for pattern, instead in LITERALS:
        text = pattern.sub(instead, text)
    return text


def fingerprint(statement):
    """Return the form of a query, given as a text of the native dialect or as a tree."""
    tree = parse(statement) if isinstance(statement, str) else statement.copy()
    return tree.transform(_stripped).sql("postgres", comments=False, normalize_functions="upper")


def _stripped(node):
    match node:
        case exp.Literal():
            return exp.Placeholder()
        case exp.Neg(this=exp.Literal()):
            return exp.Placeholder()
        case exp.Identifier():
            return exp.to_identifier(node.name.lower())
        case exp.In() | exp.Tuple() | exp.Array() | exp.Values() | exp.Anonymous() if len(node.expressions) > 1:
            return _shortened(node)
        case _:
            return node


def _shortened(node):
    """Return a list without its further literals: IN (1, 2, 3) is as IN (1)."""
    kept = []
    for item in node.expressions:
        literal = isinstance(item, exp.Literal) or (isinstance(item, exp.Neg) and isinstance(item.this, exp.Literal))
        if not (literal and kept and isinstance(kept[-1], exp.Literal)):
            kept.append(exp.Literal.number(0) if literal else item)
    node.set("expressions", kept)
    return node
