"""Which queries are of the same form: they differ in literals, in how long lists are, and in the case of names."""

from sqlglot import exp, parse_one


def fingerprint(statement):
    """Return the form of a query, given as a text of the native dialect or as a tree."""
    tree = parse_one(statement, read="postgres") if isinstance(statement, str) else statement.copy()
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
