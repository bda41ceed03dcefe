"""Stages of a query at which it is held, so that something can happen to it there; found by what is seen, not by time.

Each takes an `ExitStack` that lets the query go on, asks a query, and returns that and the future of its answer.
"""

import contextlib
import threading

from tests.czar.failures.survey import FINISHED, SCAN, STEPS
from tests.support.waiting import PATIENCE_S, until

MIDDLE_BYTES = 300_000
"""Of an answer: more than its first batch, less than its first chunk."""

END_BYTES = 1_000
"""Before the end of an answer: less than its last batch."""


def before_the_stream(hold, battered, database, node):
    """PostgreSQL computes the first rows of each chunk of a node."""
    wait = hold.enter_context(held_chunks(battered, database, node, 0))
    answer = battered.begin(SCAN.format(database=database))
    wait()
    return SCAN, answer


def between_chunks(hold, battered, database, node):
    """A node has sent its first chunk, and computes the others."""
    wait = hold.enter_context(held_chunks(battered, database, node, 1))
    answer = battered.begin(SCAN.format(database=database))
    wait()
    until(lambda: battered.execution().progress.chunks_done > 0)
    return SCAN, answer


def after_the_first_batch(hold, battered, database, _node):
    """The reader has a batch, and takes no other one."""
    read, go_on = threading.Event(), threading.Event()

    def pause():
        read.set()
        go_on.wait(PATIENCE_S)

    hold.callback(go_on.set)
    answer = battered.begin(SCAN.format(database=database), pause)
    assert read.wait(PATIENCE_S)
    return SCAN, answer


def inside_a_chunk(hold, battered, database, node):
    """A part of a chunk's rows has come."""
    proxy = battered.proxies[node]
    hold.enter_context(proxy.held_after(MIDDLE_BYTES))
    answer = battered.begin(SCAN.format(database=database))
    until(lambda: proxy.is_held or answer.done())
    return SCAN, answer


def at_the_end(hold, battered, database, node):
    """The last rows have come, their end mark has not."""
    proxy = battered.proxies[node]
    # Which node is asked for which chunk depends on the query where there are replicas: so one knows only of the same query.
    sizes = []
    for _ in range(2):
        before = proxy.answered_bytes
        battered.ask(SCAN.format(database=database))
        sizes.append(proxy.answered_bytes - before)
    hold.enter_context(proxy.held_after(min(sizes) - END_BYTES))
    answer = battered.begin(SCAN.format(database=database))
    until(lambda: proxy.is_held or answer.done())
    return SCAN, answer


def in_the_scratch_database(hold, battered, database, _node):
    """The partial sums of the chunks are about to be loaded."""
    wait = hold.enter_context(battered.locked("pg_class"))
    answer = battered.begin(FINISHED.format(database=database))
    wait()
    return FINISHED, answer


def in_a_later_step(hold, battered, database, node):
    """The rows of a step are there, and the nodes compute the next one."""
    wait = hold.enter_context(held_chunks(battered, database, node, 0))
    answer = battered.begin(STEPS.format(database=database))
    wait()
    return STEPS, answer


@contextlib.contextmanager
def held_chunks(battered, database, node, first):
    """Hold up whoever reads points of a node, from some chunk on."""
    tables = battered.chunk_tables(database, "points", node)[first:]
    with battered.locked(", ".join(tables), node) as wait:
        yield wait


STAGES = {
    stage.__name__: stage
    for stage in (
        before_the_stream,
        between_chunks,
        after_the_first_batch,
        inside_a_chunk,
        at_the_end,
        in_the_scratch_database,
        in_a_later_step,
    )
}
