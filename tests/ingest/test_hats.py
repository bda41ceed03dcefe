"""HATS catalogues are read by what they say of themselves: here, behind a web server, in an object store."""

import threading
import time

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.staticfiles import StaticFiles

from ingest.files import open_file
from ingest.hats import read_properties
from ingest.inputs import open_inputs
from ingest.locations import located
from ingest.proposal import proposed_tables
from qserv.errors import BadFileError, RemoteFileError
from schema.model import Column, ColumnType, Database, Table, TableRole

PIXELS = [(0, 3), (1, 20), (5, 12_000)]


def rows(first):
    """Return three rows as writers of before put them into a file, with the place where it lies; their pixels are wrong."""
    columns = {"_healpix_29": [1, 2, 3], "id": list(range(first, first + 3)), "ra": [1.0, 2.0, 3.0], "dec": [0.0, 1.0, 2.0]}
    return pa.table(columns | {name: [0] * 3 for name in ("Norder", "Dir", "Npix")})


def write_catalogue(directory, kind="object", partitions=PIXELS, suffix=".parquet", extra=""):
    directory.mkdir(parents=True)
    lines = ["#HATS catalog", "obs_collection = stars", f"dataproduct_type={kind}", f"hats_npix_suffix={suffix}", extra]
    (directory / "hats.properties").write_text("\n".join(lines))
    pixels = "".join(f"{order},{pixel}\n" for order, pixel in partitions)
    (directory / "partition_info.csv").write_text(f"Norder,Npix\n{pixels}")
    (directory / "dataset").mkdir()
    pq.write_metadata(rows(0).schema, directory / "dataset" / "_common_metadata")
    pq.write_metadata(rows(0).schema, directory / "dataset" / "_metadata")
    pq.write_table(rows(0).slice(0, 1), directory / "data_thumbnail.parquet")
    for place, (order, pixel) in enumerate(partitions):
        name = f"Npix={pixel}{suffix}" + ("part0.parquet" if suffix == "/" else "")
        path = directory / "dataset" / f"Norder={order}" / f"Dir={pixel // 10_000 * 10_000}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows(10 * place), path)
    return directory


def write_collection(directory, **options):
    write_catalogue(directory / "stars", **options)
    write_catalogue(directory / "stars_5arcs", kind="margin")
    (directory / "collection.properties").write_text(
        "obs_collection=stars\nhats_primary_table_url=stars\nall_margins=stars_5arcs\ndefault_margin=stars_5arcs\n"
    )
    return directory


def ids(text):
    return sorted(
        id_ for each in located(str(text)) for batch in open_file(each).batches(["id"]) for id_ in batch["id"].to_pylist()
    )


EXPECTED = [0, 1, 2, 10, 11, 12, 20, 21, 22]


@pytest.mark.parametrize("suffix", [".parquet", "/", ".zst.parquet"])
@pytest.mark.parametrize("name", ["", "stars"])
def test_rows_are_those_of_the_partitions(tmp_path, name, suffix):
    write_collection(tmp_path / "sky", suffix=suffix)
    assert ids(tmp_path / "sky" / name) == EXPECTED
    assert len(located(str(tmp_path / "sky" / name))) == 3


def test_partitions_are_found_without_a_list_of_them(tmp_path):
    write_collection(tmp_path / "sky")
    (tmp_path / "sky" / "stars" / "partition_info.csv").unlink()
    (tmp_path / "sky" / "stars" / "hats.properties").rename(tmp_path / "sky" / "stars" / "properties")
    assert ids(tmp_path / "sky") == EXPECTED


def test_rows_without_a_position_belong_to_it(tmp_path):
    write_collection(tmp_path / "sky", extra="qserv_without_position=lost.parquet")
    pq.write_table(rows(90), tmp_path / "sky" / "stars" / "lost.parquet")
    assert ids(tmp_path / "sky") == [*EXPECTED, 90, 91, 92]


