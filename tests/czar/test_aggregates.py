"""Aggregates over parts of a table, merged, are those over the whole: PostgreSQL's value and type, however a query is answered."""

import dataclasses
import math
from decimal import Decimal

import adbc_driver_postgresql.dbapi
import numpy as np
import psycopg
import pyarrow as pa
import pytest

from czar.analyse import analyse, named
from czar.analyse.kinds import Kind
from czar.analyse.locality import NotLocalError
from czar.merge import Merger
from czar.parse import parse
from czar.plan.build import build, check_shape
from czar.plan.numbers import numbers_of
from czar.plan.rest import rest
from czar.scratch import Scratch
from czar.snapshot import Snapshot
from czar.steps.intermediate import NUMERIC, inline, step_batch, step_schema
from qserv.cluster import NODE_DATABASE, SCRATCH_DATABASE, Role
from qserv.errors import QueryEvaluationError
from workers.functions import install
from workers.postgresql.plain import plain_batch, plain_schema

PARTS = 5
CLOSE = 1e-9
"""How far off a double may be, of itself: the condition number of the regressions here is some thousand."""

COLUMNS = 'observation_id bigint, hip bigint, ra float8, dec float8, "Flux" float8, visit integer'


@pytest.fixture(scope="module")
def rows():
    """Rows of table ``observation``: sums of a few hip do not fit into a bigint; ra is one value throughout."""
    random = np.random.default_rng(20260101)
    count = 300
    hip = random.choice([2**62, -(2**62), 2**62 - 1, 7], count).tolist()
    visit = random.integers(0, 4, count).tolist()
    flux = (1e6 + random.standard_normal(count)).tolist()
    return [
        (
            36_028_797_018_963_968 + index,
            None if index % 7 == 0 else hip[index],
            0.1,
            2 * flux[index] + index % 5,
            None if index % 11 == 0 else flux[index],
            None if index % 13 == 0 else visit[index],
        )
        for index in range(count)
    ]


@pytest.fixture(scope="module")
def uri(postgres_cluster, rows):
    """PostgreSQL with the rows in `PARTS` tables of different sizes, one of them empty, and in table ``observation``."""
    node, secrets = postgres_cluster.cluster.nodes[0].postgres, postgres_cluster.secrets
    with psycopg.connect(node.conninfo(Role.LOADER, NODE_DATABASE, secrets), autocommit=True) as loader:
        install(loader)
        loader.execute("CREATE SCHEMA parts")
        loader.execute("GRANT USAGE ON SCHEMA parts TO PUBLIC")
        parts = {f"part_{part}": [row for index, row in enumerate(rows) if min(index % 9, 3) == part] for part in range(PARTS)}
        for name, some in {**parts, "observation": rows}.items():
            loader.execute(f"CREATE TABLE parts.{name} ({COLUMNS})")
            with loader.cursor().copy(f"COPY parts.{name} FROM STDIN") as copy:
                for row in some:
                    copy.write_row(row)
        loader.execute("GRANT SELECT ON ALL TABLES IN SCHEMA parts TO PUBLIC")
    yield node.conninfo(Role.READER, NODE_DATABASE, secrets)
    with psycopg.connect(node.conninfo(Role.LOADER, NODE_DATABASE, secrets), autocommit=True) as loader:
        loader.execute("DROP SCHEMA parts CASCADE")


@pytest.fixture(scope="module")
def asked(uri):
    """Ask PostgreSQL as a worker does."""
    with adbc_driver_postgresql.dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:

        def ask(sql):
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
            schema = plain_schema(reader.schema).remove_metadata()
            schema = pa.schema([field.remove_metadata() for field in schema])
            return pa.Table.from_batches([plain_batch(batch, schema) for batch in reader], schema)

        yield ask


@pytest.fixture(scope="module")
def workspace(postgres_cluster):
    metadata, secrets = postgres_cluster.cluster.metadata, postgres_cluster.secrets
    uris = [metadata.conninfo(role, SCRATCH_DATABASE, secrets) for role in (Role.SCRATCH, Role.METADATA)]
    scratch = Scratch(*uris)
    scratch.prepare()
    yield lambda: scratch.workspace(60)
    scratch.close()


