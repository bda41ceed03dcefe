import errno
import uuid

import pyarrow as pa
import pytest

from czar.service.results import Results
from qserv.api.errors import KINDS, error_info, error_of, status_of
from qserv.errors import NoSuchJobError, Place, QueryError, QuerySyntaxError, StorageFullError

ROWS = pa.RecordBatch.from_pydict({"a": [1, 2, 3]})


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


def write(results, job_id, attempt):
    with results.writing(job_id, attempt, ROWS.schema) as file:
        file.write(ROWS)
        assert not results.path(job_id, attempt).exists()
    assert (file.rows, file.size_bytes) == (3, ROWS.nbytes)


def test_a_result_gets_its_name_when_it_is_whole(results):
    job_id = uuid.uuid4()
    with pytest.raises(NoSuchJobError):
        results.whole(job_id, 1)
    write(results, job_id, 1)
    with pa.ipc.open_stream(results.whole(job_id, 1).read_bytes()) as reader:
        assert reader.read_all().to_batches() == [ROWS]


@pytest.mark.parametrize(
    ("error", "raised"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "No space"), StorageFullError)]
)
def test_what_is_not_whole_goes(results, error, raised):
    def write_some():
        with results.writing(uuid.uuid4(), 1, ROWS.schema) as file:
            file.write(ROWS)
            raise error

    with pytest.raises(raised):
        write_some()
    assert list(results.directory.iterdir()) == []


def test_removing(results):
    mine, other = uuid.uuid4(), uuid.uuid4()
    for job_id, attempt in ((mine, 1), (mine, 2), (other, 1)):
        write(results, job_id, attempt)
    results.remove(mine, but=2)
    assert results.jobs() == {mine, other}
    results.whole(mine, 2)
    results.remove(mine)
    assert results.jobs() == {other}


def test_every_error_is_the_same_on_both_sides():
    assert len(KINDS) > 15
    for code, kind in KINDS.items():
        there = error_of(error_info(kind("what; do this")))
        assert (type(there), there.code, str(there), there.retryable) == (kind, code, "what; do this", kind.retryable)
    assert error_info(kind("what; do this")).hint == "do this"


def test_a_place_travels_with_its_error():
    info = error_info(QuerySyntaxError("SELECT is expected; write one", Place(2, 7)))
    assert info.hint == "write one"
    there = error_of(info)
    assert isinstance(there, QueryError)
    assert (there.place, str(there)) == (Place(2, 7), "SELECT is expected; write one (line 2, column 7)")


def test_what_is_not_ours_is_not_told():
    info = error_info(RuntimeError("password=secret"))
    assert "secret" not in info.model_dump_json()
    assert status_of(RuntimeError()) == 500