def test_catalogue_without_rows_has_columns(tmp_path):
    write_collection(tmp_path / "sky", partitions=[])
    assert ids(tmp_path / "sky") == []
    (file,) = located(str(tmp_path / "sky"))
    assert open_file(file).columns == tuple(rows(0).column_names)


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("stars/hats.properties", "dataproduct_type=association", "of kind 'association', whose rows are no table"),
        ("collection.properties", "hats_primary_table_url=../other", "names '../other', which is not below it"),
        ("collection.properties", "hats_primary_table_url=https\\://a.b/c", "names 'https://a.b/c', which is not below it"),
        ("collection.properties", "obs_collection=stars", "names '', which is not below it"),
        ("collection.properties", "hats_primary_table_url=gone", "its main catalogue 'gone' is not there"),
        ("stars/partition_info.csv", "order,pixel\n1,2\n", "no list of partitions"),
        ("stars/partition_info.csv", "Norder,Npix\n1,../../x\n", "no list of partitions"),
        ("stars/hats.properties", "dataproduct_type=object\nhats_npix_suffix=/../../../x", "end in '/../../../x'"),
        ("stars/hats.properties", "dataproduct_type=object\nqserv_without_position=/etc/passwd", "names '/etc/passwd'"),
    ],
)
def test_catalogue_that_says_what_cannot_be_is_refused(tmp_path, file, text, error):
    write_collection(tmp_path / "sky")
    (tmp_path / "sky" / file).write_text(text)
    with pytest.raises(BadFileError, match=error):
        located(str(tmp_path / "sky"))


def test_margin_is_no_table(tmp_path):
    write_collection(tmp_path / "sky")
    with pytest.raises(BadFileError, match="of kind 'margin'"):
        located(str(tmp_path / "sky" / "stars_5arcs"))


def test_partition_that_is_not_there_is_missed(tmp_path):
    write_collection(tmp_path / "sky")
    located(str(tmp_path / "sky"))[1].unlink()
    with pytest.raises(BadFileError, match=r"Npix=20\.parquet does not exist"):
        ids(tmp_path / "sky")


def test_other_directories_stay_what_they_are(tmp_path):
    (tmp_path / "properties").write_text("owner=nobody\n")
    (tmp_path / "rows.csv").write_text("id\n1\n")
    assert [each.name for each in located(str(tmp_path))] == ["properties", "rows.csv"]


def test_catalogue_behind_a_web_server(tmp_path):
    write_collection(tmp_path / "sky")
    app = Starlette()
    app.mount("/", StaticFiles(directory=tmp_path))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        assert ids(f"{url}/sky") == ids(f"{url}/sky/stars/") == EXPECTED
        (tmp_path / "sky" / "stars" / "partition_info.csv").unlink()
        with pytest.raises(BadFileError, match="nobody can list"):
            located(f"{url}/sky")
    finally:
        server.should_exit = True
        thread.join()
    with pytest.raises(RemoteFileError, match=r"collection\.properties cannot be read: its server does not answer"):
        located(f"{url}/sky")


@pytest.mark.parametrize("suffix", [".parquet", "/"])
def test_catalogue_in_an_object_store(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("ingest.locations.STORES", frozenset({"memory"}))
    write_collection(tmp_path / "sky", suffix=suffix)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "sky"), f"/{tmp_path.name}/sky", recursive=True)
    try:
        assert ids(f"memory://{tmp_path.name}/sky") == EXPECTED
    finally:
        store.rm(f"/{tmp_path.name}", recursive=True)


def test_place_in_the_catalogue_is_no_column_of_the_table(tmp_path):
    write_collection(tmp_path / "sky")
    (table,) = proposed_tables({"stars": located(str(tmp_path / "sky"))})
    assert [each.column.name for each in table.columns] == ["id", "ra", "dec"]
    assert (table.key, table.position, table.role) == ("id", ("ra", "dec"), TableRole.DIRECTOR)
    assert set(table.left_out) == {"_healpix_29", "Norder", "Dir", "Npix"}
    declared = Table("stars", TableRole.REPLICATED, (Column("id", ColumnType.LONG),))
    (source,) = open_inputs(Database("sky", "sky", (declared,)), {"stars": located(str(tmp_path / "sky"))})
    assert source.ignored_columns == ("ra", "dec")


def test_properties_are_read_as_java_writes_them():
    text = "#HATS\n! note\n\nname = a b\nurl=https\\://x/y=z\nkey : value\nempty=\n  spaced=1\nalone\n"
    assert read_properties(text) == {
        "name": "a b",
        "url": "https://x/y=z",
        "key": "value",
        "empty": "",
        "spaced": "1",
        "alone": "",
    }
