"""A cluster of its own, because its parts die; a czar in this process that reaches the workers through proxies."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from czar.service.client import Czar
from czar.session import Session
from ingest.load import LoadOptions, load_catalogue
from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, SCRATCH_DATABASE, Cluster, Role, Secrets
from qserv.errors import NodeUnavailableError, QservError
from qserv.metadata.engine import make_engine
from qserv.settings import Settings
from qserv.supervisor import backoff
from qserv.supervisor.services import czar_services, worker_services
from qserv.supervisor.supervisor import embedded_cluster
from tests.czar.failures.leftovers import Leftovers
from tests.czar.failures.proxy import Proxy
from tests.czar.failures.survey import CHUNK_TARGET_ROWS, ONCE, STEPS, TWICE, database, is_right, rows
from tests.support.freezing import frozen, process_of
from tests.support.waiting import PATIENCE_S, until
from workers.client import WorkerClient

NODES = 2

SILENCE_S = 3.0
"""How long a worker may be silent here."""

METADATA_SILENCE_S = 2.0
"""And the metadata server."""


@dataclass
class Battered:
    """The cluster, and what a test does to it."""

    cluster: Cluster
    secrets: Secrets
    settings: Settings
    runner: asyncio.Runner
    proxies: dict
    """Between the czar and each worker."""
    session: Session
    leftovers: Leftovers
    threads: ThreadPoolExecutor

    def ask(self, query):
        """Return the answer of a query, in this thread."""
        return self.begin(query).result(PATIENCE_S)

    def begin(self, query, on_batch=lambda: None):
        """Ask a query in another thread; return the future of its answer. ``on_batch`` is called after each batch."""

        async def read():
            answer = await self.session.query(query)
            batches = []
            async for batch in answer.batches():
                batches.append(batch)
                await asyncio.to_thread(on_batch)
            return pa.Table.from_batches(batches, answer.schema)

        return asyncio.run_coroutine_threadsafe(read(), self.runner.get_loop())

    def execution(self):
        """Return the one query that runs."""
        (one,) = self.session.running.values()
        return one

    def process(self, name):
        """Return a process of the cluster by name, as ``node-1-worker``."""
        return process_of(self.cluster.home, name)

    def kill(self, name, number=signal.SIGKILL):
        """Let a process end by a signal; return it once it has ended: PostgreSQL takes a moment to end its sessions."""
        process = self.process(name)
        os.kill(process.pid, number)
        assert process.wait_end(PATIENCE_S)
        return process

    def frozen(self, name):
        """Keep a process, with those that it started, from doing anything."""
        return frozen(self.process(name))

    def admin(self, node=None, database=SCRATCH_DATABASE):
        """Return a session of the superuser, on a node or in a database of the metadata server."""
        metadata = self.cluster.metadata.conninfo(Role.ADMIN, database, self.secrets)
        uri = metadata if node is None else self.cluster.node(node).postgres.conninfo(Role.ADMIN, NODE_DATABASE, self.secrets)
        return psycopg.connect(uri, autocommit=True)

    @contextlib.contextmanager
    def locked(self, relation, node=None, database=SCRATCH_DATABASE):
        """Hold up whoever reads a table of a node, or of the metadata database; in the scratch database, whoever makes one.

        Yields a function that waits until somebody is held up.
        """
        makes = node is None and database == SCRATCH_DATABASE
        with self.admin(node, database) as holder, self.admin(node, database) as looker:
            holder.execute("BEGIN")
            holder.execute(f"LOCK TABLE {relation} IN {'SHARE' if makes else 'ACCESS EXCLUSIVE'} MODE")

            def wait(count=1):
                waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = ANY(%s)"
                roles = [Role.READER, Role.SCRATCH, Role.PROVENANCE]
                until(lambda: looker.execute(waiting, [roles]).fetchone()[0] >= count)

            yield wait
            with contextlib.suppress(psycopg.OperationalError):
                holder.execute("ROLLBACK")

    def chunk_tables(self, database, table, node):
        """Return the chunk tables of a node, quoted, in the order of their chunks."""
        sql = (
            "SELECT relname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace WHERE nspname = %s AND relkind = 'r'"
            " AND relname ~ %s"
        )
        with self.admin(node) as connection:
            names = [row[0] for row in connection.execute(sql, [database, f"^{table}_[0-9]+$"])]
        return [f'"{database}"."{name}"' for name in sorted(names, key=lambda name: int(name.rpartition("_")[2]))]

    def health(self, node):
        """Return what a worker says of itself; None if it does not answer."""
        address = self.cluster.node(node)
        with (
            contextlib.suppress(QservError),
            WorkerClient(address.host, address.worker_port, self.secrets.cluster.get_secret_value()) as client,
        ):
            return client.health()

    def wait_calls(self, node, count):
        """Return when a worker has so many chunk queries, whether their turn has come or not."""
        until(lambda: (found := self.health(node)) is not None and found["queries"] + found["waiting"] >= count)

    def wait_up(self):
        """Return when every process answers, and nothing is left of any query."""
        for node in self.cluster.nodes:
            until(lambda node=node: self.health(node.node) is not None)
        # Each czar tries a worker that was lost again twice a second: this one, and that of the service.
        query = STEPS.format(database=ONCE)
        until(lambda: not isinstance(self.begin(query).exception(PATIENCE_S), NodeUnavailableError))
        with Czar.of_home(self.cluster.home) as czar:
            until(lambda: not isinstance(failure_of(lambda: czar.query(query)), NodeUnavailableError))
        self.leftovers.wait_none()

    def check(self, query, answer):
        """Fail unless a query was answered rightly, or told clearly and retryably why not; return the error, or None."""
        error = answer.exception(PATIENCE_S)
        if error is None:
            assert is_right(query, answer.result())
        else:
            assert isinstance(error, QservError), repr(error)
            assert error.retryable, repr(error)
        return error


def failure_of(ask):
    """Return the error of the cluster that a call raises; None if it raises none."""
    try:
        ask()
    except QservError as error:
        return error
    return None


@pytest.fixture(scope="session")
def whole(cluster_home, tmp_path_factory):
    settings = Settings(
        home=cluster_home / "battered",
        nodes=NODES,
        tap_port=0,
        memory_share=0.1,
        worker_silence_s=SILENCE_S,
        metadata_silence_s=METADATA_SILENCE_S,
        node_return_s=0.0,  # what is lost is told at once
    )
    directory = tmp_path_factory.mktemp("czar")
    with (
        embedded_cluster(settings, services=lambda cluster: worker_services(cluster) + czar_services(cluster)) as cluster,
        asyncio.Runner() as runner,
        contextlib.ExitStack() as stack,
        ThreadPoolExecutor(1) as loop,
    ):
        secrets = Secrets.load(cluster.home)
        runner.run(_load(cluster, secrets, tmp_path_factory.mktemp("files")))
        proxies = {node.node: stack.enter_context(contextlib.closing(Proxy(node.worker_port))) for node in cluster.nodes}
        nodes = tuple(dataclasses.replace(node, worker_port=proxies[node.node].port) for node in cluster.nodes)
        with pytest.MonkeyPatch.context() as temporary:
            temporary.setattr(tempfile, "tempdir", str(directory))
            session = runner.run(Session.open(dataclasses.replace(cluster, nodes=nodes), secrets, settings))
        running = loop.submit(runner.get_loop().run_forever)
        battered = Battered(cluster, secrets, settings, runner, proxies, session, Leftovers(cluster, secrets, directory), loop)
        yield battered
        asyncio.run_coroutine_threadsafe(session.close(), runner.get_loop()).result(PATIENCE_S)
        runner.get_loop().call_soon_threadsafe(runner.get_loop().stop)
        running.result(PATIENCE_S)


@pytest.fixture
def battered(whole, monkeypatch):
    """The cluster, whole before and after each test: nothing is left, and every query is answered."""
    # However often a process dies here, it is soon back.
    monkeypatch.setattr(backoff, "LONGEST_DELAY_S", 0.5)
    yield whole
    whole.wait_up()
    for name in (ONCE, TWICE):
        assert is_right(STEPS, whole.ask(STEPS.format(database=name)))


async def _load(cluster, secrets, directory):
    files = {}
    for name, table in rows().items():
        files[name] = [directory / f"{name}.parquet"]
        pq.write_table(table, files[name][0])
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    token = secrets.cluster.get_secret_value()
    try:
        for name, replicas in ((ONCE, 1), (TWICE, 2)):
            options = LoadOptions(CHUNK_TARGET_ROWS, replicas)
            await load_catalogue(engine, token, database(name), files, options=options)
    finally:
        await engine.dispose()
