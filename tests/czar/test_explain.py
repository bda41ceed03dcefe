"""EXPLAIN as a statement, and a plan for each shape of query of docs/sql.md."""

import asyncio
import dataclasses
import re
from pathlib import Path

import pytest

from czar.analyse import named
from czar.analyse.query import Access
from czar.explain import explain_query
from czar.explain_statement import read_explain
from czar.parse import parse
from czar.times import Pace
from qserv.errors import QuerySyntaxError

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
EXAMPLE = re.compile(r"(?P<query>```postgresql\n(?P<text>.*?)```\n\n)```\n.*?```\n", re.DOTALL)


def explained(query, catalogue):
    async def located(found):
        # As if the director index had found all keys in one chunk.
        for restriction in found.keys:
            found = found.narrowed(found.chunks[:1], restriction.director, Access.KEYS)
        return dataclasses.replace(found, keys=())

    return asyncio.run(explain_query(named(parse(query), catalogue, query), located))


@pytest.mark.parametrize(
    ("text", "analyze", "shown"),
    [
        ("EXPLAIN SELECT 1", False, "text"),
        ("explain analyze select 1", True, "text"),
        ("-- why?\n/* and how */ EXPLAIN (FORMAT JSON) SELECT 1", False, "json"),
        ("EXPLAIN (ANALYZE, FORMAT json) SELECT 1", True, "json"),
        ("EXPLAIN (analyze off, format text)\nSELECT 1", False, "text"),
        ("EXPLAIN (SELECT 1) UNION (SELECT 2)", False, "text"),
        ("EXPLAIN ANALYZE ((SELECT 1))", True, "text"),
        ("EXPLAIN WITH a AS (SELECT 1) SELECT * FROM a", False, "text"),
    ],
)
def test_explain_is_read_with_its_options(text, analyze, shown):
    asked = read_explain(text)
    assert (asked.analyze, asked.format) == (analyze, shown)
    # Places in the query stay where they are in the text.
    assert len(asked.query) == len(text)
    assert text.endswith(asked.query.strip())
    assert asked.query.count("\n") == text.count("\n")
    assert parse(asked.query)


def test_an_option_that_is_not_known_is_named_with_its_place():
    with pytest.raises(QuerySyntaxError, match=r"EXPLAIN \(BUFFERS\) is not known.* \(line 2, column 3\)"):
        read_explain("EXPLAIN\n (BUFFERS) SELECT 1")
    assert read_explain("SELECT 'EXPLAIN'") is None
    assert read_explain("EXPLAINED") is None


def test_every_shape_of_the_page_has_an_example():
    text = PAGE.read_text()
    table = text[text.index("| shape |") :].split("\n\n")[0]
    shapes = re.findall(r"^\| (.+?) \| .+ \|$", table, re.MULTILINE)[1:]
    assert len(shapes) > 15
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == shapes
    assert len(EXAMPLE.findall(text)) == len(shapes)


def test_plans_of_the_page_are_what_explain_prints(catalogue, approved):
    shown = EXAMPLE.sub(lambda found: f"{found['query']}```\n{explained(found['text'], catalogue).text}\n```\n", PAGE.read_text())
    approved(PAGE, shown)


def test_a_step_says_where_its_rows_go(catalogue):
    value = explained("SELECT hip FROM hipparcos WHERE magnitude = (SELECT MIN(magnitude) FROM hipparcos)", catalogue)
    assert [step.rows_go_to.split(",")[0] for step in value.steps] == ["the nodes"]
    assert value.to_json()["steps"][0]["part"]["chunks"] == 49
    limited = explained("SELECT hip FROM hipparcos LIMIT (SELECT COUNT(*) FROM observation)", catalogue)
    assert [step.rows_go_to for step in limited.steps] == ["the query, as constants"]
    assert limited.notes[0] == "LIMIT is known when step s0 is answered"
    together = explained("SELECT STRING_AGG(tyc_id, ',') FROM bigsky", catalogue)
    assert [step.rows_go_to for step in together.steps] == ["the scratch database"]
    assert "STRING_AGG" in together.steps[0].reason


