import contextlib
import http.client
import io
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from urllib.parse import urlencode

import httpx
import psycopg
import pyarrow.parquet as pq
import pytest

from czar.service.client import Czar
from qserv.cluster import METADATA_DATABASE, SCRATCH_DATABASE, Role
from qserv.errors import (
    AccessError,
    NoSuchJobError,
    QservError,
    QueryCancelledError,
    QueryEvaluationError,
    QueryValueError,
    UnknownNameError,
)
from schema.catalogues import schema_path
from schema.felis import read_database
from schema.serialise import table_from_json
from tests.czar.service.conftest import Nodes, running
from tests.support.waiting import PATIENCE_S, until

SLOW = """
    SELECT COUNT(*) AS n FROM tap_schema.tables AS t, stars.hipparcos AS h,
        tap_schema.columns AS a, tap_schema.columns AS b, tap_schema.columns AS c
    WHERE h.magnitude + a.column_index * b.column_index * c.column_index > 1e9
"""
"""Compares each star with some ten thousand triples, for each table once more: far longer than any test waits for its end."""

MANY_ROWS = "SELECT a.* FROM stars.hipparcos AS a, tap_schema.schemas AS c"
"""Takes long to send."""


@pytest.fixture
def asked(archive):
    """Ask without the client."""
    headers = {"Authorization": f"Bearer {archive.secrets.cluster.get_secret_value()}"}
    with httpx.Client(base_url=archive.cluster.czar_url, headers=headers, timeout=PATIENCE_S) as http:
        yield http


def test_an_answer_says_what_its_columns_are(czar):
    table = czar.query("SELECT hip, ra_degrees AS ra FROM stars.hipparcos WHERE hip IN (1, 2, 3) ORDER BY hip")
    assert table.column("hip").to_pylist() == [1, 2, 3]
    assert table.schema.field("ra").metadata[b"unit"] == b"deg"
    assert table.schema.field("ra").metadata[b"frame"] == b"ICRS J1991.25"


def test_adql_is_read_and_rows_are_cut(czar):
    assert czar.query("SELECT TOP 5 hip FROM stars.hipparcos", dialect="adql").num_rows == 5
    assert czar.query("SELECT `hip` DIV 2 FROM stars.hipparcos LIMIT 2, 5", dialect="mysql").num_rows == 5
    assert czar.query("SELECT hip FROM stars.hipparcos", max_rows=7).num_rows == 7
    with pytest.raises(UnknownNameError):
        czar.query("SELECT TOP 5 hipp FROM stars.hipparcos", dialect="adql")


