"""Workers and loads in processes of their own, with all failpoints armed: a test lets one go off by making its file."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from qserv.failpoints import VARIABLE
from schema.serialise import database_to_json
from tests.support.steps import failpoints

WORKER = """
import json, sys, threading
from pathlib import Path
import psycopg
from qserv.cluster import NODE_DATABASE, NodeAddress, Role, Secrets
from workers.factory import make_server
from workers.functions import install

given = json.loads(sys.argv[1])
node, secrets = NodeAddress(**given["node"]), Secrets.load(Path(given["home"]))
with psycopg.connect(node.postgres.conninfo(Role.LOADER, NODE_DATABASE, secrets), autocommit=True) as session:
    install(session)
server = make_server(node, secrets, Path(given["runs"]))
print(server.port, flush=True)
threading.Event().wait()
"""

LOAD = """
import asyncio, json, sys
from pathlib import Path
from ingest.load import LoadOptions, load_catalogue
from qserv.errors import QservError
from qserv.metadata.engine import make_engine
from schema.serialise import database_from_json

given = json.loads(sys.stdin.read())
files = {table: [Path(path)] for table, path in given["files"].items()}
load = load_catalogue(make_engine(given["url"]), given["secret"], database_from_json(given["database"]), files,
                      options=LoadOptions(**given["options"]))
try:
    asyncio.run(load)
except QservError as error:
    sys.exit(f"{error.code}: {error}")
"""


class Tokens:
    """The files of all failpoints."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.environment = os.environ | {VARIABLE: ";".join(f"{name}=kill:{directory / name}" for name in failpoints())}

    def arm(self, name: str) -> None:
        """Let the next process that comes to a point die there."""
        (self._directory / name).touch()

    def went_off(self, name: str) -> bool:
        """Whether a process came there."""
        return not (self._directory / name).exists()

    def disarm(self) -> None:
        """Let none die any more."""
        for path in self._directory.iterdir():
            path.unlink()


class KillableWorker:
    """A worker that is started again whenever it dies, as the launcher does."""

    def __init__(self, node, home: Path, runs: Path, tokens: Tokens) -> None:
        self._given = {"node": asdict(node), "home": str(home), "runs": str(runs)}
        self._tokens = tokens
        self._closed = False
        self._start()
        self._given["node"]["worker_port"] = self.port
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        words = [sys.executable, "-c", WORKER, json.dumps(self._given)]
        self.process = subprocess.Popen(words, env=self._tokens.environment, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        self.port = int(line) if line else self.port

    def _watch(self) -> None:
        while True:
            self.process.wait()
            self.process.stdout.close()
            if self._closed:
                return
            self._start()

    def kill(self) -> None:
        """Kill it; it is started again."""
        self.process.kill()

    def close(self) -> None:
        """End it."""
        self._closed = True
        self.process.kill()
        self._thread.join()


def load_in_process(archive, database, files, tokens: Tokens, **options) -> subprocess.CompletedProcess:
    """Load files in a process that dies where it comes to an armed point."""
    given = {
        "url": archive.engine.url.render_as_string(hide_password=False),
        "secret": archive.secrets.cluster.get_secret_value(),
        "database": database_to_json(database),
        "files": {table: str(path) for table, path in files.items()},
        "options": options,
    }
    words = [sys.executable, "-c", LOAD]
    return subprocess.run(words, input=json.dumps(given), env=tokens.environment, capture_output=True, text=True, check=False)
