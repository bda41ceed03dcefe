"""As whom PostgreSQL runs. Where the tests run as root, ordinary users and machines without user namespaces are tried too."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from qserv.embedded import account as accounts
from qserv.embedded.account import Account, choose_account, choose_lesser_account
from qserv.embedded.binaries import find_binaries
from qserv.embedded.launch import embedded_postgres
from qserv.embedded.processes import run_records
from qserv.errors import ClusterError
from qserv.settings import Settings

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")

ORDINARY_USER = 65534

START = """
import sys
from pathlib import Path
from qserv.embedded.launch import embedded_postgres
from qserv.settings import Settings
with embedded_postgres(Settings(home=Path(sys.argv[1]), nodes=1, tap_port=0, memory_share=0.05)) as cluster:
    print("up", Path(cluster.home / "metadata").stat().st_uid)
"""


@pytest.fixture
def open_directory():
    """A directory that other accounts can reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="qserv-account-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def _no_user_namespaces(monkeypatch):
    monkeypatch.setattr(accounts, "NAMESPACE", ("/bin/false",))


def uid_of(pid):
    return Path(f"/proc/{pid}").stat().st_uid


@pytest.mark.skipif(os.geteuid() == 0, reason="root cannot run PostgreSQL as itself")
def test_an_ordinary_user_runs_it_as_itself(tmp_path):
    assert choose_account(find_binaries(None), tmp_path) == Account()


@as_root
def test_an_ordinary_user_can_start_a_cluster(open_directory):
    python = Path(sys.executable)
    ordinary = {"user": ORDINARY_USER, "group": ORDINARY_USER, "extra_groups": []}
    try:
        subprocess.run([python, "-c", "import qserv"], check=True, capture_output=True, **ordinary)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("the Python environment is not readable for ordinary users")
    os.chown(open_directory, ORDINARY_USER, ORDINARY_USER)
    environment = os.environ | {"HOME": str(open_directory)}
    arguments = [python, "-c", START, str(open_directory / "home")]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment, cwd=open_directory, **ordinary)
    assert (answer.stdout, answer.stderr) == (f"up {ORDINARY_USER}\n", "")


@as_root
@pytest.mark.usefixtures("_no_user_namespaces")
def test_root_without_user_namespaces_drops_to_an_account(open_directory):
    settings = Settings(home=open_directory / "home", nodes=1, tap_port=0, memory_share=0.05)
    with embedded_postgres(settings):
        uids = {uid_of(record.process.pid) for record in run_records(settings.home)}
    assert len(uids) == 1
    assert 0 not in uids
    assert (settings.home / "secrets.json").stat().st_mode & 0o777 == 0o600


@as_root
def test_data_change_hands_when_user_namespaces_come_back(open_directory, monkeypatch):
    settings = Settings(home=open_directory / "home", nodes=1, tap_port=0, memory_share=0.05)
    with monkeypatch.context() as context:
        context.setattr(accounts, "NAMESPACE", ("/bin/false",))
        with embedded_postgres(settings):
            pass
    dropped = (settings.home / "metadata").stat().st_uid
    with embedded_postgres(settings):
        kept = (settings.home / "metadata" / "PG_VERSION").stat().st_uid
    namespaces = choose_account(find_binaries(None), settings.home).prefix
    assert dropped != 0
    assert kept == (0 if namespaces else dropped)


@as_root
@pytest.mark.usefixtures("_no_user_namespaces")
def test_root_without_user_namespaces_may_have_a_private_home(tmp_path):
    (tmp_path / "private").mkdir(mode=0o700)
    settings = Settings(home=tmp_path / "private" / "home", nodes=1, tap_port=0, memory_share=0.05)
    with embedded_postgres(settings):
        uids = {uid_of(record.process.pid) for record in run_records(settings.home)}
    assert len(uids) == 1
    assert 0 not in uids
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o700


@as_root
def test_error_where_no_account_can_reach_the_home(tmp_path, monkeypatch):
    (tmp_path / "private").mkdir(mode=0o700)
    version = [str(find_binaries(None).postgres), "--version"]
    monkeypatch.setattr(accounts, "_let_through", lambda _entry: ("false",))
    with pytest.raises(ClusterError, match=r"refuses to run as root.*ordinary user.*QSERV_HOME"):
        choose_lesser_account(version, tmp_path / "private" / "home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may take anything")
def test_data_of_another_user_are_refused():
    with pytest.raises(ClusterError, match=r"/etc belongs to root; start the cluster as that user"):
        Account().own(Path("/etc"))