def test_an_answer_may_be_parquet(asked, czar):
    answer = asked.post("/query", json={"query": "SELECT hip, bv FROM stars.hipparcos", "format": "parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.num_rows == czar.query("SELECT COUNT(*) FROM stars.hipparcos")[0][0].as_py() == 118_218


def test_arrays_are_lists(asked, czar):
    query = "SELECT ARRAY_AGG(hip ORDER BY hip) AS stars, ARRAY['a b', NULL] AS texts FROM stars.hipparcos WHERE hip < 4"
    expected = [{"stars": [1, 2, 3], "texts": ["a b", None]}]
    assert czar.query(query).to_pylist() == expected
    answer = asked.post("/query", json={"query": query, "format": "parquet"})
    assert pq.read_table(io.BytesIO(answer.content)).to_pylist() == expected


def test_an_error_is_json_with_code_place_and_hint(asked):
    answer = asked.post("/query", json={"query": "SELECT hipp FROM stars.hipparcos"})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "code": "query.unknown_name",
            "message": "unknown column hipp; did you mean hip? (line 1, column 8)",
            "retryable": False,
            "place": {"line": 1, "column": 8},
            "hint": "did you mean hip?",
        }
    }


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (("POST", "/query", {"qery": "SELECT 1"}), 400, "body.qery: Extra inputs are not permitted"),
        (
            ("POST", "/query", {"query": "SELECT 1", "dialect": "sql92"}),
            400,
            "dialect 'sql92' is not known; there are: native, mysql, adql",
        ),
        (("GET", "/jobs/77", None), 400, "path.job_id"),
        (("GET", f"/jobs/{uuid.uuid4()}", None), 404, "there is no job"),
        (("POST", f"/queries/{uuid.uuid4()}/cancel", None), 404, "there is no query"),
        (("POST", "/jobs", {"query": "SELECT hipp FROM stars.hipparcos"}), 400, "did you mean hip?"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(asked, request_, status, words):
    method, path, body = request_
    answer = asked.request(method, path, json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_who_does_not_know_the_token_learns_nothing(archive):
    with Czar(archive.cluster.czar_url, "guessed") as stranger:
        for ask in (stranger.tables, stranger.queries, stranger.jobs, lambda: stranger.query("SELECT 1 FROM stars.hipparcos")):
            with pytest.raises(AccessError, match="token is missing or wrong"):
                ask()


def test_a_connection_outlives_a_pause(archive):
    """Clients give theirs up after some seconds, rather than ask on one that the service gives up at that moment."""
    url = httpx.URL(archive.cluster.czar_url)
    with contextlib.closing(http.client.HTTPConnection(url.host, url.port, timeout=PATIENCE_S)) as connection:
        for pause_s in (0, 7):
            time.sleep(pause_s)
            connection.request("GET", "/openapi.json")
            first = connection.sock
            assert connection.getresponse().read()
        assert connection.sock is first


def test_the_documentation_names_all_there_is(asked):
    document = asked.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == 15
    assert all(operation["description"] for operation in operations)
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer"}


def test_plans_and_tables(czar):
    plan = czar.explain("SELECT hip FROM stars.hipparcos WHERE hip = 1")
    assert plan.facts["chunks"] == 1
    assert plan.text.startswith("chunks ")
    (stars,) = [table for table in czar.tables() if table.name == "hipparcos"]
    assert (stars.database, stars.role, stars.rows) == ("stars", "director", 118_218)
    assert {"ra_degrees": "deg"}.items() <= {column.name: column.unit for column in stars.columns}.items()


def test_declaration_of_a_table(czar):
    found = czar.declaration("stars", "HIPPARCOS")
    expected = next(table for table in read_database(schema_path("stars")).tables if table.name == "hipparcos")
    assert table_from_json(found.table) == expected
    assert (found.database, found.family, found.overlap_deg, found.rows) == ("stars", "stars", 0.05, 118_218)
    assert found.edition == czar.declaration("stars", "hipparcos").edition
    with pytest.raises(UnknownNameError, match="did you mean"):
        czar.declaration("stars", "hiparcos")


def test_an_error_in_the_middle_of_an_answer_is_told(czar):
    with pytest.raises(QueryEvaluationError, match="division by zero"):
        czar.query("SELECT hip, 1 / (hip - 100000) FROM stars.hipparcos")


def test_a_query_is_known_to_have_ended_as_soon_as_its_answer_has(archive, czar):
    """Its beginning is in the log, its end not yet."""
    query_id = uuid.uuid4()
    metadata = archive.cluster.metadata.conninfo(Role.METADATA, METADATA_DATABASE, archive.secrets)
    with psycopg.connect(metadata, autocommit=True) as database:
        logged = "SELECT state FROM queries WHERE query_id = %s"
        with czar.answer(MANY_ROWS, query_id=query_id) as rows:
            assert next(rows).num_rows > 0
            until(lambda: database.execute(logged, [query_id]).fetchall() == [("executing",)])
            rows.read_all()
        assert czar.query_info(query_id).state == "completed"


def test_a_short_answer_is_sent_in_one_piece_and_a_long_one_as_it_comes(asked):
    headers = {}
    for length, query in {"short": "SELECT hip FROM stars.hipparcos WHERE hip < 4", "long": MANY_ROWS}.items():
        with asked.stream("POST", "/query", json={"query": query}) as answer:
            headers[length] = answer.headers
            size_bytes = len(answer.read())
        if length == "short":
            assert int(answer.headers["content-length"]) == size_bytes
    assert "transfer-encoding" not in headers["short"]
    assert "content-length" not in headers["long"]
    assert headers["long"]["transfer-encoding"] == "chunked"


def test_a_client_uses_its_connection_again(czar):
    for query in ("SELECT hip FROM stars.hipparcos WHERE hip < 4", MANY_ROWS, "SELECT 1 AS one"):
        with czar.answer(query) as rows:
            assert rows.read_all().num_rows > 0
    assert czar.tables() != []
    assert czar._http.num_connections == 1  # noqa: SLF001 (nothing else tells of it)


@pytest.fixture
def waiting(czar):
    """A client that waits for a slow query; the error that it gets."""
    query_id, errors = uuid.uuid4(), []

    def ask():
        try:
            with czar.answer(SLOW, query_id=query_id):
                pass
        except QservError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    yield query_id, thread, errors
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_query_that_runs_is_seen_and_stopped(archive, nodes, waiting):
    query_id, thread, errors = waiting
    with Czar.of_home(archive.home) as other:
        found = running(other, query_id=query_id)
        assert found.state == "executing"
        assert found.chunks_done < found.chunks_total > 10
        nodes.wait(busy=True)
        other.cancel_query(query_id)
        nodes.wait(busy=False)
        thread.join(PATIENCE_S)
        assert isinstance(errors[0], QueryCancelledError)
        assert all(one.query_id != query_id for one in other.queries())
        assert other.query_info(query_id).state == "aborted"


def test_a_query_of_the_tap_service_is_seen_and_stopped(archive, czar, nodes):
    query = " ".join(SLOW.split())
    answers, url, form = [], f"{archive.cluster.tap_url}/sync", {"LANG": "ADQL", "QUERY": query}
    thread = threading.Thread(target=lambda: answers.append(httpx.post(url, data=form, timeout=2 * PATIENCE_S)))
    thread.start()
    nodes.wait(busy=True)
    czar.cancel_query(running(czar, query=query).query_id)
    nodes.wait(busy=False)
    thread.join(PATIENCE_S)
    assert answers[0].status_code == 503
    assert "query.cancelled" in answers[0].text


SHAPES = {
    "SELECT COUNT(*) FROM stars.hipparcos": ("counts", 0),
    "SELECT hip FROM stars.hipparcos WHERE hip = 11767": ("keys", 1),
    "SELECT hip FROM stars.hipparcos WHERE qserv_areaspec_circle(10, 20, 0.1)": ("region", 1),
    "SELECT hip FROM stars.hipparcos WHERE magnitude > 13 ORDER BY hip": ("scan, combine", None),
    "SELECT MAX(hip) + 1 FROM stars.hipparcos": ("scan, combine, finish", None),
    "SELECT COUNT(*) FROM stars.hipparcos WHERE magnitude = (SELECT MAX(magnitude) FROM stars.hipparcos)": (
        "1 step, scan",  # of the one chunk that statistics leave
        None,
    ),
}


@pytest.mark.parametrize("query", SHAPES)
def test_the_log_tells_of_a_query_who_asked_it_how_it_was_answered_and_what_came_of_it(czar, query):
    query_id = uuid.uuid4()
    with czar.answer(query, query_id=query_id) as rows:
        table = rows.read_all()
    found = czar.query_info(query_id)
    shape, chunks = SHAPES[query]
    assert (found.query, found.user, found.dialect, found.state, found.error) == (
        query,
        f"tester-{os.getpid()}",
        "native",
        "completed",
        None,
    )
    assert (found.plan_shape, found.rows) == (shape, table.num_rows)
    assert found.chunks_total == chunks if chunks is not None else found.chunks_total > 1
    assert found.size_bytes >= 4 * table.num_rows
    assert found.submitted < found.ended


def test_the_log_tells_why_a_query_failed(czar):
    query_id, query = uuid.uuid4(), "SELECT hip, 1 / (hip - 100000) FROM stars.hipparcos"
    with pytest.raises(QueryEvaluationError), czar.answer(query, query_id=query_id) as rows:
        rows.read_all()
    found = czar.query_info(query_id)
    assert (found.query, found.state, found.error.code, found.error.retryable) == (query, "error", "query.evaluation", False)
    assert "division by zero" in found.error.message
    assert found.submitted < found.ended


ASKING = """
import sys
from pathlib import Path
from czar.service.client import Czar
with Czar.of_home(Path(sys.argv[1])) as czar:
    czar.query(sys.argv[2])
"""


RANKS = "(SELECT hip, RANK() OVER (ORDER BY magnitude) AS r FROM stars.hipparcos)"

IN_THE_SCRATCH_DATABASE = f"SELECT COUNT(*) AS n FROM {RANKS} AS a, {RANKS} AS b WHERE a.r + b.r < 0"  # noqa: S608 (of this file)


@pytest.fixture
def scratch(archive):
    """What the scratch database does for queries."""
    return Nodes([archive.cluster.metadata.conninfo(Role.ADMIN, SCRATCH_DATABASE, archive.secrets)], Role.SCRATCH, "SELECT")


promised = pytest.mark.parametrize(
    "within_s",
    [
        PATIENCE_S,
        pytest.param(2, marks=pytest.mark.nightly),  # what is promised; a machine that has too much to do cannot keep it
    ],
)


@promised
@pytest.mark.parametrize(("where", "query"), [("nodes", SLOW), ("scratch", IN_THE_SCRATCH_DATABASE)])
def test_a_client_that_is_killed_stops_its_query(archive, request, where, query, within_s):
    servers = request.getfixturevalue(where)
    with subprocess.Popen([sys.executable, "-c", ASKING, str(archive.home), query]) as client:
        servers.wait(busy=True)
        client.kill()
        servers.wait(busy=False, within_s=within_s)


@promised
def test_a_reader_of_the_tap_service_who_goes_away_stops_the_query(archive, nodes, within_s):
    url, form = httpx.URL(f"{archive.cluster.tap_url}/sync"), urlencode({"LANG": "ADQL", "QUERY": " ".join(SLOW.split())})
    request = f"GET {url.path}?{form} HTTP/1.1\r\nHost: {url.host}\r\n\r\n"
    with socket.create_connection((url.host, url.port)) as reader:
        reader.sendall(request.encode())
        nodes.wait(busy=True)
    nodes.wait(busy=False, within_s=within_s)


@promised
def test_a_reader_that_leaves_early_stops_its_query(czar, nodes, within_s):
    query_id = uuid.uuid4()
    with czar.answer(
        "SELECT a.*, b.* FROM stars.hipparcos AS a, tap_schema.columns AS b WHERE a.hip % 10 = 0", query_id=query_id
    ) as rows:
        assert next(rows).num_rows > 0
    nodes.wait(busy=False, within_s=within_s)
    assert all(one.query_id != query_id for one in czar.queries())


def test_a_reader_that_stops_reading_stops_the_nodes(czar, nodes):
    query_id = uuid.uuid4()
    query = "SELECT a.*, b.* FROM stars.hipparcos AS a, tap_schema.columns AS b, tap_schema.schemas AS c"
    with czar.answer(query, query_id=query_id) as rows:
        assert next(rows).num_rows > 0
        before, still_since_s, until_s = None, time.monotonic(), time.monotonic() + 2 * PATIENCE_S
        while time.monotonic() - still_since_s < 2:
            assert time.monotonic() < until_s
            # Who waits for its reader computes nothing.
            seen = running(czar, query_id=query_id).chunks_done, nodes.busy(but="ClientWrite")
            if seen[1] or seen != before:
                before, still_since_s = seen, time.monotonic()
            time.sleep(0.1)
        found = running(czar, query_id=query_id)
        assert found.chunks_done < found.chunks_total / 2
    nodes.wait(busy=False)


def test_a_name_is_used_once(czar, waiting):
    query_id, _, _ = waiting
    running(czar, query_id=query_id)
    with pytest.raises(QueryValueError, match=r"there is a query .* already"), czar.answer("SELECT 1 AS a", query_id=query_id):
        pass
    czar.cancel_query(query_id)


def test_a_query_that_never_was(czar):
    with pytest.raises(NoSuchJobError):
        czar.query_info(uuid.uuid4())
