"""The whole path: a cluster of three nodes, loaded, asked over HTTP with clients that others wrote."""

import hashlib
import html
import io
import re
import shutil
import subprocess
from pathlib import Path
from textwrap import dedent

import httpx
import numpy as np
import psycopg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import pyvo
from astropy.io.votable import parse_single_table
from pyarrow import csv

from partitioner.sphere import angular_separation_deg
from qserv.cli.demonstration import QUESTIONS
from qserv.cluster import METADATA_DATABASE, Role
from schema.catalogues import data_path
from tests.support.waiting import PATIENCE_S, until

STAGES = "TMV TME TMS TMC CPV CAP AVV QGE QPO MDQ"
ROOT = Path(__file__).parents[2]
SHOWN = {
    "README.md": r"```sql adql\n(?P<query>.*?)```\n\n```\n(?P<answer>.*?)```",
    "docs/astronomer.md": r'service\.search\("""\n(?P<query>.*?)"""\).*?```\n\n```\n(?P<answer>.*?)```',
}
"""Where pages show a query and what pyVO makes of its answer."""


@pytest.fixture(scope="module")
def stars():
    return pq.read_table(data_path("hipparcos.parquet"))


@pytest.fixture(scope="module")
def client(archive):
    return pyvo.dal.TAPService(archive.cluster.tap_url)


def sync(archive, query, **parameters):
    return httpx.post(f"{archive.cluster.tap_url}/sync", data={"LANG": "ADQL", "QUERY": query, **parameters}, timeout=PATIENCE_S)


def cone(stars, ra, dec, radius_deg):
    separation = angular_separation_deg(stars["ra_degrees"].to_numpy(), stars["dec_degrees"].to_numpy(), ra, dec)
    return sorted(np.array(stars["hip"])[separation <= radius_deg].tolist())


def test_pyvo_gets_arrays(archive, client, stars):
    query = "SELECT ARRAY_AGG(hip) AS members, ARRAY_AGG(bv) AS bv FROM stars.hipparcos WHERE magnitude < 0"
    expected = sorted(stars.filter(pc.less(stars["magnitude"], 0))["hip"].to_pylist())
    (row,) = client.search(query)
    assert sorted(row["members"].tolist()) == expected
    assert len(row["bv"]) == len(expected)
    text = sync(archive, query, RESPONSEFORMAT="csv").text.splitlines()[1]
    assert sorted(map(int, re.search("{(.*?)}", text)[1].split(","))) == expected


@pytest.mark.parametrize(
    ("ra", "dec", "radius_deg"),
    [(56.75, 24.12, 1.5), (0.0, 0.0, 2.0), (359.99, -45.0, 1.0), (123.0, 90.0, 3.0), (10.0, -89.9, 2.5), (45.0, 41.81, 4.0)],
)
def test_pyvo_gets_the_right_stars(client, stars, ra, dec, radius_deg):
    for condition in (
        f"1 = CONTAINS(POINT('ICRS', ra_degrees, dec_degrees), CIRCLE('ICRS', {ra}, {dec}, {radius_deg}))",
        f"DISTANCE(POINT(ra_degrees, dec_degrees), POINT({ra}, {dec})) <= {radius_deg}",
    ):
        found = client.search(f"SELECT hip FROM stars.hipparcos WHERE {condition}")  # noqa: S608 (numbers of the test)
        assert sorted(found["hip"].tolist()) == cone(stars, ra, dec, radius_deg) != []


@pytest.mark.parametrize("page", SHOWN)
def test_the_answer_that_a_page_shows_is_the_real_one(client, page):
    shown = re.search(SHOWN[page], (ROOT / page).read_text(), re.DOTALL)
    found = client.search(shown["query"]).to_table().pformat()
    assert [line.rstrip() for line in found] == shown["answer"].splitlines()


def test_the_readme_shows_the_first_question_of_the_demo():
    assert dedent(QUESTIONS[0][1]).strip() in (ROOT / "README.md").read_text()


def test_stilts_taplint_has_no_error(archive):
    if shutil.which("stilts") is None:
        pytest.skip("taplint is part of Debian's package stilts, which is not installed here")
    command = ["stilts", "taplint", f"tapurl={archive.cluster.tap_url}", f"stages={STAGES}"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    complaints = [line for line in report.splitlines() if line.startswith(("E-", "F-"))]
    assert complaints == []
    assert "Errors: 0;" in report
    assert "Failures: 0" in report


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("csv", lambda body: csv.read_csv(io.BytesIO(body))),
        ("votable", lambda body: parse_single_table(io.BytesIO(body)).to_table()),
        ("votable/td", lambda body: parse_single_table(io.BytesIO(body)).to_table()),
        ("parquet", lambda body: pq.read_table(io.BytesIO(body))),
    ],
)
def test_every_format_has_all_rows(archive, stars, name, read):
    answer = sync(archive, "SELECT hip, magnitude, ra_degrees FROM stars.hipparcos", RESPONSEFORMAT=name)
    table = read(answer.content)
    columns = [np.ma.filled(np.ma.asarray(table[column]).astype(float), np.nan) for column in ("hip", "magnitude", "ra_degrees")]
    order = np.argsort(columns[0])
    expected = [np.array(stars[column], dtype=float) for column in ("hip", "magnitude", "ra_degrees")]
    order_expected = np.argsort(expected[0])
    for column, wanted in zip(columns, expected, strict=True):
        np.testing.assert_array_equal(column[order], wanted[order_expected])


