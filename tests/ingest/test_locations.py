"""Files behind a web server, in directories, by patterns, in an object store; and those that change while they are read."""

import asyncio
import gzip
import importlib.util
import os
import threading
import time

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import uvicorn
from astropy.table import Table
from pyarrow import feather, ipc
from starlette.applications import Starlette
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from ingest import locations
from ingest.files import open_file
from ingest.locations import RemoteFile, located
from qserv.errors import BadFileError, RemoteFileError

ROWS = pa.table({"id": pa.array(range(200_000)), "ra": pa.array([number / 7 for number in range(200_000)])})

NAMES = ("rows.parquet", "rows.csv", "rows.csv.gz", "rows.fits", "rows.arrow", "rows.arrows")


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    made = tmp_path_factory.mktemp("served")
    pq.write_table(ROWS, made / "rows.parquet")
    pyarrow.csv.write_csv(ROWS, made / "rows.csv")
    (made / "rows.csv.gz").write_bytes(gzip.compress((made / "rows.csv").read_bytes(), 1))
    Table({name: ROWS[name].to_numpy() for name in ROWS.column_names}).write(made / "rows.fits")
    feather.write_feather(ROWS, made / "rows.arrow", compression="uncompressed")
    with ipc.new_stream(made / "rows.arrows", ROWS.schema) as writer:
        writer.write_table(ROWS)
    return made


@pytest.fixture(scope="module")
def url(directory):
    """A server: ``/parts`` gives parts of files, ``/whole`` whole ones alone, ``/cut`` the first half of them."""

    async def parts(request):
        path = directory / request.path_params["name"]
        return FileResponse(path) if path.exists() else PlainTextResponse("none", 404)

    async def whole(request):
        content = (directory / request.path_params["name"]).read_bytes()
        return StreamingResponse(content[start : start + 100_000] for start in range(0, len(content), 100_000))

    async def cut(request):
        content = (directory / request.path_params["name"]).read_bytes()
        half = iter([content[: len(content) // 2]])
        return StreamingResponse(half, headers={"Content-Length": str(len(content)), "Accept-Ranges": "none"})

    async def denied(_):
        return PlainTextResponse("no", 403)

    async def busy(_):
        return PlainTextResponse("later", 503)

    async def silent(_):
        async def content():
            yield b"id,ra\n"
            await asyncio.sleep(60)

        return StreamingResponse(content())

    routes = [Route(f"/{each.__name__}/{{name}}", each) for each in (parts, whole, cut, denied, busy, silent)]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def rows_of(location):
    return pa.Table.from_batches(open_file(location).batches(["id", "ra"])).cast(ROWS.schema)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["parts", "whole"])
def test_a_url_is_read_as_a_file_is(url, way, name):
    (location,) = located(f"{url}/{way}/{name}")
    assert rows_of(location).equals(ROWS)


def test_of_a_parquet_file_the_columns_that_are_asked_for_are_read(url, directory):
    size = (directory / "rows.parquet").stat().st_size
    with RemoteFile(f"{url}/parts/rows.parquet").open("rb") as file:
        assert file.seek(0, os.SEEK_END) == size
        file.seek(-4, os.SEEK_END)
        assert file.read() == b"PAR1"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_which_half_comes_is_not_loaded(url, name):
    with pytest.raises((BadFileError, RemoteFileError), match=r"cannot be read|does not end"):
        rows_of(RemoteFile(f"{url}/cut/{name}"))


@pytest.mark.parametrize(
    ("place", "told"),
    [("parts/none.csv", "does not exist"), ("denied/rows.csv", "its server says 403")],
)
def test_what_a_server_refuses_is_told_without_the_signature(url, place, told):
    with pytest.raises(BadFileError, match=told) as caught:
        open_file(RemoteFile(f"{url}/{place}?signature=secret"))
    assert place in str(caught.value)
    assert "secret" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("place", ["busy/rows.csv", "whole/none.csv", "silent/rows.csv"])
def test_a_server_that_may_answer_later_is_told_as_such(url, place, monkeypatch):
    monkeypatch.setattr(locations, "SILENCE_S", 0.5)
    with pytest.raises(RemoteFileError, match=r"its server (says 50|does not answer)") as caught:
        list(open_file(RemoteFile(f"{url}/{place}?silence=short")).batches(["id", "ra"]))
    assert caught.value.retryable


def test_a_server_that_is_not_there_is_told():
    with pytest.raises(RemoteFileError, match="does not answer as it should"):
        open_file(RemoteFile("http://127.0.0.1:1/rows.csv"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http://me:secret@127.0.0.1/rows.csv", "must not hold a password"),
        ("ftp://127.0.0.1/rows.csv", "files are read from paths and from abfs, az, gcs, gs, http, https, s3 URLs"),
        ("simplecache::http://127.0.0.1/rows.csv", "files are read from paths"),
        ("file:///etc/passwd", "files are read from paths"),
    ],
)
def test_urls_that_are_refused(text, told):
    with pytest.raises(BadFileError, match=told) as caught:
        located(text)
    assert "secret" not in str(caught.value)


def test_a_store_whose_package_is_not_there_is_told():
    if importlib.util.find_spec("s3fs"):
        pytest.skip("s3fs is installed")
    with pytest.raises(BadFileError, match=r"s3://bucket/rows.csv needs a package that is not installed: .*s3fs"):
        located("s3://bucket/rows.csv")


def test_directories_and_patterns(tmp_path):
    for name in ("b/2.csv", "b/_SUCCESS", "a/1.csv", "a/.hidden.csv", "a/c.parquet", "_temporary/0.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    def found(text):
        return [str(each.relative_to(tmp_path)) for each in located(f"{tmp_path}/{text}")]

    assert found("") == ["a/1.csv", "a/c.parquet", "b/2.csv"]
    assert found("*/*.csv") == ["_temporary/0.csv", "a/1.csv", "b/2.csv"]
    assert found("**/*.parquet") == ["a/c.parquet"]
    assert found("a/1.csv") == ["a/1.csv"]
    assert found("nowhere.csv") == ["nowhere.csv"], "to open it tells that it is not there"
    with pytest.raises(BadFileError, match=r"no file matches .*\*\.fits"):
        found("*.fits")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadFileError, match=r"there is no file in .*empty"):
        found("empty")


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path):
    (tmp_path / "rows[1].csv").write_text("a\n")
    assert located(str(tmp_path / "rows[1].csv")) == [tmp_path / "rows[1].csv"]


@pytest.fixture
def store(monkeypatch, directory):
    """A store of fsspec that needs no server."""
    monkeypatch.setattr(locations, "STORES", frozenset({"memory"}))
    files = fsspec.filesystem("memory")
    for name in ("2/rows.csv", "1/rows.csv", "1/_SUCCESS"):
        files.pipe(f"/release/{name}", (directory / "rows.csv").read_bytes())
    yield files
    files.rm("/release", recursive=True)


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("release", ["1/rows.csv", "2/rows.csv"]),
        ("release/*/*.csv", ["1/rows.csv", "2/rows.csv"]),
        ("release/2/rows.csv", ["2/rows.csv"]),
    ],
)
@pytest.mark.usefixtures("store")
def test_object_stores(place, names):
    found = located(f"memory://{place}")
    assert [str(each).partition("release/")[2] for each in found] == names
    assert all(rows_of(each).equals(ROWS) for each in found)


