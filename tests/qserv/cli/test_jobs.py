"""Jobs on the command line, against a cluster with real stars."""

import json
import sys
from contextlib import suppress
from uuid import UUID

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from czar.service.client import Czar
from qserv.cli import main
from qserv.cli.output import console
from qserv.errors import NoSuchJobError

STARS = "SELECT hip, magnitude FROM stars.hipparcos WHERE magnitude < 2 ORDER BY hip"
READERS = {
    ".parquet": pa.parquet.read_table,
    ".csv": pa.csv.read_csv,
    ".arrow": lambda path: pa.ipc.open_file(path).read_all(),
}


@pytest.fixture
def qserv(archive, monkeypatch, capsys):
    """Run a command in this process, and return what it printed: a process of its own takes it a second to start.

    So its environment and its arguments are put in place here. Tables are as wide as they need be, as on a wide terminal.
    """
    monkeypatch.setenv("QSERV_HOME", str(archive.home))
    monkeypatch.setattr(console, "width", 200)

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["qserv", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert ended.value.code == code, shown.err
        return shown.out if code == 0 else shown.err

    return run


@pytest.fixture
def ended(qserv, archive):
    """Submit a query, wait until it has ended, return its id."""
    jobs = []
    with Czar.of_home(archive.home) as czar:

        def run(text):
            jobs.append(qserv("submit", text).split()[0])
            assert czar.wait(UUID(jobs[-1])).state.ended
            return jobs[-1]

        yield run
        for job in jobs:
            with suppress(NoSuchJobError):
                czar.delete_job(UUID(job))


def test_a_job_is_submitted_told_of_fetched_and_deleted(qserv, ended, tmp_path):
    job = ended(STARS)
    told = qserv("jobs", job[:13])
    assert "completed" in told
    assert STARS in told
    assert job in qserv("jobs")
    shown = json.loads(qserv("result", job[:13], "--json", "--max-rows", "3"))
    assert shown["columns"] == ["hip", "magnitude"]
    assert (len(shown["rows"]), shown["more"]) == (3, True)
    assert "first 3 rows" in qserv("result", job, "--max-rows", "3")
    rows = [json.loads(qserv("result", job, "--json"))["rows"]]
    for suffix, read in READERS.items():
        path = tmp_path / f"stars{suffix}"
        assert str(path) in qserv("result", job, "--output", str(path))
        rows.append([list(row.values()) for row in read(path).to_pylist()])
    assert all(one == rows[0] for one in rows)
    assert job in qserv("cancel", job[:13], "--delete")
    assert job not in qserv("jobs")


def test_what_cannot_be_fetched_is_told_and_leaves_no_file(qserv, ended, tmp_path):
    failed = ended("SELECT 1 / (hip - hip) FROM stars.hipparcos")
    assert "division by zero" in qserv("jobs", failed[:8])
    assert "division by zero" in qserv("result", failed, "--output", str(tmp_path / "a.csv"), code=4)
    done = ended(STARS)
    assert "names no format" in qserv("result", done, "--output", str(tmp_path / "a.fits"), code=4)
    assert "no id begins with zz" in qserv("result", "zz", code=4)
    qserv("result", done, "--output", str(tmp_path / "nowhere" / "a.csv"), code=1)
    assert list(tmp_path.iterdir()) == []
