"""Plans and metrics over HTTP."""

import json
import re

import httpx
import pytest
from typer.testing import CliRunner

from qserv.cli import app
from tests.support.waiting import PATIENCE_S, until

TOGETHER = "SELECT STRING_AGG(CAST(hip AS TEXT), ',' ORDER BY hip) AS names FROM stars.hipparcos WHERE magnitude < 1"


def test_a_plan_that_was_run_says_what_each_part_took(czar):
    plan = czar.explain(TOGETHER, analyze=True)
    (step,) = plan.facts["steps"]
    count = czar.query("SELECT COUNT(*) AS n FROM stars.hipparcos WHERE magnitude < 1")["n"][0].as_py()
    assert step["part"]["measured"]["nodes"]["rows"] == count
    assert step["part"]["measured"]["step"]["seconds"] > 0
    assert plan.facts["measured"]["total"]["rows"] == 1
    assert plan.facts["measured"]["total"]["seconds"] >= step["part"]["measured"]["step"]["seconds"]
    assert re.search(rf"^    nodes    {count} rows, ", plan.text, re.MULTILINE)
    assert re.search(r"^  time     estimated 0\.\d+ s$", plan.text, re.MULTILINE)
    assert "took" not in czar.explain(TOGETHER).text


def test_explain_is_a_statement_of_one_column(czar):
    table = czar.query(f"EXPLAIN ANALYZE {TOGETHER}")
    assert table.column_names == ["QUERY PLAN"]
    assert table["QUERY PLAN"][0].as_py().startswith("step s0  because ")
    facts = json.loads(czar.query(f"EXPLAIN (FORMAT JSON) {TOGETHER}")["QUERY PLAN"][0].as_py())
    assert facts == czar.explain(TOGETHER).facts


def test_the_command_line_runs_and_measures(archive):
    shown = CliRunner().invoke(
        app, ["explain", "--analyze", "--home", str(archive.home), "SELECT hip FROM stars.hipparcos LIMIT 3"]
    )
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^  total    3 rows, 24 bytes, \d+\.\d+ s$", shown.output, re.MULTILINE)
    printed = CliRunner().invoke(app, ["explain", "--json", "--analyze", "--home", str(archive.home), "SELECT 1"])
    assert json.loads(printed.output)["measured"]["total"]["rows"] == 1


def metrics(archive):
    answer = httpx.get(f"{archive.cluster.czar_url}/metrics", timeout=PATIENCE_S)
    assert answer.headers["content-type"].startswith("text/plain")
    return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", answer.text, re.MULTILINE)}


def test_metrics_count_what_is_done(archive, czar):
    done, failed = (f'qserv_queries_total{{dialect="native",outcome="{outcome}"}}' for outcome in ("completed", "error"))
    before = metrics(archive)
    rows = czar.query("SELECT epoch_year, COUNT(*) FROM stars.hipparcos GROUP BY epoch_year").num_rows
    czar.query(TOGETHER)
    with pytest.raises(Exception, match="division by zero"):
        czar.query("SELECT 1 / (hip - hip) FROM stars.hipparcos")
    after = metrics(archive)

    def more(name):
        return after[name] - before.get(name, 0)

    assert more(done) == 2
    assert more(failed) == 1
    assert more("qserv_rows_total") == rows + 1
    assert more("qserv_bytes_total") > 0
    assert more('qserv_query_seconds_count{dialect="native"}') == 3
    assert more("qserv_chunks_total") > 1
    assert more("qserv_steps_total") == 1
    assert more("qserv_merge_bytes_total") > 0
    assert after["qserv_queries_running"] == after["qserv_queries_waiting"] == 0


def test_metrics_tell_of_the_lanes_of_each_node(archive, czar):
    before = metrics(archive)
    czar.query("SELECT hip FROM stars.hipparcos WHERE hip = 1")
    after = metrics(archive)
    nodes = [node.node for node in archive.cluster.nodes]
    assert [after[f'qserv_worker_up{{node="{node}"}}'] for node in nodes] == [1] * len(nodes)
    begun = [f'qserv_lane_begun_total{{lane="interactive",node="{node}"}}' for node in nodes]
    # One node holds the star; what is read by itself between two queries of a test is no query of a table.
    assert sum(after[name] - before[name] for name in begun) == 1
    # Nodes notice a little later that nobody wants what an earlier test asked for.
    idle = [f'qserv_lane_{kind}{{lane="scan",node="{nodes[0]}"}}' for kind in ("waiting", "running", "aside")]
    until(lambda: not any(metrics(archive)[name] for name in idle))
    assert after[f'qserv_lane_waited_seconds_total{{lane="interactive",node="{nodes[0]}"}}'] >= 0
