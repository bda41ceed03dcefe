"""What a query may leave behind, looked for on every node, on the metadata server and in the czar's process."""

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path

import psycopg

from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, SCRATCH_DATABASE, Role
from tests.support.waiting import PATIENCE_S

BACKENDS = """
    SELECT usename || ' in ' || datname || ' ' || state || ': ' || left(query, 60) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle' AND usename = ANY(%s)
"""
"""Sessions that run a statement or hold a transaction, and with it its cursors."""

TABLES = "SELECT nspname || '.' || relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE relpersistence = 't'"

FILES = "SELECT name FROM pg_ls_tmpdir()"
"""Files of sorts and hashes."""

THREADS = ("dispatch-", "cancel-")
"""Names of a czar's threads that serve one query."""


class Leftovers:
    """Looks for what queries left behind on a cluster and in this process.

    Parameters
    ----------
    cluster, secrets
        Of the cluster.
    directory
        Where the czar in this process keeps its temporary files.
    """

    def __init__(self, cluster, secrets, directory):
        self._home, self.directory = cluster.home, directory
        self._servers = [
            *((node.node, node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, secrets)) for node in cluster.nodes),
            ("scratch", cluster.metadata.conninfo(Role.ADMIN, SCRATCH_DATABASE, secrets)),
            ("metadata", cluster.metadata.conninfo(Role.ADMIN, METADATA_DATABASE, secrets)),
        ]
        self._processes, self._files = self._commands(), _nameless_files()

    def found(self):
        """Return what is left behind, as texts."""
        now = self._commands()
        found = [f"process {one}" for one in (now - self._processes) + (self._processes - now)]
        for server, conninfo in self._servers:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                for sql in (TABLES, FILES):
                    found += [f"{server}: {row[0]}" for row in connection.execute(sql)]
                found += [
                    f"{server}: {row[0]}" for row in connection.execute(BACKENDS, [[Role.READER, Role.SCRATCH, Role.PROVENANCE]])
                ]
        found += [f"thread {thread.name}" for thread in threading.enumerate() if thread.name.startswith(THREADS)]
        found += [f"file {path}" for path in self.directory.rglob("*") if path.is_file()]
        return found + [f"nameless file {number}" for number in _nameless_files() - self._files]

    def wait_none(self, within_s=PATIENCE_S):
        """Return once nothing is left; fail with what is left after so many seconds."""
        deadline = time.monotonic() + within_s
        while found := self._look():
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    def _look(self):
        try:
            return self.found()
        except psycopg.OperationalError as error:
            return [str(error)]  # a server that is about to be back

    def _commands(self):
        """Count the processes that were started for the cluster, by their command lines, which name its home."""
        found = Counter()
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[command] += str(self._home) in command
        return +found


def _nameless_files():
    """Return the temporary files of this process that have no name, as those of chunks have not, by their numbers."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(path.readlink()).endswith("(deleted)"):
                found.add(path.stat().st_ino)
    return found
