import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qserv import errors
from qserv.cli import COMMANDS, app
from qserv.cli.exits import exit_code
from qserv.embedded.processes import run_records
from tests.support.waiting import PATIENCE_S

QSERV = [sys.executable, "-m", "qserv.cli"]


@pytest.fixture(scope="module")
def home(cluster_home):
    return cluster_home / "cli"


@pytest.fixture
def environment(home):
    return os.environ | {"QSERV_HOME": str(home), "QSERV_NODES": "1", "QSERV_TAP_PORT": "0", "QSERV_MEMORY_SHARE": "0.05"}


@pytest.fixture
def qserv(environment):
    def run(*arguments, **more):
        return subprocess.run([*QSERV, *arguments], capture_output=True, text=True, check=False, env=environment | more)

    return run


def start(environment):
    arguments = [*QSERV, "up", "--postgres-only", "--json"]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_stops_cleanly_on_each_stop_signal(environment, home, number):
    with start(environment) as launcher:
        facts = json.loads(launcher.stdout.readline())
        processes = [record.process for record in run_records(home)]
        assert {process["name"] for process in facts["processes"]} == {"supervisor", "metadata-postgres", "node-1-postgres"}
        assert len(processes) == 3
        launcher.send_signal(number)
        assert launcher.wait(PATIENCE_S) == 0
        assert launcher.stderr.read() == ""
    assert not any(process.alive for process in processes)
    assert run_records(home) == ()
    assert "database system is shut down" in (home / "logs" / "node-1-postgres.log").read_text().splitlines()[-1]


def test_detached_cluster_runs_until_down(qserv, home):
    up = qserv("up", "--detach", "--postgres-only", "--json")
    assert (up.returncode, up.stderr) == (0, "")
    status = qserv("status", "--json")
    assert json.loads(status.stdout) == json.loads(up.stdout)
    again = qserv("up", "--postgres-only")
    assert again.returncode == 1
    assert "already running" in again.stderr
    assert qserv("status").stdout.count("yes") == 3
    down = qserv("down", "--json")
    assert json.loads(down.stdout) == {"home": str(home), "stopped": 3}
    assert run_records(home) == ()


def test_down_ends_what_a_killed_launcher_left(environment, qserv, home):
    with start(environment) as launcher:
        launcher.stdout.readline()
        launcher.kill()
    processes = [record.process for record in run_records(home) if record.kind == "postgres"]
    assert all(process.alive for process in processes)
    status = qserv("status")
    assert status.returncode == 3
    assert "2 of its processes still run" in status.stderr
    assert qserv("down").returncode == 0
    assert not any(process.alive for process in processes)


@pytest.mark.parametrize("command", ["status", "down"])
def test_no_running_cluster_has_an_exit_code_of_its_own(qserv, command):
    plain = qserv(command)
    assert (plain.returncode, plain.stdout) == (3, "")
    assert plain.stderr.startswith("qserv: no cluster is running in")
    assert plain.stderr.count("\n") == 1
    as_json = qserv(command, "--json")
    assert (as_json.returncode, as_json.stderr) == (3, "")
    assert json.loads(as_json.stdout)["error"]["code"] == "cluster.not_running"


@pytest.mark.parametrize("options", [[], ["--detach"]])
def test_port_in_use(qserv, options):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answer = qserv("up", *options, "--json", QSERV_TAP_PORT=str(port))
    assert answer.returncode == 7
    error = json.loads(answer.stdout)["error"]
    assert error["code"] == "cluster.port_in_use"
    assert f"port {port} on 127.0.0.1 is in use by" in error["message"]
    assert f"process {os.getpid()}" in error["message"]


def test_settings_show_what_is_in_force(qserv, home):
    values = json.loads(qserv("settings", "--json").stdout)
    assert (values["home"], values["nodes"]) == (str(home), 1)
    assert str(home) in qserv("settings", COLUMNS="200").stdout


def test_wrong_setting_is_a_usage_error(qserv):
    answer = qserv("settings", QSERV_NODES="none")
    assert answer.returncode == 2
    assert answer.stderr.startswith("qserv: setting nodes (QSERV_NODES): ")
    assert qserv("nonsense").returncode == 2


def test_help_imports_no_command_and_nothing_heavy():
    probe = "import sys, qserv.cli\ntry: qserv.cli.app(['--help'])\nexcept SystemExit: print(*sys.modules, file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    for name, command in COMMANDS.items():
        assert f"{name} " in answer.stdout
        assert command.help in " ".join(answer.stdout.split())
        assert command.module not in answer.stderr.split()
    assert not {"pyarrow", "numpy", "pydantic", "sqlalchemy", "psycopg"} & set(answer.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name):
    answer = CliRunner().invoke(app, [name, "--help"], prog_name="qserv")
    assert answer.exit_code == 0
    assert f"Usage: qserv {name}" in answer.stdout


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.QservError("x"), 1),
        (errors.ClusterError("x"), 1),
        (errors.SettingsError("x"), 2),
        (errors.ClusterNotRunningError("x"), 3),
        (errors.QuerySyntaxError("x", errors.Place(1, 7)), 4),
        (errors.SchemaError("x"), 4),
        (errors.BadRowError("x"), 4),
        (errors.QueryLimitError("x"), 5),
        (errors.NodeUnavailableError("x"), 6),
        (errors.MetadataError("x"), 6),
        (errors.PortInUseError("x"), 7),
        (errors.StorageFullError("x"), 7),
    ],
)
def test_exit_codes_mean_something(error, code):
    assert exit_code(error) == code


def test_every_exit_code_is_in_the_operations_page():
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 130):
        assert f"| {code} |" in page