@pytest.mark.parametrize(("maxrec", "overflow"), [(117_954, True), (117_955, False), (117_956, False)])
def test_overflow_is_told_only_where_there_is_more(archive, maxrec, overflow):
    answer = sync(archive, "SELECT hip FROM stars.hipparcos WHERE ra_degrees IS NOT NULL", MAXREC=maxrec)
    assert ('value="OVERFLOW"' in answer.text) is overflow
    assert len(parse_single_table(io.BytesIO(answer.content)).array) == min(maxrec, 117_955)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT hip FROM stars.hiparcos", "did you mean stars.hipparcos?"),
        ("SELECT magnitud FROM stars.hipparcos", "did you mean magnitude?"),
        ("SELECT hip FROM stars.hipparcos WHERE", "line 1, column"),
        ("SELECT hip FROM stars.hipparcos LIMIT 5", "TOP"),
        ("SELECT hip FROM stars.hipparcos WHERE 1=CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(1, 2, 200))", "0 to 180 degrees"),
        ("SELECT POINT(ra_degrees, dec_degrees) FROM stars.hipparcos", "not yet supported: POINT as a value"),
    ],
)
def test_what_is_wrong_with_a_query_is_said_in_a_votable(archive, query, words):
    answer = sync(archive, query)
    assert answer.status_code == 400
    assert 'value="ERROR"' in answer.text
    assert words in html.unescape(answer.text)


def test_a_question_is_in_the_query_log(archive):
    query = "SELECT COUNT(*) AS asked_for_the_log FROM stars.hipparcos WHERE magnitude < 3"
    assert sync(archive, query, RESPONSEFORMAT="csv").text.split() == ["asked_for_the_log", "172"]
    uri = archive.cluster.metadata.conninfo(Role.METADATA, METADATA_DATABASE, archive.secrets)
    ended = "SELECT state, row_count, user_name FROM queries WHERE text = %s AND state <> 'executing'"
    with psycopg.connect(uri, autocommit=True) as connection:
        found = until(lambda: connection.execute(ended, [query]).fetchall())
    assert found == [("completed", 1, "anonymous")]


def test_tables_tells_rows_and_foreign_keys(archive):
    document = httpx.get(f"{archive.cluster.tap_url}/tables", timeout=PATIENCE_S).text
    assert "<nrows>118218</nrows>" in document
    assert "<targetTable>tap_schema.schemas</targetTable>" in document


def test_a_row_leads_to_the_file_that_it_came_from(client):
    (row,) = client.search("""
        SELECT s.hip, c.source, c.sha256, c.size_bytes, c.ended, t.name, t.user_name, t.software FROM stars.hipparcos AS s
        JOIN provenance.contributions AS c ON c.contribution_id = s."_contribution"
        JOIN provenance.transactions AS t ON t.transaction_id = c.transaction_id
        WHERE s.hip = 17
    """)
    content = data_path("hipparcos.parquet").read_bytes()
    assert (row["hip"], row["source"]) == (17, str(data_path("hipparcos.parquet")))
    assert (row["sha256"], row["size_bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert row["name"].startswith("stars-")
    assert row["software"].startswith("qserv-healpix ")
    found = client.search(f"""
        SELECT table_name, COUNT(*) AS n FROM provenance.contributions
        WHERE rejected < 1 AND sha256 = '{row["sha256"]}' GROUP BY table_name
    """)  # noqa: S608 (hexadecimal digits)
    assert [tuple(each.values()) for each in found] == [("hipparcos", 1)]


def test_provenance_is_described_as_other_tables_are(client):
    described = client.search("SELECT table_name FROM tap_schema.tables WHERE schema_name = 'provenance' ORDER BY table_name")
    names = ["provenance.contributions", "provenance.transactions"]
    assert described["table_name"].tolist() == sorted(each.name for each in client.tables if each.name.startswith("prov")) == names
    units = {column.name: (column.unit, column.ucd) for column in client.tables["provenance.contributions"].columns}
    assert units["size_bytes"] == ("byte", "phys.size;meta.file")
    empty = client.search("SELECT * FROM provenance.transactions WHERE transaction_id < 0").to_table()
    assert list(empty.columns) == [column.name for column in client.tables["provenance.transactions"].columns]
