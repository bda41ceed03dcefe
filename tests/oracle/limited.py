"""The czar's service with little memory: it is asked over HTTP, and watched for what it holds meanwhile."""

import contextlib
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from czar.service.client import Czar
from qserv.embedded.processes import run_records
from qserv.errors import QservError
from tests.oracle.sums import Sums

MEGABYTE = 1_000_000

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

SMALL = {"result_spill_bytes": 4 * 1024 * 1024, "merge_memory_bytes": 96 * MEGABYTE, "max_merge_bytes": 48 * MEGABYTE}
"""Settings for a czar of 256 MB, of which Python and the libraries take some 110."""

FEW_ROWS = 20_000
"""Answers with more are compared by sums of their columns: as Python's values, a million rows would take minutes."""

LOOK_S = 0.02
"""How often it is looked at how much memory the czar holds."""


def rows_file(directory, name):
    """Return where the rows of an answer are."""
    return directory / f"{quote(name, safe='')}.arrow"


@dataclass(frozen=True)
class Told:
    """What a query came to."""

    name: str
    rows: int = 0
    error: str = ""
    """Empty if there is an answer."""
    schema: pa.Schema | None = None
    columns = ()
    """Over HTTP, an answer has none but the fields of its schema."""
    sums: tuple[Sums, ...] = ()
    """Of each column."""


def ask(czar, name, entry, directory):
    """Ask a czar an entry of the corpus. The rows of the answer, while they are few, are left in the directory, by its name."""
    try:
        with czar.answer(entry.query, dialect=entry.dialect) as found:
            rows, sums = 0, [Sums.of(field.type) for field in found.schema]
            with rows_file(directory, name).open("wb") as file, pa.ipc.new_stream(file, found.schema) as kept:
                for batch in found:
                    rows += batch.num_rows
                    sums = [before + column for before, column in zip(sums, batch.columns, strict=True)]
                    if rows <= FEW_ROWS:
                        kept.write_batch(batch)
            return Told(name, rows, schema=found.schema, sums=tuple(sums))
    except QservError as reason:
        return Told(name, error=f"{reason.code}: {reason}")


@contextlib.contextmanager
def watched_czar(home, limit_bytes):
    """Give a client of the czar's service of a home, and what tells how much memory it held at most since that was last asked.

    The service is killed when it holds more than the limit: the disk and the other tests are to be spared.
    """
    (czar,) = (record.process.pid for record in run_records(home) if record.kind == "czar")
    most, over = [0], threading.Event()

    def watch():
        while not over.wait(LOOK_S):
            most[0] = max(most[0], held_bytes(czar))
            if most[0] > limit_bytes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(czar, signal.SIGKILL)
                return

    def most_bytes():
        found, most[0] = most[0], 0
        return max(found, held_bytes(czar))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with Czar.of_home(home) as client:
            yield client, most_bytes
    finally:
        over.set()
        watching.join()


def held_bytes(pid):
    """Return the memory that a process holds now, without the pages of files such as its libraries, which the system takes back;
    0 of one that has ended.

    No limit of the system says the same: address space (RLIMIT_AS) and writable mappings (RLIMIT_DATA) count what threads and
    allocators reserve and never touch, more than a gigabyte before the first query.
    """
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        _, resident, of_files, *_ = map(int, Path(f"/proc/{pid}/statm").read_bytes().split())
        return (resident - of_files) * PAGE_BYTES
    return 0
