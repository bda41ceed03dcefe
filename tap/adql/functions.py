"""The functions of ADQL 2.1, how many arguments each takes, and what each becomes in PostgreSQL.

Functions whose meaning differs between ADQL and PostgreSQL go to functions of ours in the PostgreSQL schema ``qserv``: ADQL's LOG
is natural, ROUND and TRUNCATE take floating numbers, and outside of its domain a function gives NULL instead of an error, so that a
magnitude of a negative flux does not stop a scan (DESIGN, section 4).
"""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

from sqlglot import exp
from sqlglot.parsers.postgres import PostgresParser

Build = Callable[[list[exp.Expr]], exp.Expression]


@dataclass(frozen=True)
class Function:
    """A function of ADQL: it takes ``least`` to ``most`` arguments (no bound if None)."""

    name: str
    least: int
    most: int | None
    build: Build | None
    """None where the function is known but cannot be computed yet."""
    signature: str = ""
    """Of a function that the standard does not know: how the service declares it (TAPRegExt ``ivo://ivoa.net/std/TAPRegExt#features-udf``)."""
    description: str = ""
    aggregate: bool = False

    @property
    def arity(self) -> str:
        """How many arguments it takes, in words."""
        if self.most is None:
            return f"{self.least} or more arguments"
        counts = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"{counts} argument" + ("" if self.most == 1 else "s")


def qserv_call(name: str, arguments: list[exp.Expr]) -> exp.Expression:
    """Return a call of a function in the PostgreSQL schema ``qserv``, of the shape that sqlglot parses it to."""
    return exp.Dot(this=exp.to_identifier("qserv"), expression=exp.Anonymous(this=name, expressions=arguments))


def _postgres(name: str) -> Build:
    """Return a builder of PostgreSQL's own function."""
    build: Build = PostgresParser.FUNCTIONS[name]
    return build


def _ours(name: str) -> Build:
    """Return a builder of a function in the schema ``qserv``."""
    return lambda arguments: qserv_call(name, arguments)


def _aggregates() -> list[Function]:
    standard = [Function(name, 1, 1, _postgres(name), aggregate=True) for name in ("AVG", "COUNT", "MAX", "MIN", "SUM")]
    declared = [
        Function(name, 1, 1, _postgres(name), f"{name}(x DOUBLE PRECISION) -> DOUBLE PRECISION", description, aggregate=True)
        for name, description in (
            ("STDDEV", "Standard deviation of a sample (aggregate)."),
            ("STDDEV_POP", "Standard deviation of the whole population (aggregate)."),
            ("STDDEV_SAMP", "Standard deviation of a sample (aggregate)."),
            ("VARIANCE", "Variance of a sample (aggregate)."),
            ("VAR_POP", "Variance of the whole population (aggregate)."),
            ("VAR_SAMP", "Variance of a sample (aggregate)."),
        )
    ]
    arrays = Function(
        "ARRAY_AGG",
        1,
        1,
        exp.ArrayAgg.from_arg_list,
        "ARRAY_AGG(x DOUBLE PRECISION) -> DOUBLE PRECISION[]",
        "All values of a group as an array, in any order (aggregate); of any type, which its elements have.",
        aggregate=True,
    )
    return [*standard, *declared, arrays]


def _scalars() -> list[Function]:
    same = ("ABS", "ATAN", "CEILING", "COS", "COT", "DEGREES", "FLOOR", "LOWER", "RADIANS", "SIN", "TAN", "UPPER")
    return [
        *(Function(name, 1, 1, _postgres(name)) for name in same),
        Function("ATAN2", 2, 2, _postgres("ATAN2")),
        Function("COALESCE", 1, None, _postgres("COALESCE")),
        Function("PI", 0, 0, _postgres("PI")),
        Function("ACOS", 1, 1, _ours("acos")),
        Function("ASIN", 1, 1, _ours("asin")),
        Function("EXP", 1, 1, _ours("exp")),
        Function("LOG", 1, 1, _ours("ln")),
        Function("LOG10", 1, 1, _ours("log10")),
        Function("MOD", 2, 2, _ours("mod")),
        Function("POWER", 2, 2, _ours("power")),
        Function("ROUND", 1, 2, _ours("round")),
        Function("SQRT", 1, 1, _ours("sqrt")),
        Function("TRUNCATE", 1, 2, _ours("truncate")),
        Function("RAND", 0, 1, None),
        Function("IN_UNIT", 2, 2, None),
    ]


FUNCTIONS = {function.name: function for function in [*_aggregates(), *_scalars()]}
"""All functions but those of geometry (``tap.adql.geometry``), by name."""

DECLARED = tuple(function for function in FUNCTIONS.values() if function.signature)
"""Functions that are ours, as user-defined functions in the sense of ADQL."""


def nearest(name: str, known: list[str]) -> str:
    """Return a hint at the known name that is most like ``name``, or nothing."""
    close = get_close_matches(name.upper(), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
