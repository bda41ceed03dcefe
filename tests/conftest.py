"""Fixtures for every test that needs real servers.

``postgres_cluster``: metadata server and two node servers, PostgreSQL only, one start a session (1 s). It has ``.cluster``
(`qserv.cluster.Cluster`), ``.secrets`` (`qserv.cluster.Secrets`) and ``.home``. The databases of roles are shared by the session:
a test makes schemas, tables and rows under names of its own and takes them away. Connect for example with
``psycopg.connect(postgres_cluster.cluster.nodes[0].postgres.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets))``.
"""

import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from qserv.cli.loading import Wish, load_with_progress
from qserv.cluster import Cluster, Secrets
from qserv.embedded.launch import embedded_postgres
from qserv.embedded.orphans import end_orphans
from qserv.embedded.processes import Process
from qserv.settings import Settings
from qserv.supervisor.supervisor import embedded_cluster
from schema.catalogues import data_path, schema_path

hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
"""A busy machine is no failure."""


def pytest_addoption(parser):
    parser.addoption("--update-approved", action="store_true", help="write the approved files anew from what the code gives")
    parser.addoption("--seconds", type=float, default=60.0, help="how long the nightly checks take together")
    new = random.SystemRandom().randrange(2**32)
    parser.addoption("--seed", type=int, default=new, help="seed of the nightly checks; default: a new one, which is printed")


def pytest_collection_modifyitems(config, items):
    """Leave the nightly checks to `make nightly`."""
    if "nightly" not in config.getoption("markexpr"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]


def _share(item):
    """Return how much of the time a nightly check gets, in relation to the others."""
    return item.get_closest_marker("nightly").kwargs.get("share", 0)


@dataclass(frozen=True)
class Night:
    """What a nightly check gets, and where it says what it finds: at once."""

    seconds: float
    seed: int
    say: Callable[..., None]


@pytest.fixture
def night(request, capsys):
    """What a check that is marked ``nightly(share=...)`` gets: the shares of those that run are parts of ``--seconds``."""
    shares = sum(_share(item) for item in request.session.items if item.get_closest_marker("nightly"))
    seed = request.config.getoption("--seed")

    def say(*lines):
        with capsys.disabled():
            sys.stdout.write("\n".join(["", *lines]))
            sys.stdout.flush()

    say(f"{request.node.name}: --seed {seed}")
    yield Night(request.config.getoption("--seconds") * _share(request.node) / shares, seed, say)
    say("")


def pytest_terminal_summary(terminalreporter):
    """Print the minutes of each package."""
    minutes = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if hasattr(report, "duration"):
                minutes[report.nodeid.split("/")[1] if report.nodeid.count("/") > 1 else "tests"] += report.duration / 60
    terminalreporter.section("minutes")
    for package, spent in minutes.most_common():
        terminalreporter.write_line(f"{spent:6.2f}  {package}")


@pytest.fixture
def approved(request):
    """Compare a text with the approved file of a path; with --update-approved, write it."""

    def check(path, text):
        if request.config.getoption("--update-approved"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        assert path.exists(), f"{path} is not there; look at the text and approve it with --update-approved"
        assert text == path.read_text(), f"differs from {path.name}; look at it and approve it with --update-approved"

    return check


@dataclass(frozen=True)
class RunningCluster:
    cluster: Cluster
    secrets: Secrets
    settings: Settings

    @property
    def home(self):
        return self.cluster.home


@pytest.fixture(scope="session")
def cluster_home():
    """A home for clusters of this session. Those of sessions that were killed are ended and removed first."""
    base = Path(tempfile.gettempdir()) / f"qserv-tests-{os.geteuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    for left in base.iterdir():
        pid, _, ticks = left.name.partition("-")
        session = Process.of(int(pid))
        if session is None or session.start_ticks != int(ticks):
            # A session that begins beside this one may be quicker.
            with contextlib.suppress(FileNotFoundError):
                for home in left.iterdir():
                    end_orphans(home)
            shutil.rmtree(left, ignore_errors=True)
    this = Process.of(os.getpid())
    home = base / f"{this.pid}-{this.start_ticks}"
    home.mkdir()
    yield home
    # The disk takes a millisecond to give a synced file back, and takes several side by side.
    with ThreadPoolExecutor() as pool:
        list(pool.map(shutil.rmtree, sorted(home.rglob("base/[0-9]*"))))
    shutil.rmtree(home)


@pytest.fixture(scope="session", autouse=True)
def _stop_cleanly_on_sigterm():
    """Let fixtures end when the run is stopped from outside, so that no server stays behind."""
    # SystemExit would fail the test that runs, and the run would go on.
    before = signal.signal(signal.SIGTERM, lambda *_: pytest.exit("stopped by SIGTERM", returncode=143))
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def postgres_cluster(cluster_home):
    settings = Settings(home=cluster_home / "postgres", nodes=2, tap_port=0, memory_share=0.1)
    with embedded_postgres(settings) as cluster:
        yield RunningCluster(cluster, Secrets.load(cluster.home), settings)


@pytest.fixture(scope="session")
def archive(cluster_home):
    """A cluster of three nodes with all services and the Hipparcos stars, as `qserv up` and `qserv ingest` make it."""
    settings = Settings(home=cluster_home / "archive", nodes=3, tap_port=0, memory_share=0.2, chunk_target_rows=10_000)
    with embedded_cluster(settings) as cluster:
        load_with_progress(settings, Wish(schema_path("stars"), {"hipparcos": [data_path("hipparcos.parquet")]}), quiet=True)
        yield RunningCluster(cluster, Secrets.load(cluster.home), settings)
