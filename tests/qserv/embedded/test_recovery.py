"""Whatever happened before, the next start has the data and leaves no process of the last one."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from qserv.cluster import CLUSTER_FILE, METADATA_DATABASE, Cluster, Role, Secrets
from qserv.embedded.launch import embedded_postgres
from qserv.embedded.processes import run_records
from qserv.errors import ClusterError
from qserv.settings import Settings
from tests.support.waiting import PATIENCE_S

LAUNCHER = """
import sys, time
from pathlib import Path
from qserv.embedded.launch import embedded_postgres
from qserv.settings import Settings
with embedded_postgres(Settings(home=Path(sys.argv[1]), nodes=1, tap_port=0, memory_share=0.05)):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def settings(cluster_home):
    return Settings(home=cluster_home / "recovery", nodes=1, tap_port=0, memory_share=0.05)


def processes_of(home):
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(home) in command and int(directory.name) != os.getpid():
            found.append(command)
    return found


def run_sql(cluster, text):
    address, secrets = cluster.metadata, Secrets.load(cluster.home)
    with psycopg.connect(address.conninfo(Role.METADATA, METADATA_DATABASE, secrets)) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


def launch(settings):
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(settings.home)], stdout=subprocess.PIPE)
    assert launcher.stdout.readline() == b"up\n"
    return launcher


def test_clean_stop_leaves_no_process_and_no_topology(settings):
    with embedded_postgres(settings) as cluster:
        assert processes_of(settings.home)
        run_sql(cluster, "CREATE TABLE public.kept AS SELECT 1 AS a")
    assert processes_of(settings.home) == []
    assert run_records(settings.home) == ()
    assert not (settings.home / CLUSTER_FILE).exists()


def test_ports_stay_the_same_and_give_way_when_taken(settings):
    with embedded_postgres(settings) as cluster:
        first = cluster
    with embedded_postgres(settings) as cluster:
        assert cluster == first
    with socket.create_server((first.metadata.host, first.metadata.port)), embedded_postgres(settings) as cluster:
        assert cluster.metadata.port != first.metadata.port
        assert run_sql(cluster, "SELECT 1") == [(1,)]


def test_nothing_is_orphaned_after_the_launcher_was_killed(settings):
    launcher = launch(settings)
    with launcher, launcher.stdout:
        run_sql(Cluster.load(settings.home), "CREATE TABLE public.before_kill AS SELECT 42 AS a")
        launcher.kill()
    left = [record.process for record in run_records(settings.home)]
    assert len(left) == 2
    assert all(process.alive for process in left)
    with embedded_postgres(settings) as cluster:
        assert not any(process.alive for process in left)
        assert run_sql(cluster, "SELECT a FROM public.before_kill") == [(42,)]
        run_sql(cluster, "DROP TABLE public.before_kill")
    assert processes_of(settings.home) == []


def test_a_server_without_record_is_found_by_its_pid_file(settings):
    launcher = launch(settings)
    with launcher, launcher.stdout:
        launcher.kill()
    for record in run_records(settings.home):
        record.remove(settings.home)
    with embedded_postgres(settings) as cluster:
        assert run_sql(cluster, "SELECT 1") == [(1,)]
    assert processes_of(settings.home) == []


@pytest.mark.parametrize("pid_is", ["of nobody", "of another program"])
def test_stale_pid_file_after_a_crash_of_everything(settings, pid_is):
    launcher = launch(settings)
    with launcher, launcher.stdout:
        run_sql(Cluster.load(settings.home), "CREATE TABLE public.before_crash AS SELECT 43 AS a")
        launcher.kill()
    for record in run_records(settings.home):
        record.process.end([(signal.SIGKILL, PATIENCE_S)])
    pid_file = settings.home / "metadata" / "postmaster.pid"
    if pid_is == "of another program":
        # A process of the same user: PostgreSQL by itself would refuse to start.
        lines = pid_file.read_text().splitlines()
        pid_file.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))
    with embedded_postgres(settings) as cluster:
        assert run_sql(cluster, "SELECT a FROM public.before_crash") == [(43,)]
        run_sql(cluster, "DROP TABLE public.before_crash")


def test_pid_file_cut_off_while_written(settings):
    (settings.home / "metadata" / "postmaster.pid").write_text("")
    with embedded_postgres(settings) as cluster:
        assert run_sql(cluster, "SELECT 1") == [(1,)]


def test_sessions_of_a_killed_server_end_before_the_next_one_writes(settings):
    launcher = launch(settings)
    with launcher, launcher.stdout:
        cluster = Cluster.load(settings.home)
        address, secrets = cluster.metadata, Secrets.load(settings.home)
        session = psycopg.connect(address.conninfo(Role.METADATA, METADATA_DATABASE, secrets), autocommit=True)
        backend = session.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        launcher.kill()
    next(record for record in run_records(settings.home) if record.name.startswith("metadata")).process.end(
        [(signal.SIGKILL, PATIENCE_S)]
    )
    # A session that outlives its server holds the shared memory: the next server must wait for its end, not write beside it.
    begun = time.monotonic()
    resume = subprocess.Popen(["/bin/sh", "-c", f"sleep 1; kill -CONT {backend}"])
    with resume, embedded_postgres(settings) as cluster:
        assert time.monotonic() - begun > 0.5
        assert run_sql(cluster, "SELECT 1") == [(1,)]
    session.close()


def test_a_second_launcher_is_refused(settings):
    with embedded_postgres(settings), pytest.raises(ClusterError, match="already running"), embedded_postgres(settings):
        pass


def test_number_of_nodes_cannot_change_under_the_data(settings):
    more = settings.model_copy(update={"nodes": 2})
    with pytest.raises(ClusterError, match="holds 1 nodes, not 2; set QSERV_NODES=1"), embedded_postgres(more):
        pass


def test_data_of_another_postgresql_version_is_refused(settings):
    version = settings.home / "node-1" / "PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    try:
        with pytest.raises(ClusterError, match=r"made by PostgreSQL 14.*QSERV_PG_BIN"), embedded_postgres(settings):
            pass
    finally:
        version.write_text(right)


def test_a_server_that_cannot_start_says_why(settings):
    conf = settings.home / "node-1" / "postgresql.auto.conf"
    right = conf.read_text()
    conf.write_text("shared_buffers = 'a lot'\n")
    try:
        with (
            pytest.raises(ClusterError, match=r"(?s)node-1 stopped while starting.*invalid value for parameter"),
            embedded_postgres(settings),
        ):
            pass
    finally:
        conf.write_text(right)
    assert processes_of(settings.home) == []


def test_half_made_directories_of_an_interrupted_first_start_are_made_again(settings):
    (settings.home / "node-1").rename(settings.home / "node-1.new")
    (settings.home / "node-1.new" / "PG_VERSION").unlink()
    with embedded_postgres(settings) as cluster:
        assert run_sql(cluster, "SELECT 1") == [(1,)]
    assert not (settings.home / "node-1.new").exists()


def test_kept_ports_are_of_this_shape(settings):
    ports = json.loads((settings.home / "ports.json").read_text())
    assert ports.keys() == {"czar", "ingest", "ingest-flight", "tap", "metadata-postgres", "node-1-postgres", "node-1-worker"}
    assert len(set(ports.values())) == 7