@pytest.mark.parametrize(
    ("query", "rows", "size_bytes"),
    [
        ("SELECT COUNT(*) FROM hipparcos WHERE bv < 0", 49, 49 * 8),
        ("SELECT hip FROM hipparcos ORDER BY magnitude LIMIT 2", 98, 98 * 12),
        ("SELECT hip, SUM(bv) OVER (PARTITION BY hip) FROM hipparcos", 49_000, 49_000 * 16),
    ],
)
def test_what_the_nodes_send_is_estimated_by_the_shape(query, rows, size_bytes, catalogue):
    found = explained(query, catalogue).sent
    assert found.rows == rows
    assert found.size_bytes == pytest.approx(size_bytes, rel=0.5)


def test_long_lists_are_shortened(catalogue):
    listed = ", ".join(map(str, range(1000)))
    query = f"SELECT hip FROM hipparcos WHERE hip IN ({listed})"  # noqa: S608 (numbers)
    assert "... 990 more" in explained(query, catalogue).text


def larger(catalogue, times):
    """Return a catalogue whose tables have so many times as many rows."""
    entries = tuple(
        dataclasses.replace(entry, row_counts=times * entry.row_counts, overlap_row_counts=times * entry.overlap_row_counts)
        for entry in catalogue.entries
    )
    return dataclasses.replace(catalogue, entries=entries)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT COUNT(*) FROM bigsky WHERE magnitude > 1",
        "SELECT b_mag, COUNT(*) FROM bigsky GROUP BY b_mag ORDER BY 2",
        "SELECT COUNT(*) FROM hipparcos WHERE magnitude = (SELECT AVG(magnitude) FROM hipparcos)",
        "SELECT STRING_AGG(tyc_id, ',') FROM bigsky",
    ],
)
def test_the_time_grows_with_the_tables(query, catalogue):
    query = query.replace("b_mag", catalogue.entries[1].table.columns[1].name)
    found = [explained(query, larger(catalogue, times)).expected_s for times in (1, 100, 10_000)]
    assert found[0] < 0.1 * found[1] ** 0.5
    assert 20 < found[2] / found[1] < 101


@pytest.mark.parametrize(
    "where", ["hip = 7", "hip IN (7, 8, 9)", "DISTANCE(POINT(ra_degrees, dec_degrees), POINT(56.75, 24.12)) < 0.01"]
)
def test_what_an_index_finds_is_quick_whatever_the_size(where, catalogue):
    found = explained(f"SELECT * FROM hipparcos WHERE {where}", larger(catalogue, 10_000))  # noqa: S608 (above)
    assert found.expected_s < 0.1
    assert explained("SELECT * FROM hipparcos", larger(catalogue, 10_000)).expected_s > 10


def test_the_time_is_in_text_and_json_and_that_of_steps_is_added(catalogue):
    found = explained("SELECT hip FROM hipparcos WHERE magnitude = (SELECT MIN(magnitude) FROM hipparcos)", catalogue)
    facts = found.to_json()
    assert facts["expected_s"] == pytest.approx(found.expected.total + facts["steps"][0]["part"]["expected_s"])
    assert set(facts["expected"]) == {"nodes", "combine", "finish"}
    assert re.search(r"^time     estimated 0\.\d+ s, 0\.\d+ s with its steps$", found.text, re.MULTILINE)
    assert re.search(r"^  time     estimated 0\.\d+ s$", found.text, re.MULTILINE)


def test_the_pace_of_the_nodes_is_learned():
    pace = Pace()
    pace.learn(0.001, 0.1)  # too short to say anything
    assert pace.factor == 1.0
    for _ in range(20):
        pace.learn(pace.factor * 2.0, 6.0)
    assert pace.factor == pytest.approx(3.0, rel=0.01)
    pace.learn(1e-9, 1e9)
    assert pace.factor == 20.0
