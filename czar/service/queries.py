"""Routes of queries whose answer is waited for, and of what runs now."""

from collections.abc import Awaitable
from uuid import UUID

import structlog
from fastapi import APIRouter
from starlette.responses import Response

from czar.service.answers import encoded
from czar.service.encoding import ENCODERS, MEDIA_TYPES
from czar.service.facts import query_info, young_query
from czar.service.models import QueryInfo, QueryRequest
from czar.service.parts import Parts
from czar.service.streaming import Opened, WatchedResponse
from qserv.api.app import User
from qserv.api.errors import error_info, status_of
from qserv.api.messages import ANONYMOUS, ErrorDocument
from qserv.errors import NoSuchJobError, QservError, QueryValueError

log = structlog.get_logger("czar.service")


def query_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["queries"])
    jobs, session = parts.jobs, parts.asking.session

    @router.post(
        "/query",
        response_class=Response,
        responses={200: {"description": "The answer.", "content": {media: {} for media in MEDIA_TYPES.values()}}},
    )
    async def query(request: QueryRequest, user: User = ANONYMOUS) -> Response:
        """Answer a query.

        Header `Qserv-Query-Id` names it in `/queries`. When the client goes away, the query is cancelled on the nodes. An answer
        that is broken off in the middle has failed; `/queries/{query_id}` says why.
        """
        return WatchedResponse(lambda: opened_or_error(_opened(parts, request, user)))

    @router.get("/queries")
    async def queries() -> list[QueryInfo]:
        """List what runs now on all czars, the oldest first."""
        # The log is some tenths of a second behind: of its own queries, this czar knows better.
        logged = {
            found.query_id: found
            for found in await jobs.running_queries()
            if found.czar_id != session.czar_id or found.query_id in session.running
        }
        young = {query_id: young_query(one) for query_id, one in session.running.items() if query_id not in logged}
        found = sorted((young | logged).values(), key=lambda one: one.submitted)
        return [query_info(one, session.running.get(one.query_id)) for one in found]

    @router.get("/queries/{query_id}")
    async def one_query(query_id: UUID) -> QueryInfo:
        """Tell how far a query is, or how it ended."""
        execution = session.running.get(query_id)
        if execution is None:
            await session.write_log()  # it may have ended a moment ago: then the log has its beginning at the most
        try:
            return query_info(await jobs.query(query_id), execution)
        except NoSuchJobError:
            if execution is None:
                raise
            return query_info(young_query(execution), execution)

    @router.post("/queries/{query_id}/cancel", status_code=204)
    async def cancel(query_id: UUID) -> None:
        """Stop a query, wherever it runs. One on another czar goes on for up to a second."""
        if execution := session.running.get(query_id):
            execution.cancel()
            return
        found = await jobs.query(query_id)
        if found.job_id is not None:
            await jobs.cancel(found.job_id)
        else:
            await jobs.cancel_query(query_id)

    return router


async def opened_or_error(opening: Awaitable[Opened]) -> Opened:
    """Begin to answer; an error before the first rows becomes a document."""
    try:
        return await opening
    except Exception as error:
        if not isinstance(error, QservError):
            log.exception("query failed")
        document = ErrorDocument(error=error_info(error)).model_dump_json()
        return Opened(status_of(error), "application/json", document.encode())


async def _opened(parts: Parts, request: QueryRequest, user: str) -> Opened:
    """Return the beginning of an answer, with its first rows."""
    if request.query_id in parts.asking.session.running:
        msg = f"there is a query {request.query_id} already; leave query_id out, or make a new one"
        raise QueryValueError(msg)
    # More rows than an answer may have are an error, unless its reader wants fewer: a cut that nobody asked for would go unseen.
    rows = request.max_rows if request.max_rows is not None and request.max_rows <= parts.max_rows else None
    answer = await parts.asking.ask(request.query, request.dialect, user, rows, request.query_id)
    try:
        body = encoded(answer, rows, ENCODERS[request.format](answer.schema))
        first = await anext(body)
    except BaseException:
        await answer.close()
        raise
    headers = {"Qserv-Query-Id": str(UUID(answer.query_id))}
    if answer.is_over:  # then the first piece is the only one
        await body.aclose()
        return Opened(200, MEDIA_TYPES[request.format], first, None, headers)
    return Opened(200, MEDIA_TYPES[request.format], first, body, headers)
