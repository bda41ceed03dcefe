"""Each rule of analysis has an approved text: queries as they are before it and after it."""

from pathlib import Path

import pytest

import czar.analyse
from czar.analyse import NAMING, PRUNING, analyse, named
from czar.parse import parse
from qserv.errors import NotYetSupportedError

APPROVED = Path(__file__).parent / "approved" / "rules"

RULES = {rule.__name__: rule for rule in (*NAMING, *PRUNING)}

CONE = "SELECT hip FROM hipparcos WHERE CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(56.75, 24.12, 0.001)) = 1"

PAIRS = (
    "SELECT a.hip, b.hip FROM hipparcos a, hipparcos b"
    " WHERE a.hip < b.hip AND DISTANCE(a.ra_degrees, a.dec_degrees, b.ra_degrees, b.dec_degrees) < 0.0002"
)

SOME_OF_THREE = (
    "SELECT hip FROM hipparcos h WHERE NOT EXISTS"
    " (SELECT 1 FROM observation o WHERE o.hip = h.hip UNION SELECT 2 FROM visits.visit v WHERE v.visit = h.hip + 1"
    " UNION ALL SELECT 3 FROM hipparcos p WHERE p.magnitude > h.magnitude + 13)"
)

CHANGED = {
    "sampled": ["SELECT hip FROM hipparcos TABLESAMPLE BERNOULLI (10) REPEATABLE (3)"],
    "plain_forms": [
        "SELECT hip, RANK() OVER w, MAX(bv) OVER w FROM hipparcos WINDOW w AS (ORDER BY magnitude)",
        "SELECT hip FROM hipparcos WHERE magnitude BETWEEN SYMMETRIC 5 AND 3",
        "SELECT hip FROM hipparcos WHERE hip <> ALL (SELECT visit FROM visits.visit)",
    ],
    "resolve": ["SELECT v.*, width AS w FROM visits.visit AS v JOIN visits.filter USING (filter) ORDER BY w"],
    "plain_items": ["SELECT hip, magnitude AS m FROM hipparcos"],
    "dependent_columns": ["SELECT hip, magnitude, COUNT(*) FROM hipparcos GROUP BY hip"],
    "known_functions": ["SELECT ROUND(bv, 1), magnitude + 0.5 FROM hipparcos WHERE magnitude > 11.5"],
    "lower_geometry": [
        CONE,
        "SELECT hip FROM hipparcos WHERE qserv_areaspec_box(359, -1, 1, 1)",
        "SELECT DISTANCE(POINT(ra_degrees, dec_degrees), POINT(10, 20)) FROM hipparcos",
    ],
    "radii_of_rows": [
        PAIRS.replace("0.0002", "a.magnitude / 1000"),
        "SELECT hip FROM hipparcos WHERE 60 * DISTANCE(ra_degrees, dec_degrees, 10, 20) BETWEEN 0 AND SQRT(ABS(magnitude)) + 0.5",
    ],
    "extremes": ["SELECT hip FROM hipparcos WHERE hip > ALL (SELECT visit FROM visits.visit)"],
    "members_of_arrays": ["SELECT hip FROM hipparcos WHERE hip = ANY (ARRAY(SELECT visit FROM visits.visit))"],
    "sink_conditions": ["SELECT s.hip FROM (SELECT hip, magnitude FROM hipparcos) AS s WHERE s.magnitude < 3 AND s.hip = 7"],
    "exists_of_unions": [
        SOME_OF_THREE,
    ],
    "listed_numbers": [
        "SELECT bv FROM hipparcos WHERE hip = 5 OR 7 = hip OR magnitude < 0",
        "SELECT bv FROM hipparcos WHERE hip = ANY ('{1,2}')",
    ],
    "rows_with_neighbours": [
        PAIRS,
    ],
    "rows_of_one_group": [
        PAIRS,
    ],
    "find_regions": [
        CONE,
        "SELECT hip FROM hipparcos WHERE ra_degrees BETWEEN 10 AND 10.001 AND dec_degrees > -2 AND dec_degrees <= -1.999",
    ],
    "find_keys": ["SELECT bv FROM hipparcos WHERE hip IN (7, 11767)", "SELECT flux FROM observation WHERE 7 = hip"],
    "prune_by_statistics": [
        "SELECT hip FROM hipparcos WHERE magnitude > 11.5",
        "SELECT hip FROM hipparcos WHERE magnitude IS NULL OR magnitude < 0",
    ],
}
"""Queries that a rule changes, or of which it finds something."""


def told(query):
    """Return what is known of a query, as text."""
    facts = {
        "tables": ", ".join(f"{source.alias} ({source.entry.name})" for source in query.sources),
        "answer": ", ".join(output.name for output in query.outputs),
        "items": str(len(query.tree.expressions)),
        "chunks": str(len(query.chunks)),
        "keys": ", ".join(map(str, (key for each in query.keys for key in each.keys))),
        "neighbours": ", ".join(sorted(query.neighbours)),
        "because": "; ".join(query.notes),
    }
    text = query.tree.sql(dialect="postgres", pretty=True, comments=False)
    return "\n".join([text, *(f"-- {name}: {fact}" for name, fact in facts.items() if fact)])


@pytest.fixture
def around(catalogue, monkeypatch):
    """Analyse a query; return what is known of it before a rule and after it."""

    def run(name, text):
        seen = []

        def watched(query):
            before = told(query)
            found = RULES[name](query)
            seen.append((before, told(found)))
            return found

        for group in ("NAMING", "PRUNING"):
            rules = tuple(watched if rule is RULES[name] else rule for rule in {"NAMING": NAMING, "PRUNING": PRUNING}[group])
            monkeypatch.setattr(czar.analyse, group, rules)
        (named if RULES[name] in NAMING else analyse)(parse(text), catalogue, text)
        return seen[0]

    return run


@pytest.mark.parametrize("name", CHANGED)
def test_before_and_after_a_rule(name, around, approved):
    shown = []
    for text in CHANGED[name]:
        before, after = around(name, text)
        assert before != after, text
        shown += [text, f"-- before {name}\n{before}", f"-- after {name}\n{after}"]
    approved(APPROVED / f"{name}.txt", "\n\n".join(shown) + "\n")


def test_one_rule_refuses_what_it_cannot_answer(around):
    before, after = around("supported", "SELECT hip FROM hipparcos")
    assert before == after
    with pytest.raises(NotYetSupportedError):
        around("supported", "SELECT hip FROM hipparcos FOR UPDATE")


def test_every_rule_is_shown():
    assert {"supported", *CHANGED} == set(RULES)
