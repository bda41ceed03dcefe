"""A chunk's rows are handed on at its end mark: a worker that is lost inside a chunk leaves no row twice and none out."""

import contextlib
import uuid

import numpy as np
import pyarrow as pa
import pytest

from czar.buffer import ChunkBuffer
from czar.dispatch import Assignment, Dispatch
from czar.snapshot import Snapshot
from qserv.cluster import Secrets
from qserv.errors import NodeUnavailableError
from qserv.ids import NodeId
from workers.client import WorkerClient
from workers.protocol import ChunkQuery, ChunkTask

COPIES = 200_000
"""Of each row, so that every chunk is several batches."""

TEMPLATE = f"SELECT point_id, copy FROM {{t0}}, generate_series(1, {COPIES}) AS copy"  # noqa: S608 (a number of ours)

FLAKY = NodeId("flaky")


class FlakyClient:
    """A worker whose connection breaks inside the second chunk of each answer."""

    def __init__(self, client):
        self._client, self.cancel = client, client.cancel

    @contextlib.contextmanager
    def query(self, query):
        with self._client.query(query) as answer:
            yield FlakyAnswer(answer)


class FlakyAnswer:
    def __init__(self, answer):
        self._answer, self.schema, self.close = answer, answer.schema, answer.close

    def __iter__(self):
        ended = 0
        for batch, mark in self._answer:
            yield batch, mark
            if ended and not mark.end:
                message = "the connection broke"
                raise NodeUnavailableError(message)
            ended += mark.end


class UnheldDispatch(Dispatch):
    """Hands each batch on as it comes."""

    def _stream(self, node, assignments):
        tasks = tuple(assignment.task for assignment in assignments)
        query = ChunkQuery(query_id=self._query_id, template=self._template, tasks=tasks, timeout_s=60)
        with self._workers[node].query(query) as answer:
            self._schema = answer.schema
            self._schema_known.set()
            for batch, mark in answer:
                held = ChunkBuffer(batch.nbytes + 1)
                held.add(batch)
                yield held
                for chunk in mark.chunks if mark.end else ():
                    self._left.remove(chunk)


@pytest.fixture(scope="module")
def copies_of_points(loaded):
    """Ask one node for copies of its points, through a worker that is lost half-way and then through another one."""
    catalogue = loaded.runner.run(loaded.session.catalogue())
    entry = catalogue.find("edges", "points", quoted=True)
    node = loaded.cluster.nodes[0]
    placed, filled = catalogue.replicas["edges"], entry.chunks[entry.row_counts > 0].tolist()
    chunks = [chunk for chunk in filled if node.node in placed[chunk]][:3]
    relations = Snapshot().relations(entry, np.array(chunks), "")
    assignments = [
        Assignment(ChunkTask(chunk, {"t0": name}), (FLAKY, node.node)) for chunk, name in zip(chunks, relations, strict=True)
    ]
    with WorkerClient(node.host, node.worker_port, Secrets.load(loaded.cluster.home).cluster.get_secret_value()) as client:
        workers = {FLAKY: FlakyClient(client), node.node: client}

        def ask(kind):
            dispatch = kind(
                query_id=uuid.uuid4().hex,
                template=TEMPLATE,
                assignments=assignments,
                workers=workers,
                timeout_s=60,
                held_bytes=2**20,
            )
            found = pa.Table.from_batches(dispatch, dispatch.schema)
            return entry.rows_in(np.array(chunks)), {
                each["values"]: each["counts"] for each in found["point_id"].value_counts().to_pylist()
            }

        yield ask


def test_each_row_comes_once(copies_of_points):
    rows, found = copies_of_points(Dispatch)
    assert len(found) == rows
    assert set(found.values()) == {COPIES}


def test_holding_is_needed(copies_of_points):
    rows, found = copies_of_points(UnheldDispatch)
    assert len(found) == rows
    assert max(found.values()) > COPIES
