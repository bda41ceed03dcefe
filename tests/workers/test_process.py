"""``python -m workers`` as a process."""

import contextlib
import dataclasses
import json
import signal
import subprocess
import sys

import pytest

from qserv.cluster import SECRETS_FILE
from qserv.embedded.ports import find_free_port
from qserv.errors import NodeUnavailableError
from tests.support.waiting import PATIENCE_S, until
from workers.client import WorkerClient


@pytest.fixture
def home(postgres_cluster, tmp_path):
    """Home of a cluster with the session's PostgreSQL servers and worker ports of its own."""
    nodes = tuple(dataclasses.replace(node, worker_port=find_free_port(set())) for node in postgres_cluster.cluster.nodes)
    cluster = dataclasses.replace(postgres_cluster.cluster, home=tmp_path, nodes=nodes)
    cluster.save()
    (tmp_path / SECRETS_FILE).write_text((postgres_cluster.home / SECRETS_FILE).read_text())
    return cluster


def start(cluster, node="node-1"):
    call = [sys.executable, "-m", "workers", "--home", str(cluster.home), "--node", node]
    return subprocess.Popen(call, stderr=subprocess.PIPE, text=True)


def answered(worker, client):
    """Return what a worker says of itself; None if it does not answer yet."""
    assert worker.poll() is None
    with contextlib.suppress(NodeUnavailableError):
        return client.health()


def test_it_serves_until_sigterm_and_logs_no_secret(home, postgres_cluster):
    secrets = postgres_cluster.secrets
    node = home.nodes[0]
    with start(home) as worker, WorkerClient(node.host, node.worker_port, secrets.cluster.get_secret_value()) as client:
        health = until(lambda: answered(worker, client))
        assert (health["node"], health["queries"]) == ("node-1", 0)
        assert health["postgres"].startswith("1")
        with start(home) as second:
            assert second.wait(PATIENCE_S) == 1
            assert json.loads(second.stderr.read().splitlines()[-1])["code"] == "cluster.port_in_use"
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_S) == 0
        log = worker.stderr.read()
    assert [json.loads(line)["event"] for line in log.splitlines()] == ["worker serves", "worker stops"]
    for secret in (secrets.cluster, *secrets.passwords.values()):
        assert secret.get_secret_value() not in log


def test_an_unknown_node_is_told(home):
    with start(home, "node-9") as worker:
        assert worker.wait(PATIENCE_S) == 1
        assert "no node node-9" in json.loads(worker.stderr.read())["reason"]
