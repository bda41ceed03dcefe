import io
import xml.etree.ElementTree as ET

import httpx
import pytest
import pyvo
from pyvo.io.vosi import parse_availability

from tests.support.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def tap(service):
    return pyvo.dal.TAPService(service.url + "/tap")


def test_capabilities_say_what_there_is(service, tap):
    assert tap.maxrec == 9000
    assert tap.hardlimit == 9000
    (language,) = tap.get_tap_capability().languages
    assert [version.content for version in language.versions] == ["2.1", "2.0"]
    features = {feature.form for group in language.languagefeaturelists for feature in group}
    assert {"POINT", "CONTAINS", "DISTANCE", "OFFSET", "STDDEV(x DOUBLE PRECISION) -> DOUBLE PRECISION"} <= features
    assert "AREA" not in features
    formats = {form.mime: form.aliases for form in tap.get_tap_capability().outputformats}
    assert "csv" in formats["text/csv;header=present"]
    assert [cap.standardid for cap in tap.capabilities][1:] == [
        "ivo://ivoa.net/std/VOSI#capabilities",
        "ivo://ivoa.net/std/VOSI#availability",
        "ivo://ivoa.net/std/VOSI#tables-1.1",
    ]
    assert f"{service.url}/tap</accessURL>" in httpx.get(service.url + "/tap/capabilities", timeout=PATIENCE_S).text


def test_available(service):
    availability = parse_availability(io.BytesIO(httpx.get(service.url + "/tap/availability", timeout=PATIENCE_S).content))
    assert availability.available
    assert availability.upsince is not None


def test_tables_with_row_counts_and_keys(tap):
    assert set(tap.tables.keys()) == {"test.stars", "test.pairs"}
    stars, pairs = tap.tables["test.stars"], tap.tables["test.pairs"]
    assert stars.description == "Stars <of> a test."
    assert [column.name for column in stars.columns] == ["hip", "ra", "dec", "name", '"size"']
    ra = stars.columns[1]
    assert (ra.unit, ra.ucd, ra.datatype.content, ra.description) == (
        "deg",
        "pos.eq.ra;meta.main",
        "double",
        "Right ascension & more.",
    )
    assert (stars.columns[3].datatype.content, stars.columns[3].datatype.arraysize) == ("char", "20*")
    assert stars.columns[0].flags == ["indexed", "primary", "principal"]
    (key,) = pairs.foreignkeys
    assert key.targettable == "test.stars"
    assert [(pair.fromcolumn, pair.targetcolumn) for pair in key.fkcolumns] == [("a", "hip")]


def test_tables_in_brief_and_alone(service):
    brief = ET.fromstring(httpx.get(service.url + "/tap/tables?detail=min", timeout=PATIENCE_S).content)  # noqa: S314 (a document of our own)
    assert [nrows.text for nrows in brief.iter("nrows")] == ["10000", "12"]
    assert not list(brief.iter("column"))
    alone = ET.fromstring(httpx.get(service.url + "/tap/tables/test.pairs", timeout=PATIENCE_S).content)  # noqa: S314 (as above)
    assert [name.text for name in alone.findall("column/name")] == ["a", "b"]
    assert httpx.get(service.url + "/tap/tables/test.nothing", timeout=PATIENCE_S).status_code == 404


def test_jobs_are_not_there_yet(service):
    for path in ("/tap/async", "/tap/async/1/phase"):
        answer = httpx.get(service.url + path, timeout=PATIENCE_S)
        assert answer.status_code == 404
        assert "not yet supported" in answer.text


def test_the_front_page_says_how_to_connect(service):
    page = httpx.get(service.url + "/tap", follow_redirects=True, timeout=PATIENCE_S)
    assert page.headers["content-type"].startswith("text/html")
    for text in (
        f'TAPService("{service.url}/tap")',
        "10,000",
        "test.stars",
        "Stars &lt;of&gt; a test.",
        "DISTANCE(ra, dec, 56.75, 24.12)",
    ):
        assert text in page.text
    assert "http" not in page.text.replace(service.url, "")
