"""Facts about the processes of a home, found from outside: records, ``/proc``, and whether each answers."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from qserv.cluster import Cluster, Role, Secrets
from qserv.embedded import server
from qserv.embedded.launch import HOST
from qserv.embedded.orphans import SUPERVISOR
from qserv.embedded.processes import RunRecord, run_records
from qserv.embedded.provision import ADMIN_DATABASE
from qserv.errors import ClusterNotRunningError
from qserv.supervisor.probe import ANSWER_TIMEOUT_S, answers


@dataclass(frozen=True)
class ProcessStatus:
    """One process: ``up_since`` in UTC, ISO 8601; ``answers`` whether it did, just now."""

    name: str
    kind: str
    pid: int
    port: int | None
    up_since: str
    answers: bool


@dataclass(frozen=True)
class ClusterStatus:
    """A running cluster."""

    home: str
    tap_url: str
    ingest_url: str
    ingest_flight_url: str
    processes: tuple[ProcessStatus, ...]

    def document(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        return asdict(self)


def running_supervisor(home: Path) -> RunRecord | None:
    """Return the launcher that runs the cluster of a home; None if there is none or it died."""
    return next((record for record in run_records(home) if record.name == SUPERVISOR and record.process.alive), None)


def cluster_status(home: Path) -> ClusterStatus:
    """Return the facts about a home's cluster.

    Raises
    ------
    ClusterNotRunningError
        No launcher runs there; says so if one was killed and left processes behind.
    """
    alive = [record for record in run_records(home) if record.process.alive]
    if running_supervisor(home) is None:
        if alive:
            msg = (
                f"the launcher of the cluster in {home} was killed; {len(alive)} of its processes still run:"
                " end them with `qserv down`, or start again with `qserv up`"
            )
            raise ClusterNotRunningError(msg)
        Cluster.load(home)
        msg = f"no cluster is running in {home}, though one was not stopped cleanly; start it with `qserv up`"
        raise ClusterNotRunningError(msg)
    cluster, secrets = Cluster.load(home), Secrets.load(home)
    with ThreadPoolExecutor(max(len(alive), 1)) as pool:
        found = list(pool.map(lambda record: _answers(record, cluster, secrets), alive))
    processes = (
        ProcessStatus(
            record.name,
            record.kind,
            record.process.pid,
            record.port,
            datetime.fromtimestamp(record.since, UTC).isoformat(timespec="seconds"),
            answer,
        )
        for record, answer in zip(alive, found, strict=True)
    )
    return ClusterStatus(str(home), cluster.tap_url, cluster.ingest_url, cluster.ingest_flight_url, tuple(processes))


def _answers(record: RunRecord, cluster: Cluster, secrets: Secrets) -> bool:
    """Ask a process the simplest question of its kind."""
    if record.port is None:
        return True
    if record.kind == server.KIND:
        password = secrets.passwords[Role.ADMIN].get_secret_value()
        try:
            with psycopg.connect(
                host=HOST,
                port=record.port,
                user=Role.ADMIN,
                password=password,
                dbname=ADMIN_DATABASE,
                connect_timeout=int(ANSWER_TIMEOUT_S),
            ) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.Error:
            return False
    hosts = {"tap": cluster.tap_host, "czar": cluster.czar_host, "ingest": cluster.ingest_host}
    return answers(record.kind, hosts.get(record.kind, HOST), record.port)
