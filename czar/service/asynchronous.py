"""Routes of asynchronous queries."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated
from uuid import UUID

import pyarrow as pa
from fastapi import APIRouter, Query
from starlette.responses import FileResponse, Response, StreamingResponse

from czar.service.answers import Asking
from czar.service.encoding import ENCODERS, MEDIA_TYPES
from czar.service.facts import job_info
from czar.service.jobs import Jobs
from czar.service.models import MAX_WAIT_S, JobInfo, JobRequest, ResultFormat
from czar.service.parts import Parts
from qserv.api.app import User
from qserv.api.errors import error_of
from qserv.api.messages import ANONYMOUS
from qserv.errors import QueryValueError
from qserv.metadata.jobs import Job, JobState

LOOK_S = 0.2
"""How often a waited-for job is looked at: its end may be on another czar."""

LISTED_JOBS = 1000
"""Jobs of one list at the most."""


def job_router(parts: Parts) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])
    asking, jobs = parts.asking, parts.jobs

    @router.post("", status_code=201)
    async def submit(request: JobRequest, user: User = ANONYMOUS) -> JobInfo:
        """Queue a query. It runs on its own, also when the client goes away or a czar is started anew."""
        # A query that could not even be planned is told at once.
        tree = await asking.read(request.query, request.dialect)
        await asking.session.explain(tree, dialect=request.dialect, text=request.query)
        job = await jobs.submit(user, request.dialect, request.query, min(request.max_rows or parts.max_rows, parts.max_rows))
        parts.runner.wake()
        return job_info(job)

    @router.get("")
    async def listed(
        owner: str | None = None,
        state: Annotated[list[JobState] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=LISTED_JOBS)] = 100,
    ) -> list[JobInfo]:
        """List jobs, the newest first."""
        return [job_info(job) for job in await jobs.list(owner, state or [], limit)]

    @router.get("/{job_id}")
    async def one_job(job_id: UUID, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0) -> JobInfo:
        """Tell the state of a job; with `wait_s`, as soon as it has ended or so many seconds are over."""
        return job_info(await _waited(jobs, job_id, wait_s))

    @router.post("/{job_id}/cancel")
    async def cancel(job_id: UUID) -> JobInfo:
        """Stop a job. On another czar it goes on for up to a second."""
        job = await jobs.cancel(job_id)
        _stop_here(asking, job)
        return job_info(job)

    @router.delete("/{job_id}", status_code=204)
    async def delete(job_id: UUID) -> None:
        """Stop a job and delete it with its result."""
        job = await jobs.read(job_id)
        await jobs.remove(job_id)
        _stop_here(asking, job)
        if job.state.ended:
            parts.results.remove(job_id)

    return router


def result_router(parts: Parts) -> APIRouter:
    """Return the route of results."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.get(
        "/{job_id}/result",
        response_class=Response,
        responses={200: {"description": "The rows.", "content": {media: {} for media in MEDIA_TYPES.values()}}},
    )
    async def result(job_id: UUID, format: ResultFormat = "arrow") -> Response:  # noqa: A002 (the parameter's name in the URL)
        """Send the result of a completed job. As Arrow IPC it may be asked for in ranges."""
        job = await parts.jobs.read(job_id)
        if job.error is not None and job.state is not JobState.COMPLETED:
            raise error_of(job_info(job).error)  # type: ignore[arg-type]  # it has one
        if job.state is not JobState.COMPLETED:
            msg = f"job {job_id} has no result: it is {job.state.value}; ask for its state until it is completed"
            raise QueryValueError(msg)
        path = parts.results.whole(job_id, job.attempt)
        if format == "arrow":
            return FileResponse(path, media_type=MEDIA_TYPES[format], filename=f"{job_id}.arrows")
        return StreamingResponse(_as_parquet(path), media_type=MEDIA_TYPES[format])

    return router


def _stop_here(asking: Asking, job: Job) -> None:
    """Stop a job at once where it runs in this process."""
    if job.query_id is not None and (execution := asking.session.running.get(job.query_id)):
        execution.cancel()


async def _waited(jobs: Jobs, job_id: UUID, wait_s: float) -> Job:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + wait_s
    while True:
        job = await jobs.read(job_id)
        if job.state.ended or loop.time() >= deadline_s:
            return job
        await asyncio.sleep(min(LOOK_S, max(deadline_s - loop.time(), 0)))


async def _as_parquet(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        reader = await asyncio.to_thread(pa.ipc.open_stream, file)
        encoder = ENCODERS["parquet"](reader.schema)
        while (batch := await asyncio.to_thread(_next, reader)) is not None:
            if piece := await asyncio.to_thread(encoder.rows, batch):
                yield piece
        yield await asyncio.to_thread(encoder.tail)


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None