@pytest.fixture
def merger(tmp_path):
    merger = Merger(200_000_000, 100_000_000, 1_000_000_000, str(tmp_path))
    yield merger
    merger.close()


def analysed(text, catalogue, *, is_step):
    query, spread = analyse(parse(text), catalogue, text)
    return dataclasses.replace(query, is_step=is_step), spread


def rows_of(plan, answer, *, is_step):
    """Return the rows of an answer, or those of a step."""
    if not is_step:
        return answer
    schema = step_schema(plan.outputs, answer.schema, plan.carried)
    return pa.Table.from_batches([step_batch(batch, schema) for batch in answer.to_batches()], schema)


@pytest.fixture
def merged(asked, workspace, merger, catalogue):
    """Answer a query over all parts, each a chunk."""

    def answer(text, *, is_step=False):
        query, spread = analysed(text, catalogue, is_step=is_step)
        check_shape(query, spread)
        plan = build(query, spread, Snapshot())
        partials = pa.concat_tables(asked(plan.step.template.format(t0=f"parts.part_{part}")) for part in range(PARTS))
        if plan.combine is None:
            return rows_of(plan, partials, is_step=is_step)
        found = merger.merge().combine(plan.combine, partials.schema, partials.to_batches(), plan.wide)
        if plan.finish is None:
            return rows_of(plan, found.read_all(), is_step=is_step)
        work = workspace()
        work.load("merged", found.schema, found)
        try:
            return rows_of(plan, work.ask(plan.finish).read_all(), is_step=is_step)
        finally:
            work.close()

    return answer


@pytest.fixture
def whole(asked, catalogue):
    """Answer a query as over a single chunk that holds all rows."""

    def answer(text, *, is_step=False):
        query, spread = analysed(text, catalogue, is_step=is_step)
        plan = build(dataclasses.replace(query, chunks=query.chunks[:1]), spread, Snapshot())
        return rows_of(plan, asked(plan.step.template.format(t0="parts.observation")), is_step=is_step)

    return answer


@pytest.fixture
def in_steps(asked, catalogue):
    """Answer a query as over rows that steps have left."""

    def answer(text):
        query, _ = analyse(parse(text), catalogue, text)
        return asked(
            rest(query, None)
            .replace('"stars"."observation"', "parts.observation")
            .replace('FROM "observation"', "FROM parts.observation")
        )

    return answer


@pytest.fixture
def plain(uri):
    """Answer a query as plain PostgreSQL does."""
    with psycopg.connect(uri, autocommit=True, options="-c search_path=parts") as connection:
        yield lambda text: connection.execute(text).fetchall()


def rows_in(found):
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def same(found, expected):
    """Whether rows are the same, doubles within `CLOSE` of themselves; their order is not compared."""

    def key(row):
        return tuple((value is None, f"{value:.9e}" if isinstance(value, float) else str(value)) for value in row)

    def close(one, other):
        if isinstance(one, float) and isinstance(other, float):
            return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
        return type(one) is type(other) and one == other

    ours = sorted(rows_in(found), key=key)
    # No answer is numeric: it is what our column is.
    types = [float if pa.types.is_floating(kind) else int for kind in found.schema.types]
    read = [
        tuple(kind(value) if isinstance(value, Decimal) else value for kind, value in zip(types, row, strict=True))
        for row in expected
    ]
    theirs = sorted(read, key=key)
    pairs = (pair for row, other in zip(ours, theirs, strict=False) for pair in zip(row, other, strict=True))
    return len(ours) == len(theirs) and all(close(*pair) for pair in pairs)


