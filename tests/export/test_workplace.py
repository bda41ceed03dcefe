"""A collection is there whole or not at all, whoever dies, and whatever was there before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from export.workplace import written_whole
from qserv.errors import ExportError, StorageFullError

SCRIPT = """
import sys
from pathlib import Path
from export.workplace import written_whole
with written_whole(Path(sys.argv[1]), overwrite=True) as place:
    (place / "collection.properties").write_text("new")
"""


def write(target, text="new", **options):
    with written_whole(target, **options) as place:
        (place / "collection.properties").write_text(text)
        (place / "dataset").mkdir()
        (place / "dataset" / "rows").write_text(text)


def killed(target, point):
    token = target.parent / "token"
    token.touch()
    environment = {**os.environ, "QSERV_FAILPOINTS": f"{point}=kill:{token}", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", SCRIPT, str(target)], env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not token.exists()


def names(directory):
    return sorted(each.name for each in directory.iterdir())


def test_nothing_but_the_collection_is_left(tmp_path):
    write(tmp_path / "out")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["collection.properties", "dataset"]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "out") as place:
        (place / str(1 / len(names(place)[1:]))).touch()
    assert names(tmp_path) == []


def test_who_dies_leaves_no_collection_and_the_next_one_cleans_up(tmp_path):
    killed(tmp_path / "out", "export.rename.before")
    assert names(tmp_path) == [".out.export"]
    write(tmp_path / "out", "next")
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "collection.properties").read_text() == "next"


def test_who_dies_while_replacing_leaves_the_old_one_to_the_next(tmp_path):
    write(tmp_path / "out", "old")
    killed(tmp_path / "out", "export.rename.before")
    with pytest.raises(ExportError, match="is there already"):
        write(tmp_path / "out", "next")
    assert (tmp_path / "out" / "collection.properties").read_text() == "old"
    write(tmp_path / "out", "next", overwrite=True)
    assert (tmp_path / "out" / "collection.properties").read_text() == "next"
    assert names(tmp_path) == ["out"]


def test_who_dies_afterwards_leaves_it_whole(tmp_path):
    killed(tmp_path / "out", "export.rename.after")
    assert (tmp_path / "out" / "collection.properties").read_text() == "new"


def test_two_do_not_write_the_same(tmp_path):
    with written_whole(tmp_path / "out") as place:
        (place / "rows").touch()
        with pytest.raises(ExportError, match="being written by another"):
            write(tmp_path / "out")
        assert (place / "rows").exists()
    assert names(tmp_path / "out") == ["rows"]


def test_only_a_collection_is_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(ExportError, match="is no collection"):
        write(tmp_path / "out", overwrite=True)
    assert names(tmp_path / "out") == ["thesis.tex"]


def test_a_full_disk_is_told(tmp_path):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(StorageFullError, match="make room"), written_whole(tmp_path / "out"), full.open("w") as file:
        file.write("x")
    assert names(tmp_path) == []
