"""``/tap/sync``: a query in, its answer out (TAP 1.1, section 2.1)."""

import asyncio
from typing import TYPE_CHECKING

import structlog
from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from czar.parse import MAX_TEXT_BYTES
from czar.service.streaming import Opened, WatchedResponse
from qserv.errors import QservError, QueryValueError
from tap.adql.parse import parse_adql
from tap.answering import document
from tap.errors import error_answer
from tap.formats.encoder import Facts
from tap.formats.fields import fields_of
from tap.limits import Limits
from tap.parameters import QueryRequest, read_parameters, read_request

if TYPE_CHECKING:
    from czar.session import Session

THREAD_CHARACTERS = 20_000
"""Queries that are longer are parsed in a thread: at about 1 s a million characters, they would hold up all other requests."""

log = structlog.get_logger()


def sync_router(session: "Session", limits: Limits) -> APIRouter:
    """Return the routes of synchronous queries."""
    router = APIRouter()

    async def sync(request: Request) -> Response:
        try:
            pairs = await _pairs(request)
        except QservError as error:
            answer = error_answer(error)
            return Response(answer.body, answer.status, answer.headers, answer.media_type)
        return WatchedResponse(lambda: _open(session, limits, pairs))

    router.add_api_route("/tap/sync", sync, methods=["GET", "POST"])
    return router


async def _pairs(request: Request) -> list[tuple[str, str]]:
    """Return the parameters of the URL and of the form in the body."""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        try:
            async with request.form(max_part_size=MAX_TEXT_BYTES) as form:
                pairs += [
                    (name, value if isinstance(value, str) else value.filename or "file") for name, value in form.multi_items()
                ]
        except HTTPException as error:
            msg = f"the form in the request cannot be read: {error.detail}"
            raise QueryValueError(msg) from error
    return pairs


async def _open(session: "Session", limits: Limits, pairs: list[tuple[str, str]]) -> Opened:
    """Begin to answer a request; an error becomes its document."""
    try:
        request = read_request(read_parameters(pairs))
        log.info("query", text=request.query, run_id=request.run_id)
        return await answered(session, limits, request)
    except Exception as error:
        if not isinstance(error, QservError):
            log.exception("query failed")
        answer = error_answer(error)
        return Opened(answer.status, answer.media_type, answer.body, headers=answer.headers)


async def answered(session: "Session", limits: Limits, request: QueryRequest) -> Opened:
    """Run a query and return the beginning of its document.

    Raises
    ------
    QservError
        Why there is no answer.
    """
    rows = limits.rows(request.maxrec)
    long = len(request.query) > THREAD_CHARACTERS
    tree = await asyncio.to_thread(parse_adql, request.query) if long else parse_adql(request.query)
    answer = await session.query(tree, dialect="adql", text=request.query, max_rows=rows + 1 if rows else 0)
    try:
        facts = Facts((("QUERY_ID", answer.query_id), ("QUERY", request.query)))
        encoder = request.output.encoder(fields_of(answer.columns, answer.schema), facts)
    except BaseException:
        await answer.close()
        raise
    headers = {"Content-Disposition": f'inline; filename="result.{request.output.suffix}"'}
    body = document(answer, encoder, rows)
    try:
        first = await anext(body)
    except BaseException:
        await body.aclose()
        raise
    return Opened(200, request.output.media_type, first, body, headers)
