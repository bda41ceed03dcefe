"""Work on nodes: what has begun is waited for, whatever happens to its caller."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.nodes import Nodes, all_or_first_error
from qserv.errors import IngestError
from qserv.metadata.nodes import Node

pytestmark = pytest.mark.anyio


@pytest.fixture
def nodes():
    node = Node("one", "127.0.0.1", 1, 2)
    with ThreadPoolExecutor(2) as pool:
        yield Nodes([node], {"one": None}, {"one": pool})


async def test_the_first_error_comes_when_all_that_had_begun_is_over(nodes):
    go_on, done = threading.Event(), []

    def long(_client):
        go_on.wait(10)
        done.append("long")

    async def failing():
        await asyncio.sleep(0.05)
        threading.Timer(0.2, go_on.set).start()
        msg = "the group is over"
        raise IngestError(msg)

    # One group within another: the inner call is cancelled twice.
    inner = all_or_first_error([nodes.call("one", long), nodes.call("one", long), nodes.call("one", long)])
    with pytest.raises(IngestError):
        await all_or_first_error([failing(), inner])
    assert done == ["long", "long"]
