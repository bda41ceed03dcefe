"""``qserv ingest``, run as a user runs it."""

import json
import subprocess
import sys
import threading

import numpy as np
import psycopg
import pytest
from astropy.io import fits

from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, Role
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.migrate import upgrade
from qserv.metadata.nodes import register_node
from qserv.metadata.registration import delete_table, delete_unused
from schema.tap_schema import TAP_SCHEMA

FELIS = """
name: command_test
"@id": "#command_test"
tables:
- name: object
  "@id": "#object"
  primaryKey: "#object.id"
  columns:
  - {name: id, "@id": "#object.id", datatype: long, nullable: false, description: Key., "ivoa:ucd": meta.id;meta.main}
  - {name: ra, "@id": "#object.ra", datatype: double, description: RA., "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}
  - {name: dec, "@id": "#object.dec", datatype: double, description: Dec., "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}
"""

PARTITION = """
family: command_test
overlap_deg: 0.1
tables:
  object: {role: director, ra: ra, dec: dec, director_key: id, frame: {system: ICRS, epoch: J2000}}
"""


@pytest.fixture(scope="module")
def ingest_service(postgres_cluster):
    """The ingest service of the cluster."""
    words = [sys.executable, "-m", "ingest.service", "--home", str(postgres_cluster.home)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as service:
        assert "ingest serves" in service.stderr.readline()
        threading.Thread(target=service.stderr.read).start()
        yield service
        service.terminate()


@pytest.fixture
async def home(postgres_cluster, ingest_nodes, ingest_service):
    """Home of a cluster whose metadata knows the nodes."""
    url = postgres_cluster.cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, postgres_cluster.secrets)
    upgrade(url)
    engine = make_engine(url)
    async with connect(engine) as connection, connection.begin():
        for node in ingest_nodes:
            await register_node(connection, node)
    assert ingest_service.poll() is None
    yield postgres_cluster.home
    async with connect(engine) as connection, connection.begin():
        for database, table in [("command_test", "object"), *(("tap_schema", table.name) for table in TAP_SCHEMA.tables)]:
            await delete_table(connection, database, table)
        await delete_unused(connection)
    await engine.dispose()
    for node in postgres_cluster.cluster.nodes:
        conninfo = node.postgres.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets)
        with psycopg.connect(conninfo, autocommit=True) as session:
            session.execute("DROP SCHEMA IF EXISTS command_test, tap_schema CASCADE")


