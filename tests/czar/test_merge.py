"""What DuckDB is asked to combine, and what it must not be able to do."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from czar.limiting import limited
from czar.merge import THREAD_BYTES, Merger
from qserv.errors import (
    MemoryLimitError,
    QueryCancelledError,
    QueryEvaluationError,
    TemporarySpaceError,
    TimeLimitError,
    TooManyQueriesError,
)
from tests.oracle.limited import held_bytes


@pytest.fixture
def merger(tmp_path):
    merger = Merger(100_000_000, 50_000_000, 100_000_000, str(tmp_path))
    yield merger
    merger.close()


def table(**columns):
    return pa.table(columns)


def test_sums_of_integers_are_int64(merger):
    partials = table(k0=[1, 1, 2], a0=pa.array([1, 2**62, None], pa.int64()))
    combined = merger.merge().combine(
        "SELECT k0, SUM(a0) AS a0 FROM partials GROUP BY k0 ORDER BY k0", partials.schema, partials.to_batches()
    )
    assert combined.schema.field("a0").type == pa.int64()
    assert combined.read_all().to_pylist() == [{"k0": 1, "a0": 2**62 + 1}, {"k0": 2, "a0": None}]


def test_a_sum_beyond_int64_is_an_error_and_not_another_number(merger):
    partials = table(a0=pa.array([2**62, 2**62], pa.int64()))
    with pytest.raises(QueryEvaluationError, match="out of range"):
        merger.merge().combine("SELECT SUM(a0) AS a0 FROM partials", partials.schema, partials.to_batches()).read_all()


def test_nan_and_null_group_as_in_postgresql(merger):
    nan = float("nan")
    partials = table(k0=[nan, None, nan, 0.0, -0.0, None], a0=[1] * 6)
    sql = "SELECT k0, CAST(SUM(a0) AS BIGINT) AS a0 FROM partials GROUP BY k0 ORDER BY k0 ASC NULLS LAST"
    combined = merger.merge().combine(sql, partials.schema, partials.to_batches()).read_all()
    assert [str(value) for value in combined["k0"].to_pylist()] in (["0.0", "nan", "None"], ["-0.0", "nan", "None"])
    assert combined["a0"].to_pylist() == [2, 2, 2]


def test_an_error_of_the_chunks_comes_through(merger):
    partials = table(a0=[1])

    def batches():
        yield from partials.to_batches()
        msg = "division by zero"
        raise QueryEvaluationError(msg)

    with pytest.raises(QueryEvaluationError, match="division by zero"):
        merger.merge().combine("SELECT SUM(a0) AS a0 FROM partials", partials.schema, batches()).read_all()


NAMES = pa.table({"k0": [f"{number:040}" for number in range(100_000)]})
GROUPED = "SELECT k0 FROM partials GROUP BY k0 ORDER BY k0"


def in_order(merge, names=NAMES):
    return merge.combine("SELECT k0 FROM partials ORDER BY k0", names.schema, names.to_batches(max_chunksize=10_000))


def test_a_query_that_needs_more_memory_than_one_may_use_hurts_no_other(tmp_path):
    merger = Merger(4_000_000, 1_000_000, 100_000_000, str(tmp_path))
    few = table(a0=[1, 2])
    for _ in range(5):  # more than there are places
        with pytest.raises(MemoryLimitError, match=r"more memory than the 1\.0 MB that a query may use; ask for fewer rows") as met:
            merger.merge().combine(GROUPED, NAMES.schema, NAMES.to_batches()).read_all()
        assert met.value.code == "query.limit.memory"
        counted = merger.merge().combine("SELECT COUNT(*) AS n FROM partials", few.schema, few.to_batches())
        assert counted.read_all().to_pylist() == [{"n": 2}]
    merger.close()


def test_a_query_that_needs_more_disk_than_one_may_use_is_told_so(tmp_path):
    merger = Merger(60_000_000, 20_000_000, 1_000_000, str(tmp_path))
    many = pa.concat_tables([NAMES] * 10)
    with pytest.raises(TemporarySpaceError, match=r"more than 1\.0 MB of disk"):
        in_order(merger.merge(), many).read_all()
    merger.close()


@pytest.mark.parametrize(("query_bytes", "threads"), [(50_000_000, 1), (2 * THREAD_BYTES, min(2, len(os.sched_getaffinity(0))))])
def test_there_are_as_many_threads_as_the_memory_is_enough_for(tmp_path, query_bytes, threads):
    merger = Merger(2 * query_bytes, query_bytes, 100_000_000, str(tmp_path))
    one = table(n=[1])
    found = merger.merge().combine("SELECT CURRENT_SETTING('threads') AS n FROM partials", one.schema, one.to_batches())
    assert found.read_all().to_pylist() == [{"n": threads}]
    merger.close()


def test_queries_with_many_rows_wait_for_memory_and_others_do_not(tmp_path):
    merger = Merger(100_000_000, 50_000_000, 100_000_000, str(tmp_path))
    with closing(merger.merge()) as slow:
        assert next(in_order(slow)).num_rows
        with closing(merger.merge()) as second, pytest.raises(TooManyQueriesError, match=r"^1 queries combine many rows"):
            in_order(second)
        assert in_order(merger.merge(), table(k0=["a", "b"])).read_all().num_rows == 2
        with ThreadPoolExecutor(1) as thread:
            patient, gone = merger.merge(limit_s=60), merger.merge(limit_s=60)
            waiting = thread.submit(lambda: in_order(gone).read_all())
            gone.close()
            with pytest.raises(QueryCancelledError):
                waiting.result()
            waiting = thread.submit(lambda: in_order(patient).read_all())
            slow.close()  # read in part
            assert waiting.result().num_rows == len(NAMES)
        with pytest.raises(QueryCancelledError):
            in_order(slow)
    merger.close()


def test_a_query_that_is_given_up_does_not_go_on(merger):
    cubed = "SELECT COUNT(*) AS n FROM range(100000000) AS a, range(1000) AS b, partials WHERE a.range + b.range = 7"
    merge, few = merger.merge(), table(a0=[1])
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(lambda: merge.combine(cubed, few.schema, few.to_batches()).read_all())
        while not working.done():  # one that has not begun cannot be interrupted
            merge.close()
            time.sleep(0.01)
        with pytest.raises(QueryCancelledError):
            working.result()


ENDLESS = "SELECT COUNT(*) AS n FROM range(100000000) AS a, range(1000) AS b, partials WHERE a.range + b.range = k0.length()"
"""What takes far longer than any test waits."""


def test_many_rows_are_not_combined_for_longer_than_the_query_may_take(merger):
    merge = merger.merge(limit_s=0.5)
    with pytest.raises(TimeLimitError, match="longer than its time limit"):
        merge.combine(ENDLESS, NAMES.schema, NAMES.to_batches()).read_all()
    assert in_order(merger.merge()).read_all().num_rows == len(NAMES)  # its memory is free again


def test_a_query_that_is_given_up_while_its_rows_come_reads_no_more_of_them(merger):
    merge = merger.merge()

    def batches():
        yield from NAMES.to_batches()
        merge.close()
        yield from NAMES.to_batches()
        pytest.fail("read on")

    with pytest.raises(QueryCancelledError):
        merge.combine(ENDLESS, NAMES.schema, batches()).read_all()


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
        merger.merge().combine(sql, secret_of_the_caller.schema, secret_of_the_caller.to_batches()).read_all()


@pytest.mark.parametrize(("offset", "limit"), [(0, None), (0, 0), (0, 3), (2, 4), (4, 4), (5, None), (9, 5), (10, 1), (50, 2)])
def test_limited_is_a_slice(offset, limit):
    batches = [table(n=list(range(low, high))).to_batches()[0] for low, high in ((0, 4), (4, 5), (5, 10))]
    found = [n for batch in limited(batches, offset, limit) for n in batch.to_pydict()["n"]]
    assert found == list(range(10))[offset : None if limit is None else offset + limit]


def test_memory_is_given_back_whichever_threads_combined_many_rows(merger):
    count = 1_000_000
    rows = table(k0=np.random.default_rng(1).permutation(count), a0=np.arange(count))

    def combine():
        batches = rows.to_batches(max_chunksize=10_000)
        return sum(batch.num_rows for batch in merger.merge().combine("SELECT * FROM partials ORDER BY k0", rows.schema, batches))

    held_bytes_before = held_bytes(os.getpid())
    for _ in range(4):
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(combine).result() == count
    assert held_bytes(os.getpid()) < held_bytes_before + 1.5 * rows.nbytes
