"""A worker whose connections to PostgreSQL are cut or stall."""

import contextlib
import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qserv.errors import NodeUnavailableError, QueryCancelledError
from tests.czar.failures.proxy import Proxy
from tests.czar.failures.stages import MIDDLE_BYTES
from tests.czar.failures.survey import COPIES, ONCE
from tests.support.waiting import PATIENCE_S, until
from workers.client import WorkerClient
from workers.factory import make_server
from workers.protocol import ChunkQuery, ChunkTask

NODE = "node-2"

SILENCE_S = 3.0

NUMBERS = itertools.count()


@dataclasses.dataclass
class Behind:
    """A worker, and the way between it and its PostgreSQL."""

    client: WorkerClient
    proxy: Proxy
    tables: list
    threads: ThreadPoolExecutor

    def begin(self, query_id=None):
        """Ask for copies of all points of the node; return the future of how many there were of each."""
        tasks = tuple(ChunkTask(number, {"t": table}) for number, table in enumerate(self.tables))
        template = f'SELECT p.point_id FROM {{t}} AS p, "{ONCE}"."copies"'  # noqa: S608 (a test's own text)
        query = ChunkQuery(query_id or f"behind-{next(NUMBERS)}", template, tasks, 60.0)

        def read():
            with self.client.query(query) as answer:
                found = [batch["point_id"].to_numpy() for batch, _ in answer]
            return np.unique(np.concatenate(found), return_counts=True)[1]

        return self.threads.submit(read)

    def check(self):
        counts = self.begin().result(PATIENCE_S)
        assert len(counts) > 0
        assert set(counts.tolist()) == {COPIES}


@pytest.fixture
def behind(battered, tmp_path):
    node = battered.cluster.node(NODE)
    tables = battered.chunk_tables(ONCE, "points", NODE)
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(contextlib.closing(Proxy(node.postgres_port)))
        reached = dataclasses.replace(node, worker_port=0, postgres_port=proxy.port)
        server = stack.enter_context(contextlib.closing(make_server(reached, battered.secrets, tmp_path, silence_s=SILENCE_S)))
        token = battered.secrets.cluster.get_secret_value()
        client = stack.enter_context(WorkerClient(node.host, server.port, token))
        one = Behind(client, proxy, tables, stack.enter_context(ThreadPoolExecutor(1)))
        one.check()
        yield one
        one.check()


@pytest.mark.parametrize("how", ["RST", "FIN"])
def test_a_cut_connection_is_a_node_that_cannot_answer(behind, how):
    with behind.proxy.held_after(MIDDLE_BYTES):
        answer = behind.begin()
        until(lambda: behind.proxy.is_held)
        behind.proxy.cut(how)
    with pytest.raises(NodeUnavailableError, match="PostgreSQL of this node does not answer"):
        answer.result(PATIENCE_S)


def test_postgresql_that_falls_silent_is_noticed(behind):
    with behind.proxy.held_after(MIDDLE_BYTES):
        answer = behind.begin()
        with pytest.raises(NodeUnavailableError, match="PostgreSQL of this node does not answer"):
            answer.result(PATIENCE_S)


def test_a_query_that_computes_in_silence_is_waited_for(battered, behind):
    with battered.locked(behind.tables[0], NODE) as wait:
        answer = behind.begin()
        wait()
        # Asked whether it lives some times, PostgreSQL answers.
        with pytest.raises(TimeoutError):
            answer.result(2.5 * SILENCE_S)
    assert set(answer.result(PATIENCE_S).tolist()) == {COPIES}


def test_a_cancel_does_not_wait_for_postgresql(behind):
    with behind.proxy.held_after(MIDDLE_BYTES):
        answer = behind.begin("to-cancel")
        until(lambda: behind.proxy.is_held)
        assert behind.client.cancel("to-cancel") == 1
        with pytest.raises(QueryCancelledError):
            answer.result(PATIENCE_S)
