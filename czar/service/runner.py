"""Runs asynchronous queries, a few at a time, and writes their results."""

import asyncio
import contextlib
from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import structlog

from czar.service.answers import Asking, rows_of
from czar.service.facts import job_error
from czar.service.jobs import Jobs
from czar.service.results import Results
from qserv.errors import KeptResultsError, MetadataError, QueryCancelledError
from qserv.metadata.jobs import Job, JobEnd, JobState

JOBS_AT_A_TIME = 4
"""Asynchronous queries of one czar that run together: they scan, and more of them would only wait for the same disks."""

POLL_S = 1.0
"""How often a czar looks for jobs that others submitted or left; its own it begins at once."""

SWEEP_S = 60.0
"""How often expired results are looked for, unless they are kept for less."""

log = structlog.get_logger("czar.jobs")


class JobRunner:
    """Runs the jobs that this czar can read, from `start` to `close`."""

    def __init__(self, asking: Asking, jobs: Jobs, results: Results) -> None:
        self._asking, self._jobs, self._results = asking, jobs, results
        self._wake = asyncio.Event()
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._written_bytes: Counter[str] = Counter()
        """Bytes of the results that are being written, by user."""
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to run jobs."""
        self._loop = asyncio.create_task(self._look_for_jobs())

    def wake(self) -> None:
        """Look for jobs now."""
        self._wake.set()

    async def close(self) -> None:
        """Stop, and hand the jobs that run back to the queue."""
        if self._loop is not None:
            self._loop.cancel()
        tasks = [*self._running.values(), *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_for_jobs(self) -> None:
        loop = asyncio.get_running_loop()
        every_s = min(SWEEP_S, self._jobs.keep_s)
        swept_s = -every_s
        while True:
            self._wake.clear()
            try:
                while len(self._running) < JOBS_AT_A_TIME and (job := await self._next()):
                    self._running[job.job_id] = asyncio.create_task(self._run(job))
                if loop.time() - swept_s > every_s:
                    await self._sweep()
                    swept_s = loop.time()
            except MetadataError as error:
                log.warning("no jobs can be looked for", reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def _next(self) -> Job | None:
        return await self._jobs.next(self._asking.session.czar_id, self._asking.dialects)

    async def _sweep(self) -> None:
        """Delete what has expired."""
        for job_id in await self._jobs.take_expired(list(self._results.jobs())):
            self._results.remove(job_id)

    async def _run(self, job: Job) -> None:
        try:
            await self._end(job, await self._attempt(job))
        except asyncio.CancelledError:
            with contextlib.suppress(MetadataError):
                await self._jobs.hand_back(job)
            raise
        finally:
            self._running.pop(job.job_id, None)
            self.wake()

    async def _attempt(self, job: Job) -> JobEnd:
        """Run a job and return how it ended, the result written."""
        log.info("job begins", job_id=str(job.job_id), attempt=job.attempt)
        try:
            return await self._written(job)
        except QueryCancelledError as error:
            return JobEnd(JobState.CANCELLED, self._jobs.keep_s, error=job_error(error))
        except Exception as error:
            log.warning("job failed", job_id=str(job.job_id), reason=str(error), exc_info=not hasattr(error, "code"))
            return JobEnd(JobState.FAILED, self._jobs.keep_s, error=job_error(error))

    async def _written(self, job: Job) -> JobEnd:
        answer = await self._asking.ask(job.text, job.dialect, job.owner, job.max_rows, job.query_id, patient=True)
        execution = self._asking.session.running.get(job.query_id) if job.query_id else None
        end = JobEnd(JobState.COMPLETED, self._jobs.keep_s)
        room_bytes, written_bytes = await self._jobs.room_bytes(job.owner), 0
        try:
            with self._results.writing(job.job_id, job.attempt, answer.schema) as file:
                async with aclosing(rows_of(answer, job.max_rows)) as batches:
                    async for batch, overflow in batches:
                        written_bytes += batch.nbytes
                        self._written_bytes[job.owner] += batch.nbytes
                        if self._written_bytes[job.owner] > room_bytes:
                            raise self._jobs.no_room(job.owner)
                        await asyncio.to_thread(file.write, batch)
                        end = replace(end, overflow=overflow)
        finally:
            self._written_bytes[job.owner] -= written_bytes
            await answer.close()
        chunks = execution.progress.chunk_count if execution else 0
        return replace(end, chunk_count=chunks, row_count=file.rows, byte_count=file.size_bytes)

    async def _end(self, job: Job, end: JobEnd) -> None:
        """Write how a job ended, as soon as the metadata database answers."""
        while True:
            try:
                ours = await self._jobs.finish(job, end)
                break
            except KeptResultsError as error:
                end = JobEnd(JobState.FAILED, self._jobs.keep_s, error=job_error(error))
            except MetadataError as error:
                log.warning("the end of a job cannot be written yet", job_id=str(job.job_id), reason=str(error))
                await asyncio.sleep(POLL_S)
        log.info("job ended", job_id=str(job.job_id), state=end.state if ours else "given to another czar meanwhile")
        if ours:
            self._results.remove(job.job_id, but=job.attempt if end.state is JobState.COMPLETED else None)
        else:
            self._results.path(job.job_id, job.attempt).unlink(missing_ok=True)
