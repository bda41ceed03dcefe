"""A czar in a process of its own with little memory: it answers queries, and says how many rows they had."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.errors import QservError

MEGABYTE = 1_000_000

SMALL = {"result_spill_bytes": 4 * 1024 * 1024, "merge_memory_bytes": 48 * MEGABYTE}
"""Settings for a czar of 256 MB, of which Python and the libraries take some 90."""


@dataclass(frozen=True)
class Told:
    """What a query came to."""

    name: str
    rows: int
    error: str
    """Empty if there is an answer."""


def answer(settings, queries, out):
    """Answer queries (name, statement) one after another; send what they came to."""
    asyncio.run(_answer(settings, queries, out))


async def _answer(settings, queries, out):
    cluster = Cluster.load(settings.home)
    session = await Session.open(cluster, Secrets.load(settings.home), settings)
    for name, statement in queries:
        rows, error = 0, ""
        try:
            found = await session.query(statement)
            async for batch in found.batches():
                rows += batch.num_rows
        except QservError as reason:
            error = f"{reason.code}: {reason}"
        out.send(Told(name, rows, error))
    await session.close()


def held_bytes(pid):
    """Return the memory that a process holds now, without the pages of files such as its libraries, which the system takes back.

    No limit of the system says the same: address space (RLIMIT_AS) and writable mappings (RLIMIT_DATA) count what threads and
    allocators reserve and never touch, more than a gigabyte before the first query.
    """
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
