"""A czar in a process of its own with little memory: it answers queries, and says what their rows were."""

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from czar.session import Session
from qserv.cluster import Cluster, Secrets
from qserv.errors import QservError
from tests.oracle.sums import Sums

MEGABYTE = 1_000_000

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

SMALL = {"result_spill_bytes": 4 * 1024 * 1024, "merge_memory_bytes": 96 * MEGABYTE, "max_merge_bytes": 48 * MEGABYTE}
"""Settings for a czar of 256 MB, of which Python and the libraries take some 90."""

FEW_ROWS = 20_000
"""Answers with more are compared by sums of their columns: as Python's values, a million rows would take minutes."""


def rows_file(directory, name):
    """Return where the rows of an answer are."""
    return directory / f"{quote(name, safe='')}.arrow"


@dataclass(frozen=True)
class Told:
    """What a query came to."""

    name: str
    rows: int
    error: str
    """Empty if there is an answer."""
    schema: pa.Schema | None = None
    columns: tuple = ()
    sums: tuple[Sums, ...] = ()
    """Of each column."""


def answer(settings, queries, directory, out):
    """Answer queries (name, statement) one after another; send what they came to.

    The rows of an answer, while they are few, are left in the directory, by its name.
    """
    asyncio.run(_answer(settings, queries, directory, out))


async def _answer(settings, queries, directory, out):
    cluster = Cluster.load(settings.home)
    session = await Session.open(cluster, Secrets.load(settings.home), settings)
    for name, statement in queries:
        told = Told(name, 0, "")
        try:
            found = await session.query(statement)
            told = replace(told, schema=found.schema, columns=found.columns)
            sums = [Sums.of(field.type) for field in found.schema]
            with rows_file(directory, name).open("wb") as file, pa.ipc.new_stream(file, found.schema) as kept:
                async for batch in found.batches():
                    told = replace(told, rows=told.rows + batch.num_rows)
                    sums = [before + column for before, column in zip(sums, batch.columns, strict=True)]
                    if told.rows <= FEW_ROWS:
                        kept.write_batch(batch)
            told = replace(told, sums=tuple(sums))
        except QservError as reason:
            told = replace(told, error=f"{reason.code}: {reason}")
        out.send(told)
    await session.close()


def held_bytes(pid):
    """Return the memory that a process holds now, without the pages of files such as its libraries, which the system takes back.

    No limit of the system says the same: address space (RLIMIT_AS) and writable mappings (RLIMIT_DATA) count what threads and
    allocators reserve and never touch, more than a gigabyte before the first query.
    """
    _, resident, of_files, *_ = map(int, Path(f"/proc/{pid}/statm").read_bytes().split())
    return (resident - of_files) * PAGE_BYTES
