"""Transactions on the command line, run as a user runs it."""

import json
import os
import subprocess
import sys

import pytest

from tests.ingest.service.test_transactions import objects, sources


@pytest.fixture
def qserv(ingest_cluster, sky):
    """Run ``qserv``; return its exit code, what it printed, and what it complained of."""

    def run(*words, given=None):
        command = [sys.executable, "-m", "qserv.cli", *map(str, words), "--home", str(ingest_cluster.cluster.home)]
        environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=sky.directory, input=given, check=False)

    return run


def test_a_transaction_by_commands(qserv, ingest_cluster, sky):
    assert f"rows over Arrow Flight {ingest_cluster.cluster.ingest_flight_url}" in qserv("status").stdout
    begun = qserv("begin", sky.name, sky.schema, "--chunk-order", 1)
    assert (begun.returncode, f"qserv commit {sky.name}" in begun.stdout) == (0, True), begun.stderr
    objects(sky.directory, "a", range(20))
    (sky.directory / "more.csv").write_text("id;ra;dec\n100;1;1\n")
    sent = qserv("send", sky.name, "object=a.parquet")
    assert (sent.returncode, "20" in sent.stdout) == (0, True), sent.stderr
    uploaded = json.loads(qserv("send", sky.name, "object=more.csv", "--upload", "--delimiter", ";", "--json").stdout)
    assert [(one["state"], one["rows"]) for one in uploaded["contributions"]] == [("done", 1)]
    sources(sky.directory, "wrong", [5, 77])
    failed = qserv("send", sky.name, "object=a.parquet", "source=wrong.parquet")
    assert failed.returncode == 1
    assert "wrong.parquet, row 2, column 'object_id'" in failed.stdout
    refused = qserv("commit", sky.name)
    assert refused.returncode == 1
    assert "contributions failed: source-wrong.parquet" in refused.stderr
    (wrong,) = (one for one in json.loads(qserv("send", sky.name, "--json").stdout)["contributions"] if one["state"] == "failed")
    assert "cancelled" in qserv("send", sky.name, "--cancel", wrong["name"]).stdout
    committed = qserv("commit", sky.name)
    assert (committed.returncode, "21 rows published" in committed.stdout) == (0, True), committed.stderr
    assert ingest_cluster.rows(sky.name, "object") == 21
    assert qserv("column", f"{sky.name}.object", "seen").returncode == 2
    described = ("--unit", "s", "--ucd", "time.duration", "--description", "How long.", "--default", "2.5", "--no-nullable")
    added = qserv("column", f"{sky.name}.object", "seen", "--type", "float", *described)
    assert (added.returncode, added.stdout.splitlines()[-1].split()) == (
        0,
        ["seen", "float", "s", "time.duration", *["2.5"] * 3, "0"],
    )
    begun = qserv("append", f"{sky.name}-2", sky.name, "--table", "object")
    assert (begun.returncode, "shows their rows" in begun.stdout) == (0, True), begun.stderr
    (sky.directory / "later.csv").write_text("id,ra,dec\n200,1,1\n")
    qserv("send", f"{sky.name}-2", "object=later.csv")
    assert "1 rows published" in qserv("commit", f"{sky.name}-2").stdout
    listed = json.loads(qserv("column", f"{sky.name}.object", "--json").stdout)["columns"]
    assert [(one["name"], one["default"], one["maximum"]) for one in listed][-1] == ("seen", "2.5", "2.5")
    gone = qserv("withdraw", f"{sky.name}-2")
    assert (gone.returncode, gone.stdout) == (0, f"{sky.name}-2 is withdrawn; rows that are gone: 1 of object\n"), gone.stderr
    assert qserv("drop", f"{sky.name}.source", given="n\n").returncode == 1
    assert json.loads(qserv("drop", sky.name, "--json").stdout) == {"dropped": sky.name, "rows": 21}
    qserv("begin", f"{sky.name}-3", sky.schema, "--chunk-order", 1)
    assert json.loads(qserv("loads", f"{sky.name}-3", "--cancel", "--json").stdout)["state"] == "aborted"
