import contextlib
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from qserv.cluster import METADATA_DATABASE, Role
from qserv.metadata.migrate import upgrade
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
def tap_process(postgres_cluster):
    """The service as it is deployed: a process of its own, beside a metadata server that knows no catalogue yet."""
    running = postgres_cluster
    upgrade(running.cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, running.secrets))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QSERV_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tap", "--home", str(running.home)], env=environment, stderr=subprocess.PIPE, text=True
    )
    yield process, running.cluster
    process.kill()
    process.communicate()


def wait_for(url):
    """Return the first answer of a service that starts."""

    def answer():
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(url, timeout=PATIENCE_S)

    return until(answer)


def test_it_serves_and_stops_at_sigterm(tap_process):
    process, cluster = tap_process
    assert "<available>true</available>" in wait_for(cluster.tap_url + "/availability").text
    assert "SELECT TOP 10 * FROM tap_schema.tables" in httpx.get(cluster.tap_url.removesuffix("tap"), timeout=PATIENCE_S).text
    answer = httpx.get(cluster.tap_url + "/sync", params={"QUERY": "SELECT a FROM nowhere.nothing"}, timeout=PATIENCE_S)
    assert answer.status_code == 400
    assert "unknown table nowhere.nothing; tap_schema.tables lists all tables (line 1, column 15)" in answer.text
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "tap stops" in log
    assert "Traceback" not in log
    assert "leaked" not in log


def test_a_port_in_use_is_told(postgres_cluster):
    with socket.create_server((postgres_cluster.cluster.tap_host, postgres_cluster.cluster.tap_port)):
        done = subprocess.run(
            [sys.executable, "-m", "tap", "--home", str(postgres_cluster.home)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 1
    assert "cannot listen on" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_without_cluster_is_told(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tap", "--home", str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 1
    assert "no cluster is running" in done.stdout + done.stderr
