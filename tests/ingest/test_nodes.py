"""Work on nodes: what has begun is waited for, whatever happens to its caller."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.nodes import Nodes, all_or_first_error
from qserv.errors import IngestError
from qserv.metadata.nodes import Node
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.anyio


@pytest.fixture
def nodes():
    node = Node("one", "127.0.0.1", 1, 2)
    with ThreadPoolExecutor(2) as pool:
        yield Nodes([node], "secret", {"one": None}, {"one": pool})


async def test_the_first_error_comes_when_all_that_had_begun_is_over(nodes):
    begun, go_on, done = threading.Semaphore(0), threading.Event(), []

    def long(_client):
        begun.release()
        go_on.wait(PATIENCE_S)
        done.append("long")

    async def failing():
        for _ in range(2):
            await asyncio.to_thread(begun.acquire, timeout=PATIENCE_S)
        msg = "the group is over"
        raise IngestError(msg)

    # A node does two things at a time: the third has not begun, and is cancelled at once. The others go on for a while.
    calls = [asyncio.ensure_future(nodes.call("one", long)) for _ in range(3)]
    calls[-1].add_done_callback(lambda _: threading.Timer(0.1, go_on.set).start())
    # One group within another: the inner calls are cancelled twice.
    inner = all_or_first_error(calls)
    with pytest.raises(IngestError):
        await all_or_first_error([failing(), inner])
    assert done == ["long", "long"]
