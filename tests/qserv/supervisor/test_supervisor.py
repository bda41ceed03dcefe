"""A cluster with a small service of the test's own beside the PostgreSQL server."""

import os
import signal
import threading
import time

import psycopg
import pytest

from qserv.cluster import CLUSTER_FILE, METADATA_DATABASE, NODE_DATABASE, Role, Secrets
from qserv.embedded.processes import run_records
from qserv.errors import ClusterError, ClusterNotRunningError
from qserv.settings import Settings
from qserv.supervisor.services import Service, all_services
from qserv.supervisor.status import cluster_status
from qserv.supervisor.supervisor import embedded_cluster
from tests.support.waiting import until

LISTENER = """
import os, socket, sys, time
print("settings:", os.environ["QSERV_NODES"], "arguments:", *sys.argv[1:], flush=True)
time.sleep(float(os.environ.get("LISTENER_DELAY_S", "0")))
with socket.create_server(("127.0.0.1", int(sys.argv[-1])), reuse_port=True) as server:
    while True:
        connection = server.accept()[0]
        connection.recv(100)
        connection.sendall(b"here")
        connection.close()
"""


def listener(cluster):
    port = cluster.nodes[0].worker_port
    return (Service("node-1-worker", "worker", "listener_service", (str(port),), "127.0.0.1", port),)


def stops_at_once(cluster):
    return (Service("node-1-worker", "worker", "no_such_service", (), "127.0.0.1", cluster.nodes[0].worker_port),)


@pytest.fixture(scope="module")
def settings(cluster_home):
    return Settings(home=cluster_home / "supervised", nodes=1, tap_port=0, memory_share=0.05)


@pytest.fixture(autouse=True)
def _service_module(tmp_path, monkeypatch):
    (tmp_path / "listener_service.py").write_text(LISTENER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def record(settings, name):
    return next((one for one in run_records(settings.home) if one.name == name), None)


def test_status_knows_every_process(settings):
    with embedded_cluster(settings, services=listener):
        until(lambda: all(process.answers for process in cluster_status(settings.home).processes))
        processes = {process.name: process for process in cluster_status(settings.home).processes}
        assert processes.keys() == {"supervisor", "metadata-postgres", "node-1-postgres", "node-1-worker"}
        assert processes["supervisor"].pid == os.getpid()
    assert run_records(settings.home) == ()
    with pytest.raises(ClusterNotRunningError):
        cluster_status(settings.home)


def test_services_get_home_and_settings(settings):
    with embedded_cluster(settings, services=listener) as cluster:
        log = (settings.home / "logs" / "node-1-worker.log").read_text()
    assert f"settings: 1 arguments: --home {settings.home} {cluster.nodes[0].worker_port}\n" in log


@pytest.mark.parametrize("name", ["node-1-worker", "node-1-postgres", "metadata-postgres"])
def test_a_dead_process_is_started_again(settings, name):
    with embedded_cluster(settings, services=listener) as cluster:
        first = record(settings, name).process
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: record(settings, name).process != first)
        until(lambda: all(process.answers for process in cluster_status(settings.home).processes))
        secrets = Secrets.load(settings.home)
        for address, role, database in (
            (cluster.metadata, Role.METADATA, METADATA_DATABASE),
            (cluster.nodes[0].postgres, Role.READER, NODE_DATABASE),
        ):
            with psycopg.connect(address.conninfo(role, database, secrets)) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        last = record(settings, name).process
    assert not last.alive


def test_a_frozen_worker_is_ended_and_started_again(settings, caplog):
    quick = settings.model_copy(update={"worker_silence_s": 1.0})
    with embedded_cluster(quick, services=listener):
        first = record(settings, "node-1-worker").process
        time.sleep(2.5)  # longer than it may be silent
        assert record(settings, "node-1-worker").process == first
        os.kill(first.pid, signal.SIGSTOP)
        until(lambda: record(settings, "node-1-worker").process != first)
        until(lambda: all(process.answers for process in cluster_status(settings.home).processes))
        assert not first.alive
    assert "node-1-worker said nothing for 2.0 s; it is ended and started again" in caplog.text


def test_status_tells_a_process_that_hangs(settings):
    with embedded_cluster(settings, services=listener):
        process = record(settings, "node-1-postgres").process
        os.kill(process.pid, signal.SIGSTOP)
        wanted = {"supervisor": True, "metadata-postgres": True, "node-1-postgres": False, "node-1-worker": True}
        try:
            until(lambda: {one.name: one.answers for one in cluster_status(settings.home).processes} == wanted)
        finally:
            os.kill(process.pid, signal.SIGCONT)


def test_a_service_that_cannot_start_says_why_and_nothing_stays(settings):
    with pytest.raises(ClusterError, match=r"(?s)node-1-worker stopped while starting.*No module named no_such_service"):  # noqa: SIM117
        with embedded_cluster(settings, services=stops_at_once):
            pass
    assert run_records(settings.home) == ()
    assert not (settings.home / CLUSTER_FILE).exists()


def test_a_start_can_be_interrupted(settings, monkeypatch):
    monkeypatch.setenv("LISTENER_DELAY_S", "600")
    cancelled = threading.Event()
    threading.Timer(1.5, cancelled.set).start()
    with pytest.raises(ClusterError, match="interrupted"), embedded_cluster(settings, services=listener, cancelled=cancelled):
        pass
    assert run_records(settings.home) == ()


def test_services_of_a_whole_cluster(postgres_cluster):
    services = [(service.name, service.module, service.arguments) for service in all_services(postgres_cluster.cluster)]
    assert services == [
        ("node-1-worker", "workers", ("--node", "node-1")),
        ("node-2-worker", "workers", ("--node", "node-2")),
        ("ingest", "ingest.service", ()),
        ("czar", "czar.service", ("--dialect", "adql=tap.adql.parse:parse_adql")),
        ("tap", "tap", ()),
    ]
