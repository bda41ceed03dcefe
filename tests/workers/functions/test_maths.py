"""Mathematics with NULL outside the domain, against numpy."""

import numpy as np
import pytest

INF = float("inf")
NAN = float("nan")
NUMBERS = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 10.0, -7.0, 1e-300, 1e300, 1e15 + 0.3, 123456.789, -0.29, 709.0, -750.0])
SPECIAL = np.array([NAN, INF, -INF])


def same(got, expected):
    """Compare with NaN in `expected` meaning NULL."""
    assert [value is None for value in got] == np.isnan(expected).tolist()
    np.testing.assert_allclose([NAN if value is None else value for value in got], expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "function", "domain"),
    [
        ("ln", np.log, lambda x: x > 0),
        ("log10", np.log10, lambda x: x > 0),
        ("sqrt", np.sqrt, lambda x: x >= 0),
        ("asin", np.arcsin, lambda x: abs(x) <= 1),
        ("acos", np.arccos, lambda x: abs(x) <= 1),
        ("exp", np.exp, lambda x: x < 709.78),
    ],
)
def test_null_outside_the_domain(evaluate, name, function, domain):
    x = np.append(NUMBERS, -INF)
    with np.errstate(all="ignore"):
        same(evaluate(f"qserv.{name}(x)", x=x), np.where(domain(x), function(x), NAN))


@pytest.mark.parametrize("name", ["ln", "log10", "sqrt"])
def test_nan_and_infinity_pass_through_where_they_have_a_meaning(evaluate, name):
    got = evaluate(f"qserv.{name}(x)", x=SPECIAL)
    assert np.isnan(got[0])
    assert got[1:] == [INF, None]


def test_power(evaluate):
    x, y = (grid.ravel() for grid in np.meshgrid(NUMBERS, NUMBERS))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    expected[np.isinf(expected)] = NAN
    expected[abs(expected) < 2.3e-308] = 0.0
    same(evaluate("qserv.power(x, y)", x=x, y=y), expected)


def test_power_of_special_values_ends_no_query(evaluate):
    values = np.concatenate([NUMBERS, SPECIAL])
    x, y = (grid.ravel() for grid in np.meshgrid(values, values))
    got = evaluate("qserv.power(x, y)", x=x, y=y)
    assert len(got) == len(x)


def test_division_by_zero_is_null(scalar, evaluate):
    same(evaluate("qserv.divide(x, y)", x=[1, -7, 0, 5], y=[4, 2, 3, 0]), np.array([0.25, -3.5, 0, NAN]))
    for type_ in ("smallint", "integer", "bigint"):
        assert scalar(f"qserv.divide((-7)::{type_}, 2::{type_})") == -3
        assert scalar(f"qserv.divide(7::{type_}, 0::{type_}) IS NULL")
        assert scalar(f"pg_typeof(qserv.divide(7::{type_}, 2::{type_}))::text") == type_
    assert scalar("pg_typeof(qserv.divide(7::smallint, 2::bigint))::text") == "bigint"
    assert scalar("qserv.divide(7, 2.0)") == 3.5
    assert scalar("qserv.divide(7::real, 2)") == 3.5
    assert scalar("qserv.divide(1, NULL::integer) IS NULL")


def test_mod(scalar, evaluate):
    rng = np.random.default_rng(20260725)
    x, y = rng.uniform(-1000, 1000, 500), rng.uniform(-50, 50, 500)
    got = evaluate("qserv.mod(x, y)", x=x, y=y)
    np.testing.assert_allclose(got, np.fmod(x, y), atol=1e-11)
    assert scalar("qserv.mod(370.5, 360)") == 10.5
    assert scalar("qserv.mod(-370.5, 360)") == -10.5
    assert scalar("qserv.mod(5.0, 0) IS NULL")
    for type_ in ("smallint", "integer", "bigint"):
        assert scalar(f"qserv.mod((-7)::{type_}, 3::{type_})") == -1
        assert scalar(f"qserv.mod(7::{type_}, 0::{type_}) IS NULL")
        assert scalar(f"pg_typeof(qserv.mod(7::{type_}, 2::{type_}))::text") == type_


@pytest.mark.parametrize("decimals", [-400, -309, -3, -1, 0, 1, 2, 8, 17, 300, 400])
def test_round_and_truncate_agree_with_numpy(evaluate, decimals):
    rng = np.random.default_rng(20260725)
    x = np.concatenate([NUMBERS, rng.uniform(-1e6, 1e6, 200), [0.5, 1.5, 2.5, -0.5, 2.675, 4503599627370495.5]])
    got_round = evaluate(f"qserv.round(x, {decimals})", x=x)
    got_truncated = evaluate(f"qserv.truncate(x, {decimals})", x=x)
    if decimals > 300:
        assert got_round == got_truncated == x.tolist()
    elif decimals < -308:
        assert set(got_round) == set(got_truncated) == {0.0}
    else:
        kept = abs(x) >= 2.0**52 / 10.0**decimals if decimals >= 0 else np.zeros(len(x), bool)
        with np.errstate(all="ignore"):
            scaled = x * 10.0**decimals if decimals >= 0 else x / 10.0**-decimals
            back = (lambda v: v / 10.0**decimals) if decimals >= 0 else (lambda v: v * 10.0**-decimals)
            np.testing.assert_array_equal(got_round, np.where(kept, x, back(np.round(scaled))))
            np.testing.assert_array_equal(got_truncated, np.where(kept, x, back(np.trunc(scaled))))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("qserv.round(0.125, 2)", 0.12),
        ("qserv.round(-12345.678, -2)", -12300.0),
        ("qserv.truncate(-1.999, 1)", -1.9),
        ("qserv.truncate(1999, -3)", 1000.0),
        ("qserv.round(2.5)", 2.0),
        ("qserv.truncate(-2.7)", -2.0),
        ("qserv.round(NULL, 2)", None),
        ("qserv.round(1.5, NULL)", None),
        ("qserv.truncate('Infinity', 3)", INF),
        ("qserv.round('-Infinity', -3)", -INF),
        ("qserv.ln(NULL)", None),
        ("qserv.power(NULL, 2)", None),
        ("qserv.mod(NULL::float8, 2)", None),
    ],
)
def test_values(scalar, expression, expected):
    assert scalar(expression) == expected
