import csv
import io
import socket
import xml.etree.ElementTree as ET

import httpx
import pyarrow.parquet as pq
import pytest
import pyvo
from astropy.io.votable import parse

from tests.support.waiting import PATIENCE_S, until

QUERY = "SELECT TOP 3 * FROM test.stars"
NS = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}


def statuses(document):
    infos = ET.fromstring(document).findall(".//v:INFO[@name='QUERY_STATUS']", NS)  # noqa: S314 (a document of our own)
    return [(info.get("value"), info.text) for info in infos]


def rows_of(response):
    return parse(io.BytesIO(response.content)).get_first_table().array


def test_pyvo_gets_the_rows(service):
    result = pyvo.dal.TAPService(service.url + "/tap").search(QUERY)
    assert result.status[0] == "OK"
    assert result.fieldnames == ("hip", "ra", "dec", "name", "size")
    assert result.getdesc("ra").unit == "deg"
    assert result["hip"].tolist() == [0, 1, 2]
    assert result["name"].tolist() == ["", "star <1>", "star <2>"]
    assert service.engine.asked == [("SELECT * FROM test.stars LIMIT 3", QUERY, 9001)]


@pytest.mark.parametrize(
    "parameters",
    [
        {"LANG": "ADQL", "QUERY": QUERY},
        {"lang": "adql-2.1", "query": QUERY, "responseformat": "votable"},
        {
            "REQUEST": "doQuery",
            "VERSION": "1.0",
            "LANG": "ADQL-2.0",
            "Query": QUERY,
            "FORMAT": "votable",
            "RUNID": "x",
            "MAXREC": "",
        },
    ],
)
def test_parameters_of_any_spelling_by_get_and_post(service, parameters):
    answers = [
        httpx.get(service.url + "/tap/sync", params=parameters, timeout=PATIENCE_S),
        httpx.post(service.url + "/tap/sync", data=parameters, timeout=PATIENCE_S),
        httpx.post(
            service.url + "/tap/sync", files={name: (None, value) for name, value in parameters.items()}, timeout=PATIENCE_S
        ),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-votable+xml"
        assert rows_of(answer)["hip"].tolist() == [0, 1, 2]


def test_every_format_holds_the_same_rows(service):
    def get(name):
        answer = service.get(QUERY, RESPONSEFORMAT=name)
        return answer.headers["content-type"], answer

    for name, media_type in (("votable/td", "application/x-votable+xml;serialization=tabledata"), ("text/xml", "text/xml")):
        found, answer = get(name)
        assert found.split("; charset")[0] == media_type
        assert b"<TABLEDATA>" in answer.content
        assert rows_of(answer)["hip"].tolist() == [0, 1, 2]
    found, answer = get("csv")
    assert found == "text/csv;header=present"
    assert list(csv.reader(io.StringIO(answer.text)))[1:3] == [
        ["0", "0", "", "", "0"],
        ["1", "0.036", "-88.5", "star <1>", "0.14285715"],
    ]
    found, answer = get("tsv")
    assert answer.text.splitlines()[0] == "hip\tra\tdec\tname\tsize"
    found, answer = get("application/vnd.apache.parquet")
    assert answer.headers["content-disposition"] == 'inline; filename="result.parquet"'
    assert pq.read_table(io.BytesIO(answer.content))["hip"].to_pylist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("query", "maxrec", "rows", "overflow"),
    [
        ("SELECT TOP 3 * FROM test.stars", 3, 3, False),
        ("SELECT TOP 4 * FROM test.stars", 3, 3, True),
        ("SELECT TOP 1000 * FROM test.stars", 1000, 1000, False),
        ("SELECT * FROM test.stars", 1000, 1000, True),
        ("SELECT * FROM test.stars", 2500, 2500, True),
        ("SELECT * FROM test.stars", 0, 0, True),
        ("SELECT * FROM test.stars", None, 9000, True),
        ("SELECT * FROM test.stars", 99999, 9000, True),
        ("SELECT TOP 9000 * FROM test.stars", 99999, 9000, False),
    ],
)
def test_overflow_is_told_exactly_when_rows_are_missing(service, query, maxrec, rows, overflow):
    answer = service.get(query, **({} if maxrec is None else {"MAXREC": maxrec}))
    assert len(rows_of(answer)) == rows
    assert statuses(answer.content) == [("OK", None)] + ([("OVERFLOW", None)] if overflow else [])
    assert len(service.engine.closed) == 1


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"QUERY": "SELECT a FROM t LIMIT 3"}, 400, "TOP 10 ... (line 1, column 23)"),
        ({"QUERY": "SELECT a FROM missing"}, 400, "did you mean stars?"),
        ({"QUERY": "SELECT a FROM evaluation"}, 400, "division by zero"),
        ({"QUERY": "SELECT a FROM down"}, 503, "node-1 does not answer"),
        ({"QUERY": "SELECT a FROM bug"}, 500, "internal error"),
        ({}, 400, "QUERY is missing"),
        ({"QUERY": QUERY, "LANG": "SQL"}, 400, "LANG 'SQL' is not supported"),
        ({"QUERY": QUERY, "REQUEST": "getCapabilities"}, 400, "/tap/capabilities"),
        ({"QUERY": QUERY, "VERSION": "3"}, 400, "VERSION '3'"),
        ({"QUERY": QUERY, "MAXREC": "-1"}, 400, "MAXREC '-1'"),
        ({"QUERY": QUERY, "MAXREC": "many"}, 400, "MAXREC 'many'"),
        ({"QUERY": QUERY, "FORMAT": "docx"}, 400, "'docx' is not supported"),
        ({"QUERY": QUERY, "UPLOAD": "a,param:b"}, 400, "not yet supported: UPLOAD"),
        ([("QUERY", QUERY), ("query", "SELECT 2 FROM t")], 400, "QUERY is given twice"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_is_a_votable_with_its_status(service, parameters, status, message, method):
    url = service.url + "/tap/sync"
    answer = (
        httpx.get(url, params=parameters, timeout=PATIENCE_S)
        if method == "GET"
        else httpx.post(url, data=dict(parameters), params=parameters, timeout=PATIENCE_S)
    )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/x-votable+xml"
    ((value, text),) = statuses(answer.content)
    assert value == "ERROR"
    assert message in text
    assert "secret" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


def test_pyvo_shows_the_message(service):
    with pytest.raises(pyvo.dal.DALQueryError, match="did you mean stars"):
        pyvo.dal.TAPService(service.url + "/tap").search("SELECT a FROM missing")


@pytest.mark.parametrize(
    ("query", "text"), [("SELECT * FROM flaky", "node-2 <went> away"), ("SELECT * FROM crash", "internal error")]
)
@pytest.mark.parametrize("output", ["votable", "votable/td"])
def test_a_failure_on_the_way_is_told_at_the_end_of_a_whole_document(service, query, text, output):
    answer = service.get(query, RESPONSEFORMAT=output)
    assert answer.status_code == 200
    (_, (value, message)) = statuses(answer.content)
    assert value == "ERROR"
    assert text in message
    assert len(rows_of(answer)) == 2000


@pytest.mark.parametrize("output", ["csv", "tsv"])
def test_a_failure_on_the_way_breaks_off_what_cannot_tell_it(service, output):
    with pytest.raises(httpx.RemoteProtocolError):
        service.get("SELECT * FROM flaky", RESPONSEFORMAT=output)


def test_a_reader_who_goes_away_ends_the_query(service):
    with httpx.stream("GET", service.url + "/tap/sync", params={"QUERY": "SELECT * FROM slow"}, timeout=PATIENCE_S) as answer:
        pieces = answer.iter_raw()  # kept: httpx hangs up when it is dropped
        next(pieces)
        assert not service.engine.closed
    until(lambda: service.engine.closed)


def test_a_reader_who_goes_away_before_the_first_row_ends_the_query(service):
    with socket.create_connection((service.host, service.port)) as reader:
        reader.sendall(b"GET /tap/sync?QUERY=SELECT+*+FROM+frozen HTTP/1.1\r\nHost: " + service.host.encode() + b"\r\n\r\n")
        until(lambda: service.engine.asked)
    until(lambda: service.engine.closed == ["frozen"])


def test_rows_are_sent_as_they_come(service):
    query = {"QUERY": "SELECT * FROM held", "RESPONSEFORMAT": "csv", "MAXREC": "5000"}
    with httpx.stream("GET", service.url + "/tap/sync", params=query, timeout=PATIENCE_S) as answer:
        lines = answer.iter_lines()
        assert len([next(lines), next(lines)]) == 2
        # The engine has given its first rows, and waits.
        service.engine.go_on.set()
        assert len(list(lines)) == 5000 - 1


def test_a_form_that_cannot_be_read_is_an_error_as_any_other(service):
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = httpx.post(service.url + "/tap/sync", content=b"no boundary", headers=headers, timeout=PATIENCE_S)
    assert answer.status_code == 400
    ((value, text),) = statuses(answer.content)
    assert value == "ERROR"
    assert "cannot be read" in text


def test_a_long_query_is_read_and_one_without_end_is_not(service):
    def post(length):
        query = "SELECT hip FROM test.stars WHERE name = '" + "x" * length + "'"  # noqa: S608 (the fake engine runs no SQL)
        return httpx.post(service.url + "/tap/sync", data={"QUERY": query, "MAXREC": "1"}, timeout=PATIENCE_S).status_code

    assert [post(3_000_000), post(5_000_000), post(20_000_000)] == [200, 400, 413]
