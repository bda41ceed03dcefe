"""``python -m ingest.readers``: takes files for an ingest service, which says which ones over standard input, until it closes that.

The service may die at any moment: this process ends then, whatever it does. What it sent counts once that is written down.
"""

import asyncio
import os
import pickle
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import IO

import structlog

from ingest.nodes import connected_nodes
from ingest.provenance import Load
from ingest.readers.messages import Job, Reading, Taken, packed, plain_error
from ingest.rejects import Rejects
from ingest.report import Progress
from ingest.sending import Placement, Sender
from ingest.taking import Taking, Where
from qserv.api.errors import INTERNAL
from qserv.errors import InternalError, QservError
from qserv.metadata.engine import make_engine
from qserv.serving import log_to_stderr
from qserv.settings import Settings
from schema.types import row_schema

CONNECTIONS = 1
"""To the metadata database, which has few: whoever looks up keys waits until a run is written down."""

log = structlog.get_logger("ingest.readers")


class Reader:
    """Takes one job after the other, and tells how far it is."""

    def __init__(self, reading: Reading, silence_s: float, answers: IO[bytes]) -> None:
        self._reading, self._silence_s, self._answers = reading, silence_s, answers

    def answer(self, message: object) -> None:
        """Send a message."""
        self._answers.write(packed(message))
        self._answers.flush()

    async def run(self, jobs: "asyncio.Queue[Job]") -> None:
        """Take jobs, for ever."""
        reading = self._reading
        engine = make_engine(reading.metadata_url, self._silence_s, CONNECTIONS)
        load = Load(engine, reading.transaction_id, reading.load)
        where = Where(engine, reading.family, reading.staging, load, reading.run_bytes)
        async with connected_nodes(reading.nodes, reading.secret) as nodes:
            placement = Placement(reading.family.name, nodes, reading.replicas)
            while True:
                job = await jobs.get()
                sender = Sender(nodes, reading.transaction_id, reading.table_id, row_schema(reading.table), placement)
                try:
                    self.answer(await self._taken(where, sender, job))
                except QservError as error:
                    self.answer(plain_error(error))
                except Exception:  # a mistake of ours
                    log.exception("files could not be taken")
                    self.answer(InternalError(INTERNAL))

    async def _taken(self, where: Where, sender: Sender, job: Job) -> Taken:
        reading = self._reading
        none, of_parts = Rejects(Path(reading.table.name), 0), Counter[int]()
        async with Taking(reading.table, sender, where, self._tell, trusting=reading.trusting) as taking:
            for part in job:
                before = taking.rows
                await taking.take(part, none)
                if not part.whole and part.contribution_id is not None:
                    of_parts[part.contribution_id] += taking.rows - before
            await taking.flush()
        return Taken(taking.rows, of_parts, sender.chunks, taking.orphans)

    def _tell(self, progress: Progress) -> None:
        self.answer(progress.done)


async def _run(reader: Reader, source: IO[bytes]) -> None:
    jobs: asyncio.Queue[Job] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def receive() -> None:
        while True:
            try:
                job = pickle.load(source)  # noqa: S301 (of who started this process: nobody else has the pipe)
            except EOFError:
                os._exit(0)  # at once: there is no service any more, and this must not write anything down
            except BaseException:  # of a service that died in the middle of a word, or is of another version
                log.exception("a message cannot be read")
                os._exit(1)
            loop.call_soon_threadsafe(jobs.put_nowait, job)

    threading.Thread(target=receive, daemon=True).start()
    await reader.run(jobs)


def main() -> None:
    """Take files until there is no service."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the service ends its readers
    settings = Settings.load()
    log_to_stderr(settings.log_level)
    reading: Reading = pickle.load(sys.stdin.buffer)  # noqa: S301 (as above)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
        asyncio.run(_run(Reader(reading, settings.metadata_silence_s, answers), sys.stdin.buffer))


if __name__ == "__main__":
    main()
