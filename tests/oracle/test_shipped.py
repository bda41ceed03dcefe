"""What the nodes send for each shape of query of docs/sql.md: from several chunks, all nodes, and little more than the answer."""

import re
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent

SHAPES = yaml.safe_load((HERE / "shipped.yaml").read_text(encoding="utf-8"))

TIMES_THE_PARTS = 2
"""Bytes that the nodes may send, in those of the answer, or of its parts: a mean is sent as a sum and a count."""

CASES = [
    pytest.param(case, id=f"{shape['shape'][:40]}-{number}") for shape in SHAPES for number, case in enumerate(shape["queries"])
]


def parts_of(explanation):
    """Return an explanation and those of its steps, of their steps too."""
    return [explanation, *(part for step in explanation.steps for part in parts_of(step.part))]


def size_bytes(loaded, query):
    _, batches = loaded.ask(query)
    return sum(batch.nbytes for batch in batches)


@pytest.mark.parametrize("case", CASES)
def test_nodes_send_little_more_than_the_answer(case, loaded):
    explanation = loaded.runner.run(loaded.session.explain(case["query"], analyze=True))
    parts = [part for part in parts_of(explanation) if part.chunks]
    assert all(part.chunks > 1 and len(part.nodes) == len(loaded.cluster.nodes) for part in parts), explanation.text
    chunks = max(part.chunks for part in parts)
    sent = [part.measured["nodes"] for part in parts]
    if "each_chunk" in case:
        may_send = chunks * size_bytes(loaded, case["each_chunk"])
    else:
        may_send = size_bytes(loaded, case.get("together", case["query"]))
    assert may_send > 0
    allowed = TIMES_THE_PARTS * may_send
    sent_bytes = sum(each.size_bytes for each in sent)
    assert sent_bytes <= allowed, f"{sent_bytes:,} bytes were sent, {allowed:,} may be:\n{explanation.text}"


def test_every_shape_is_measured():
    page = (HERE.parents[1] / "docs" / "sql.md").read_text(encoding="utf-8")
    table = page[page.index("| shape |") :].split("\n\n")[0]
    assert [shape["shape"] for shape in SHAPES] == re.findall(r"^\| (.+?) \| .* \|$", table, re.MULTILINE)[1:]
