"""What DuckDB is asked to combine, and what it must not be able to do."""

import duckdb
import pyarrow as pa
import pytest

from czar.limiting import limited
from czar.merge import Merger
from qserv.errors import MemoryLimitError, QueryEvaluationError


@pytest.fixture
def merger(tmp_path):
    merger = Merger(100_000_000, str(tmp_path))
    yield merger
    merger.close()


def table(**columns):
    return pa.table(columns)


def test_sums_of_integers_are_int64(merger):
    partials = table(k0=[1, 1, 2], a0=pa.array([1, 2**62, None], pa.int64()))
    combined = merger.combine(
        "SELECT k0, SUM(a0) AS a0 FROM partials GROUP BY k0 ORDER BY k0", partials.schema, partials.to_batches()
    )
    assert combined.schema.field("a0").type == pa.int64()
    assert combined.read_all().to_pylist() == [{"k0": 1, "a0": 2**62 + 1}, {"k0": 2, "a0": None}]


def test_a_sum_beyond_int64_is_an_error_and_not_another_number(merger):
    partials = table(a0=pa.array([2**62, 2**62], pa.int64()))
    with pytest.raises(QueryEvaluationError, match="out of range"):
        merger.combine("SELECT SUM(a0) AS a0 FROM partials", partials.schema, partials.to_batches()).read_all()


def test_nan_and_null_group_as_in_postgresql(merger):
    nan = float("nan")
    partials = table(k0=[nan, None, nan, 0.0, -0.0, None], a0=[1] * 6)
    sql = "SELECT k0, CAST(SUM(a0) AS BIGINT) AS a0 FROM partials GROUP BY k0 ORDER BY k0 ASC NULLS LAST"
    combined = merger.combine(sql, partials.schema, partials.to_batches()).read_all()
    assert [str(value) for value in combined["k0"].to_pylist()] in (["0.0", "nan", "None"], ["-0.0", "nan", "None"])
    assert combined["a0"].to_pylist() == [2, 2, 2]


def test_an_error_of_the_chunks_comes_through(merger):
    partials = table(a0=[1])

    def batches():
        yield from partials.to_batches()
        msg = "division by zero"
        raise QueryEvaluationError(msg)

    with pytest.raises(QueryEvaluationError, match="division by zero"):
        merger.combine("SELECT SUM(a0) AS a0 FROM partials", partials.schema, batches()).read_all()


def test_groups_that_need_more_memory_than_there_is_are_a_limit(tmp_path):
    small = Merger(1_000_000, str(tmp_path))
    names = pa.table({"k0": [f"{number:040}" for number in range(100_000)]})
    with pytest.raises(MemoryLimitError, match="need more memory than there is; ask for fewer rows") as met:
        small.combine("SELECT k0 FROM partials GROUP BY k0 ORDER BY k0", names.schema, names.to_batches()).read_all()
    assert met.value.code == "query.limit.memory"
    # What is left over is none of the next query's.
    few = table(a0=[1, 2])
    assert small.combine("SELECT COUNT(*) AS n FROM partials", few.schema, few.to_batches()).read_all().to_pylist() == [{"n": 2}]
    small.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "INSTALL httpfs",
        "ATTACH 'other.db'",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SELECT * FROM secret_of_the_caller",
    ],
)
def test_the_outside_is_closed(merger, sql):
    secret_of_the_caller = table(password=["x"])
    with pytest.raises(duckdb.Error):
        merger.combine(sql, secret_of_the_caller.schema, secret_of_the_caller.to_batches()).read_all()


@pytest.mark.parametrize(("offset", "limit"), [(0, None), (0, 0), (0, 3), (2, 4), (4, 4), (5, None), (9, 5), (10, 1), (50, 2)])
def test_limited_is_a_slice(offset, limit):
    batches = [table(n=list(range(low, high))).to_batches()[0] for low, high in ((0, 4), (4, 5), (5, 10))]
    found = [n for batch in limited(batches, offset, limit) for n in batch.to_pydict()["n"]]
    assert found == list(range(10))[offset : None if limit is None else offset + limit]
