"""The functions of sciSQL, all of them, under their own names."""

import pytest

from czar.analyse.functions import NODE_FUNCTIONS, SKY
from czar.dialects.scisql import AGGREGATES, INSTEAD
from czar.parse import parse
from qserv.errors import QueryError

SCISQL = [
    *("abMagToDn", "abMagToDnSigma", "abMagToFlux", "abMagToFluxSigma", "abMagToNanojansky", "abMagToNanojanskySigma"),
    *("dnToAbMag", "dnToAbMagSigma", "dnToFlux", "dnToFluxSigma", "fluxToAbMag", "fluxToAbMagSigma", "fluxToDn", "fluxToDnSigma"),
    *("nanojanskyToAbMag", "nanojanskyToAbMagSigma", "angSep", "s2CPolyHtmRanges", "s2CPolyToBin", "s2CircleHtmRanges", "s2HtmId"),
    *("s2HtmLevel", "s2PtInBox", "s2PtInCPoly", "s2PtInCircle", "s2PtInEllipse", "median", "percentile", "extractInt64"),
    *("getVersion", "raiseError"),
]
"""Those of version 0.3."""


@pytest.mark.parametrize("name", SCISQL)
def test_every_function_is_known(name):
    assert f"scisql_{name}".lower() in NODE_FUNCTIONS | SKY | AGGREGATES | set(INSTEAD)


@pytest.mark.parametrize("dialect", ["native", "mysql"])
@pytest.mark.parametrize("name", [*INSTEAD, *(name.replace("poly", "Poly").replace("htm", "Htm") for name in INSTEAD)])
def test_a_function_that_makes_no_sense_here_says_what_to_write(name, dialect):
    with pytest.raises(QueryError, match=rf"{name} is not available: .+ \(line 1, column 8\)"):
        parse(f"SELECT {name}(1, 2) FROM Object", dialect)  # noqa: S608 (no database)


X = "FROM (VALUES (1.0), (2), (4), (8), (NULL), ('NaN')) AS t(x)"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("scisql_median(x)", 3.0),
        ("scisql_percentile(x, 0)", 1.0),
        ("scisql_percentile(x, 25)", 1.75),
        ("scisql_percentile(x, 100)", 8.0),
        ("scisql_median(NULL)", None),
        ("scisql_percentile(x, NULL)", None),
        ("scisql_percentile(x, 101)", None),
        ("scisql_percentile(x, -1)", None),
    ],
)
def test_percentiles_interpolate_and_leave_out_null_and_nan(expression, expected, value):
    assert value(expression, rows=X) == expected


@pytest.mark.parametrize("call", ["scisql_median(1, 2)", "scisql_percentile(1)"])
def test_percentiles_have_their_number_of_arguments(call):
    with pytest.raises(QueryError, match=r"takes \d arguments?, \d were given"):
        parse(f"SELECT {call} FROM Object")  # noqa: S608 (no database)