@pytest.mark.usefixtures("store")
def test_nothing_in_a_store():
    with pytest.raises(BadFileError, match="no file matches memory://release"):
        located("memory://release/*.fits")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_changes_after_it_was_opened_is_not_loaded(tmp_path, directory, name):
    path = tmp_path / name
    path.write_bytes((directory / name).read_bytes())
    file = open_file(path)
    other = tmp_path / "other"
    other.write_bytes((directory / name).read_bytes())
    other.replace(path)
    with pytest.raises(BadFileError, match="was changed while it was loaded"):
        next(file.batches(["id"]))


def test_a_file_that_grows_while_it_is_read_is_not_loaded(tmp_path, directory):
    path = tmp_path / "rows.csv"
    path.write_bytes((directory / "rows.csv").read_bytes())
    batches = open_file(path).batches(["id"])
    assert next(batches).num_rows
    with path.open("a") as file:
        file.write("7,8\n")
    with pytest.raises(BadFileError, match="was changed while it was loaded"):
        list(batches)


def test_a_file_behind_a_url_that_changes_is_not_loaded(url, directory):
    path = directory / "changing.csv"
    path.write_text("id,ra\n1,2\n")
    file = open_file(RemoteFile(f"{url}/parts/changing.csv"))
    path.write_text("id,ra\n1,3\n4,5\n")
    with pytest.raises(BadFileError, match="was changed while it was loaded"):
        list(file.batches(["id"]))
