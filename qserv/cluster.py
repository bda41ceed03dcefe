"""What a running cluster consists of and where it listens, and the secrets to talk to it; both kept as files in its home.

A service gets ``--home`` and reads both: ``Cluster.load(home)``, ``Secrets.load(home)``.
"""

import dataclasses
import json
import os
import secrets as randomness
import urllib.parse
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import SecretStr

from qserv.errors import ClusterNotRunningError
from qserv.ids import NodeId

if TYPE_CHECKING:
    from sqlalchemy import URL

CLUSTER_FILE = "cluster.json"
"""Topology of the running cluster, in its home; removed by a clean stop."""

SECRETS_FILE = "secrets.json"
"""Passwords of a cluster, in its home, readable by its owner only; made once."""

SECRET_BYTES = 32
"""256 bits of randomness: no guessing, and no reason to limit attempts."""

NODE_DATABASE = "qserv"
"""PostgreSQL database of every node; each catalogue is a schema in it."""

METADATA_DATABASE = "qserv"
"""PostgreSQL database of the metadata, on the metadata server."""

PROVENANCE_SCHEMA = "provenance"
"""Schema of the metadata database with views of what users may see of committed transactions (``schema.provenance``)."""

SCRATCH_DATABASE = "scratch"
"""PostgreSQL database, on the metadata server, where final expressions of queries are computed over temporary tables."""


class Role(StrEnum):
    """PostgreSQL roles. `LOADER` and `READER` exist on nodes, `METADATA`, `SCRATCH` and `PROVENANCE` on the metadata server."""

    ADMIN = "qserv_admin"
    LOADER = "qserv_loader"
    READER = "qserv_reader"
    METADATA = "qserv_metadata"
    SCRATCH = "qserv_scratch"
    PROVENANCE = "qserv_provenance"


@dataclass(frozen=True)
class Secrets:
    """Password of each PostgreSQL role, and the bearer token that workers ask for. Never shown by ``repr``."""

    passwords: dict[Role, SecretStr]
    cluster: SecretStr

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read the secrets of a cluster.

        Raises
        ------
        ClusterNotRunningError
            The home has none: no cluster was ever started there.
        """
        try:
            document = json.loads((home / SECRETS_FILE).read_text())
        except FileNotFoundError:
            raise _no_cluster(home) from None
        return cls({Role(role): SecretStr(value) for role, value in document["passwords"].items()}, SecretStr(document["cluster"]))

    @classmethod
    def load_or_create(cls, home: Path) -> Self:
        """Read the secrets of a cluster; make at random, and keep, those that it has not yet."""
        file = home / SECRETS_FILE
        known = json.loads(file.read_text()) if file.exists() else {"passwords": {}}
        document = {
            "passwords": {role.value: randomness.token_urlsafe(SECRET_BYTES) for role in Role} | known["passwords"],
            "cluster": known.get("cluster") or randomness.token_urlsafe(SECRET_BYTES),
        }
        if document != known:
            _write(file, json.dumps(document, indent=1))
        return cls.load(home)


@dataclass(frozen=True)
class PostgresAddress:
    """Where a PostgreSQL server listens."""

    host: str
    port: int

    def conninfo(self, role: Role, database: str, secrets: Secrets) -> str:
        """Return a libpq URI for psycopg and ADBC. It holds the password: never log it."""
        password = urllib.parse.quote(secrets.passwords[role].get_secret_value(), safe="")
        return f"postgresql://{role.value}:{password}@{self.host}:{self.port}/{database}"

    def sqlalchemy_url(self, role: Role, database: str, secrets: Secrets) -> "URL":
        """Return a URL for SQLAlchemy with asyncpg. Its ``str`` hides the password."""
        from sqlalchemy import URL  # noqa: PLC0415 (heavy; most readers of a cluster need no SQLAlchemy)

        password = secrets.passwords[role].get_secret_value()
        return URL.create("postgresql+asyncpg", role.value, password, self.host, self.port, database)


@dataclass(frozen=True)
class NodeAddress:
    """Where a node's PostgreSQL and the worker beside it listen."""

    node: NodeId
    host: str
    postgres_port: int
    worker_port: int

    @property
    def postgres(self) -> PostgresAddress:
        """The node's PostgreSQL server."""
        return PostgresAddress(self.host, self.postgres_port)

    @property
    def worker_uri(self) -> str:
        """The worker's Arrow Flight location."""
        return f"grpc://{self.host}:{self.worker_port}"


@dataclass(frozen=True)
class Cluster:
    """Topology of a cluster. ``home`` is the directory of an embedded one."""

    mode: Literal["embedded"]
    home: Path
    metadata: PostgresAddress
    nodes: tuple[NodeAddress, ...]
    tap_host: str
    tap_port: int
    czar_host: str = "127.0.0.1"
    czar_port: int = 0
    ingest_host: str = "127.0.0.1"
    ingest_port: int = 0
    ingest_flight_port: int = 0

    def node(self, node: NodeId) -> NodeAddress:
        """Return the addresses of one node.

        Raises
        ------
        KeyError
            The cluster has no such node.
        """
        for address in self.nodes:
            if address.node == node:
                return address
        msg = f"no node {node} in this cluster; it has {', '.join(address.node for address in self.nodes)}"
        raise KeyError(msg)

    @property
    def tap_url(self) -> str:
        """URL of the TAP service, as a client on this machine uses it."""
        return f"http://{_reached(self.tap_host)}:{self.tap_port}/tap"

    @property
    def czar_url(self) -> str:
        """URL of the czar's API, as a client on this machine uses it."""
        return f"http://{_reached(self.czar_host)}:{self.czar_port}"

    @property
    def ingest_url(self) -> str:
        """URL of the ingest service, as a client on this machine uses it."""
        return f"http://{_reached(self.ingest_host)}:{self.ingest_port}"

    @property
    def ingest_flight_url(self) -> str:
        """Arrow Flight location of the ingest service, to which rows are sent, as a client on this machine uses it."""
        return f"grpc://{_reached(self.ingest_host)}:{self.ingest_flight_port}"

    def save(self) -> None:
        """Write ``cluster.json``, in one step, so that a reader sees all of it or the one before."""
        document = dataclasses.asdict(self) | {"home": str(self.home)}
        _write(self.home / CLUSTER_FILE, json.dumps(document, indent=1))

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read the topology of the cluster that runs in ``home``.

        Raises
        ------
        ClusterNotRunningError
            None was started there, or it was stopped.
        """
        try:
            document = json.loads((home / CLUSTER_FILE).read_text())
        except FileNotFoundError:
            raise _no_cluster(home) from None
        document["home"] = Path(document["home"])
        document["metadata"] = PostgresAddress(**document["metadata"])
        document["nodes"] = tuple(NodeAddress(**node) for node in document["nodes"])
        return cls(**document)


def _reached(host: str) -> str:
    """Return the address by which a service that listens on an address is reached from this machine."""
    return "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 (compared, not bound)


def _no_cluster(home: Path) -> ClusterNotRunningError:
    return ClusterNotRunningError(f"no cluster is running in {home}; start it with `qserv up`")


def _write(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner may read it."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
