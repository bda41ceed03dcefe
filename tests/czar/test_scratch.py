"""The scratch database, beside what the tests of aggregates and of the oracle ask of it."""

import pytest

from czar.scratch import Scratch
from czar.statements import BATCH_BYTES
from qserv.cluster import SCRATCH_DATABASE, Role


@pytest.fixture
def work(postgres_cluster):
    metadata, secrets = postgres_cluster.cluster.metadata, postgres_cluster.secrets
    scratch = Scratch(*(metadata.conninfo(role, SCRATCH_DATABASE, secrets) for role in (Role.SCRATCH, Role.METADATA)))
    scratch.prepare()
    work = scratch.workspace(60)
    yield work
    # The workspace lets go of its connection in a thread of its own, which is then closed at once.
    work.close()
    scratch.close()


def test_what_is_compressed_on_disk_counts_as_the_text_it_is(work):
    made = work.make("long", "SELECT REPEAT('x', 1000000) AS c FROM GENERATE_SERIES(1, 20)", ["c"], 10**9)
    assert made.rows == 20
    assert made.size_bytes < 1e6
    assert work.text_bytes("long") >= 20e6


def test_a_column_may_be_called_as_it_is_called_inside(work):
    work.make("named", "SELECT 1 AS t, REPEAT('x', 1000) AS c", ["t", "c"], 10**9)
    assert work.text_bytes("named") >= 1000


def test_no_rows_have_no_bytes(work):
    work.make("empty", "SELECT 1 AS c WHERE FALSE", ["c"], 10**9)
    assert work.text_bytes("empty") == 0


def test_long_texts_come_a_few_at_a_time(work):
    sizes = [batch.nbytes for batch in work.ask("SELECT REPEAT('x', 1000000) AS c FROM GENERATE_SERIES(1, 20)")]
    assert sum(sizes) >= 20e6
    assert max(sizes) <= BATCH_BYTES + 1.1e6
