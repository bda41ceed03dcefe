"""Calls by name, as they stand in a tree."""

from sqlglot import exp


def node_function(name: str, *arguments: exp.Expr) -> exp.Dot:
    """Return a call of a function in schema ``qserv``."""
    call = exp.Anonymous(this=name, expressions=list(arguments))
    return exp.Dot(this=exp.to_identifier("qserv"), expression=call)


def function_name(call: exp.Expr) -> str:
    """Return PostgreSQL's name of a function, where sqlglot has another one for it."""
    if isinstance(call, exp.Anonymous):
        return call.name.lower()
    if isinstance(call, exp.ExplodingGenerateSeries):
        return "generate_series"
    if isinstance(call, exp.Unnest | exp.Explode):
        return "unnest"
    return call.sql_name().lower() if isinstance(call, exp.Func) else "function"


def called(node: exp.Expr) -> tuple[str, list[exp.Expr]] | None:
    """Return the lower-case name and the arguments of a call by name, with or without the schema ``qserv``."""
    call = node.expression if isinstance(node, exp.Dot) and node.this.name == "qserv" else node
    return (call.name.lower(), list(call.expressions)) if isinstance(call, exp.Anonymous) else None