@pytest.fixture
def qserv(home, tmp_path):
    (tmp_path / "test.yaml").write_text(FELIS)
    (tmp_path / "test.partition.yaml").write_text(PARTITION)
    (tmp_path / "good.csv").write_text(
        "id,ra,dec,colour\n1,10.5,20\n2,,\n3,370,-90\n".replace("\n", ",red\n").replace("colour,red", "colour")
    )
    (tmp_path / "bad.csv").write_text("id,ra,dec\n1,10.5,95\n")

    def run(*arguments):
        command = [sys.executable, "-m", "qserv.cli", "ingest", "--home", str(home), "test.yaml", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.anyio
async def test_files_are_loaded_and_the_report_is_printed(qserv):
    done = qserv("object=good.csv", "--replace", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [(table["table"], table["rows"], table["ignored_columns"]) for table in report["tables"]] == [("object", 3, ["colour"])]
    done = qserv("object=good.csv", "--replace")
    assert "command_test.object" in done.stdout
    assert "object: not in the schema, left out: colour" in done.stdout
    assert "3 rows published" in done.stdout
    assert "reading" in done.stderr
    done = qserv("object=good.csv")
    assert done.returncode == 1
    assert "published already; `--replace`" in done.stderr


@pytest.mark.anyio
async def test_what_is_proposed_for_a_file_of_unknown_content_is_loaded(home, tmp_path):
    (tmp_path / "stars.csv").write_text("id,RAJ2000,DEJ2000,Vmag,[Fe/H]\n1,10,20,3.5,\n2,359.5,-90,,-0.5\n")

    def run(*arguments):
        command = [sys.executable, "-m", "qserv.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = run("propose", "command_test", "object=stars.csv")
    assert done.returncode == 0, done.stderr
    assert "object  director  id   RAJ2000 DEJ2000  5        2" in done.stdout
    assert "object: RAJ2000 and DEJ2000 are taken for degrees" in done.stdout
    assert "qserv ingest command_test.yaml object=stars.csv" in done.stdout
    again = run("propose", "command_test", "object=stars.csv")
    assert again.returncode == 4
    assert "command_test.yaml is there already; --overwrite replaces it" in again.stderr
    loaded = run("ingest", "--home", str(home), "command_test.yaml", "object=stars.csv", "--replace", "--json")
    report = json.loads(loaded.stdout)
    assert report["tables"][0]["rows"] == 2, loaded.stderr
    listed = run("loads", "--home", str(home))
    assert any(report["load"] in line and "committed" in line for line in listed.stdout.splitlines())
    told = json.loads(run("loads", "--home", str(home), report["load"], "--json").stdout)
    assert (told["state"], told["row_count"], [file["source"] for file in told["files"]]) == (
        "committed",
        2,
        [str(tmp_path / "stars.csv")],
    )
    shown = run("loads", "--home", str(home), report["load"]).stdout
    assert told["files"][0]["sha256"] in shown
    missing = run("loads", "--home", str(home), "nothing")
    assert missing.returncode == 4
    assert "there is no load nothing" in missing.stderr


def test_a_proposal_under_names_that_are_none_leaves_nothing(tmp_path):
    (tmp_path / "a.csv").write_text("id\n1\n")
    command = [sys.executable, "-m", "qserv.cli", "propose", "pg_catalog", "1a=a.csv", "--directory", "made"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "a table name must begin with a letter" in done.stderr
    assert "pg_catalog.yaml: " in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


@pytest.mark.anyio
async def test_a_directory_and_a_pattern_name_several_files(qserv, tmp_path):
    (tmp_path / "night").mkdir()
    for number in range(3):
        (tmp_path / "night" / f"{number}.csv").write_text(f"id,ra,dec\n{number},1,2\n")
    done = qserv("object=night", "--replace", "--json")
    assert json.loads(done.stdout)["tables"][0]["rows"] == 3
    done = qserv("object=night/[01].*", "--replace", "--json")
    assert json.loads(done.stdout)["tables"][0]["rows"] == 2
    done = qserv("object=night/*.fits", "--replace", "--json")
    assert done.returncode == 4
    assert f"no file matches {tmp_path}/night/*.fits" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.anyio
async def test_files_of_other_formats_and_units_are_loaded(qserv, tmp_path):
    (tmp_path / "plain.txt").write_text("1|10,5|20\n2|-|-\n".replace(",", "."), encoding="utf-16")
    done = qserv(
        "object=plain.txt", "--no-header", "--delimiter", "|", "--null", "-", "--encoding", "utf-16", "--replace", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"][0]["rows"] == 2
    columns = [fits.Column("id", "K", array=np.arange(3)), fits.Column("dec", "D", unit="deg", array=np.zeros(3))]
    columns += [fits.Column("RA", "D", unit="h", array=np.arange(3.0))]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "rows.fits.gz")
    refused = qserv("object=rows.fits.gz", "--replace", "--json")
    assert "the unit 'h' of the file cannot become 'deg'" in json.loads(refused.stdout)["error"]["message"]
    done = qserv("object=rows.fits.gz", "--replace", "--ignore-units", "--json")
    assert json.loads(done.stdout)["tables"][0]["rows"] == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("option", "message"),
    [(["--format", "xls"], "'xls' is not one of parquet, csv, fits, arrow"), (["--encoding", "martian"], "'martian' is not known")],
)
async def test_options_that_mean_nothing_are_wrong_usage(qserv, option, message):
    done = qserv("object=good.csv", *option)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arguments", "code", "error", "message"),
    [
        (["object=bad.csv", "--replace"], 4, "ingest.bad_row", "bad.csv, row 1, column 'dec', value 95.0"),
        (["object=gone.csv"], 4, "ingest.bad_file", "gone.csv does not exist"),
        (["objct=good.csv"], 4, "schema", "did you mean 'object'"),
    ],
)
async def test_an_error_has_its_exit_code_and_document(qserv, arguments, code, error, message):
    done = qserv(*arguments, "--json")
    assert done.returncode == code
    told = json.loads(done.stdout)["error"]
    assert told["code"] == error
    assert message in told["message"]


@pytest.mark.anyio
async def test_a_word_that_is_no_file_of_a_table_is_wrong_usage(qserv):
    done = qserv("good.csv")
    assert done.returncode == 2
    assert "'good.csv' is not of the form TABLE=FILE" in done.stderr