QUERIES = {
    "sums": 'SELECT SUM(visit), SUM("Flux"), AVG(visit), AVG(hip), AVG("Flux"), COUNT(*), COUNT(hip) FROM observation',
    "sum_of_bigint_fits": "SELECT SUM(hip - hip / 2 * 2), SUM(observation_id % 1000) FROM observation",
    "sum_in_an_expression": "SELECT SUM(hip) / 7, SUM(visit) / 7, SUM(visit) % 5 FROM observation",
    "average_in_an_expression": "SELECT AVG(observation_id) - 36028797018963969, AVG(visit) * 3 FROM observation",
    "sum_as_text": "SELECT CAST(SUM(hip) AS TEXT), CAST(AVG(hip) AS TEXT), CAST(SUM(visit) AS TEXT) FROM observation",
    "by_group": 'SELECT visit, COUNT(*), SUM(hip) / 3, AVG("Flux") FROM observation GROUP BY visit',
    "by_expression": (
        'SELECT visit % 2 AS odd, MIN(hip), MAX("Flux") FROM observation GROUP BY odd HAVING SUM(hip) / 2 > -1e30 ORDER BY 1'
    ),
    "booleans_and_bits": (
        "SELECT visit, BOOL_AND(hip > 0), BOOL_OR(hip > 0), EVERY(hip > 0), BIT_AND(observation_id), BIT_OR(hip), BIT_XOR(hip)"
        " FROM observation GROUP BY visit"
    ),
    "any_value": "SELECT ANY_VALUE(ra), ANY_VALUE(visit - visit) FROM observation",
    "spread": 'SELECT visit, STDDEV("Flux"), VAR_POP("Flux"), VAR_POP(ra), STDDEV_POP(visit) FROM observation GROUP BY visit',
    "covariances": (
        'SELECT visit, CORR("Flux", dec), COVAR_POP("Flux", dec), COVAR_SAMP("Flux", dec), REGR_SXX("Flux", dec),'
        ' REGR_SYY("Flux", dec), REGR_SXY("Flux", dec) FROM observation GROUP BY visit'
    ),
    "regressions": (
        'SELECT visit, REGR_SLOPE("Flux", dec), REGR_INTERCEPT("Flux", dec), REGR_R2("Flux", dec), REGR_COUNT("Flux", dec),'
        ' REGR_AVGX("Flux", dec), REGR_AVGY("Flux", dec) FROM observation GROUP BY visit'
    ),
    "filter": (
        'SELECT visit, COUNT(*) FILTER (WHERE hip > 0), SUM(visit) FILTER (WHERE hip > 0), AVG("Flux") FILTER (WHERE hip < 0),'
        ' CORR("Flux", dec) FILTER (WHERE hip > 0), STDDEV("Flux") FILTER (WHERE false), BOOL_AND(hip > 0) FILTER (WHERE hip <> 7)'
        " FROM observation GROUP BY visit"
    ),
    "filter_before_its_argument": "SELECT SUM(7 / visit) FILTER (WHERE visit <> 0), COUNT(*) FILTER (WHERE NULL) FROM observation",
    "different_values": (
        "SELECT visit, COUNT(DISTINCT hip), SUM(DISTINCT hip) / 3, AVG(DISTINCT hip), COUNT(*), MIN(DISTINCT hip),"
        ' SUM(DISTINCT visit), COUNT(DISTINCT "Flux") FROM observation GROUP BY visit'
    ),
    "different_values_of_all": (
        'SELECT COUNT(DISTINCT hip), COUNT(DISTINCT visit), COUNT(*), AVG("Flux"), STDDEV("Flux") FROM observation'
    ),
    "different_values_that_meet": "SELECT COUNT(DISTINCT hip) FILTER (WHERE visit = 1), BIT_XOR(DISTINCT hip) FROM observation",
    "rollup": (
        "SELECT visit, hip, COUNT(*), SUM(visit), COUNT(DISTINCT observation_id) FROM observation GROUP BY ROLLUP (visit, hip)"
    ),
    "cube": 'SELECT visit, hip, AVG("Flux"), VAR_POP("Flux") FROM observation GROUP BY CUBE (visit, hip)',
    "grouping_sets": (
        "SELECT visit + 1, hip, COUNT(*) * 2 FROM observation GROUP BY GROUPING SETS ((visit + 1, hip), (visit + 1), (), ())"
        " HAVING COUNT(*) > 2"
    ),
    "rollup_of_output_columns": "SELECT visit % 2 AS odd, hip, COUNT(*) FROM observation GROUP BY ROLLUP (odd, (2))",
    "ordered_by_means_that_differ_little": (
        "SELECT visit, AVG(observation_id * 8) FROM observation GROUP BY visit ORDER BY AVG(observation_id * 8), visit LIMIT 3"
    ),
    "a_set_beside_a_rollup": "SELECT visit, hip, MAX(dec) FROM observation GROUP BY visit, ROLLUP (hip)",
    "different_sets": "SELECT visit, COUNT(*) FROM observation GROUP BY DISTINCT ROLLUP (visit), ROLLUP (visit)",
    "distinct_groups": "SELECT DISTINCT COUNT(*) > 40, SUM(visit) > 0 FROM observation GROUP BY visit, hip ORDER BY 1",
    "window_over_groups": (
        "SELECT visit, COUNT(*), RANK() OVER (ORDER BY COUNT(*) DESC), SUM(COUNT(*)) OVER (),"
        " SUM(SUM(visit)) OVER (ORDER BY visit) / 7 FROM observation GROUP BY visit"
    ),
    "by_a_constant": "SELECT 7 AS seven, COUNT(*) FROM observation GROUP BY seven",
    "by_nothing": "SELECT COUNT(*), SUM(hip) + 0 FROM observation GROUP BY ()",
    "having_alone": "SELECT 1 FROM observation HAVING COUNT(*) > 3",
    "numeric_of_groups": (
        "SELECT visit, CAST(COUNT(*) AS NUMERIC) / 7, CAST(CAST(SUM(visit) AS NUMERIC) / 7 AS TEXT) FROM observation GROUP BY visit"
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_an_aggregate_of_parts_is_that_of_the_whole(name, merged, whole, in_steps, plain):
    text = QUERIES[name]
    expected = plain(text)
    found = merged(text)
    for answer in (found, whole(text), in_steps(text)):
        assert [field.type for field in answer.schema] == [field.type for field in found.schema]
        assert same(answer, expected), answer.to_pylist()


@pytest.mark.parametrize("name", QUERIES)
def test_an_aggregate_of_no_rows_is_that_of_postgresql(name, merged, plain):
    text = QUERIES[name].replace("FROM observation", "FROM observation WHERE dec IS NULL")
    assert same(merged(text), plain(text))


def test_a_sum_beyond_bigint_is_an_error_as_a_column_and_a_number_in_an_expression(merged, whole, plain):
    text = "SELECT SUM(hip) FROM observation WHERE hip > 0"
    with pytest.raises(QueryEvaluationError, match="out of range"):
        merged(text)
    with pytest.raises(Exception, match="bigint out of range"):
        whole(text)
    text = "SELECT SUM(hip) / 1000 FROM observation WHERE hip > 0"
    for answer in (merged(text), whole(text)):
        assert same(answer, plain(text))


def test_a_sum_that_overflows_only_when_it_is_merged_is_an_error(merged, plain):
    text = 'SELECT SUM("Flux" * 8e299) FROM observation'
    with pytest.raises(psycopg.Error, match="value out of range: overflow"):
        plain(text)
    with pytest.raises(QueryEvaluationError, match="value out of range: overflow"):
        merged(text)


def test_a_regression_on_one_value_has_no_slope(merged):
    """The rounding of means must not be taken for a variance: it would be divided by."""
    (row,) = merged('SELECT REGR_SLOPE("Flux", ra), CORR(ra, "Flux"), REGR_R2(ra, "Flux") FROM observation').to_pylist()
    assert row == {"c0": None, "c1": None, "c2": 1.0}


STEPS = {
    "merged": "SELECT visit, SUM(hip) AS total, AVG(observation_id) AS mean, COUNT(*) AS n FROM observation GROUP BY visit",
    "scanned": "SELECT hip, SUM(observation_id) AS total, AVG(hip) AS mean, COUNT(*) AS n FROM observation GROUP BY hip",
    "ordered": (
        "SELECT visit, CAST(hip AS NUMERIC) * hip AS total, CAST(hip AS NUMERIC) / 7 AS mean, 1 AS n FROM observation"
        " WHERE hip IS NOT NULL ORDER BY total DESC, mean, observation_id LIMIT 9"
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_what_is_numeric_reaches_the_readers_of_a_step_with_all_digits(name, merged, whole, workspace, asked):
    text = STEPS[name]
    reading = "SELECT CAST(SUM(s.total) AS TEXT), CAST(MAX(s.mean) AS TEXT), MAX(s.total) / 7, SUM(s.n) / 7 FROM {} AS s"
    expected = rows_in(asked(reading.format(f"({text})").replace("FROM observation", "FROM parts.observation")))
    for answer in (merged, whole):
        step = answer(text, is_step=True)
        assert step.schema.types[1:3] == [NUMERIC, NUMERIC]
        # As a part of chunk queries, and as a table of the scratch database.
        assert same(asked(reading.format(inline(step))), expected)
        work = workspace()
        work.load("s0", step.schema, step.to_batches())
        try:
            assert same(work.ask(reading.format("s0")).read_all(), expected)
            assert work.read("s0").sort_by("total") == step.sort_by("total")
        finally:
            work.close()


@pytest.mark.parametrize(
    ("expression", "kind"),
    [
        ("hip", Kind.BIGINT),
        ("visit + 1", Kind.INTEGER),
        ("visit * hip", Kind.BIGINT),
        ("hip * 0.5", Kind.FLOAT),
        ("CAST(hip AS NUMERIC) / 2", Kind.NUMERIC),
        ("CAST(CAST(hip AS NUMERIC) AS INTEGER)", Kind.INTEGER),
        ("SUM(visit)", Kind.BIGINT),
        ("SUM(hip)", Kind.NUMERIC),
        ("SUM(hip) OVER (ORDER BY ra)", Kind.NUMERIC),
        ("AVG(visit) FILTER (WHERE hip > 0)", Kind.NUMERIC),
        ("AVG(ra)", Kind.FLOAT),
        ("SUM(LENGTH(CAST(hip AS TEXT)))", Kind.NUMERIC),
        ("CASE WHEN hip > 0 THEN visit ELSE ra END", Kind.FLOAT),
        ("COALESCE(visit, CAST(1 AS NUMERIC))", Kind.NUMERIC),
        ("DIV(hip, 7)", Kind.NUMERIC),
        ("FLOOR(visit)", Kind.FLOAT),
        ("FLOOR(CAST(visit AS NUMERIC))", Kind.NUMERIC),
        ("PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY visit)", Kind.INTEGER),
        ("PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY visit)", Kind.FLOAT),
        ("hip > 3", Kind.OTHER),
        ("(SELECT SUM(o.hip) FROM observation AS o)", Kind.NUMERIC),
        ("s.total", Kind.NUMERIC),
        ("s.total / s.n", Kind.NUMERIC),
        ("s.n", Kind.BIGINT),
    ],
)
def test_the_kind_of_a_number_is_read_off_the_tree(expression, kind, catalogue):
    inner = "(SELECT hip AS h, SUM(hip) AS total, COUNT(*) AS n FROM observation GROUP BY hip)"
    text = f"SELECT {expression} FROM observation JOIN {inner} AS s ON s.h = observation.hip"  # noqa: S608 (the test is about such text)
    query = named(parse(text), catalogue, text)
    assert numbers_of(query).kind(query.tree.expressions[0]) == kind


@pytest.mark.parametrize(
    "query",
    [
        "SELECT MAX(CAST(hip AS NUMERIC) * hip) FROM observation",
        "SELECT COUNT(*) FROM observation GROUP BY CAST(hip AS NUMERIC) * hip",
        "SELECT COUNT(DISTINCT CAST(hip AS NUMERIC) / 3) FROM observation",
        "SELECT SUM(CAST(hip AS NUMERIC)) FROM observation",
        "SELECT DISTINCT CAST(hip AS NUMERIC) / 3 FROM observation",
        "SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY dec) FROM observation",
        "SELECT STRING_AGG(CAST(hip AS TEXT), ',') FROM observation",
        "SELECT COUNT(DISTINCT (hip, visit)) FROM observation",
    ],
)
def test_what_partial_aggregates_would_change_is_not_made_of_them(query, catalogue):
    """Rows reach the merge in double precision if they are numeric, which none of these may be before it is whole."""
    with pytest.raises(NotLocalError):
        check_shape(*analyse(parse(query), catalogue, query))
