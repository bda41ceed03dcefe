"""The web application."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from qserv.errors import QservError
from tap.errors import message_of, status_of
from tap.front_page import front_page
from tap.limits import Limits
from tap.sync import sync_router
from tap.vosi import tap_url, vosi_router

if TYPE_CHECKING:
    from czar.session import Session
    from qserv.settings import Settings


MAX_BODY_BYTES = 16 * 2**20
"""Largest request: the longest query, with every character escaped."""


def create_app(session: "Session", settings: "Settings") -> FastAPI:
    """Return the application that answers from ``session``."""
    limits = Limits(default_rows=settings.max_rows, hard_rows=settings.max_rows, duration_s=settings.query_timeout_s)
    app = FastAPI(title="TAP service", docs_url=None, redoc_url=None, openapi_url=None, max_body_size=MAX_BODY_BYTES)
    app.include_router(sync_router(session, limits))
    app.include_router(vosi_router(session, limits))

    @app.get("/")
    async def front(request: Request) -> Response:
        try:
            return HTMLResponse(front_page(await session.catalogue(), tap_url(request)))
        except QservError as error:
            return PlainTextResponse(message_of(error) + "\n", status_of(error))

    @app.get("/tap")
    async def tap() -> Response:
        return RedirectResponse("/")

    @app.api_route("/tap/async", methods=["GET", "POST"])
    @app.api_route("/tap/async/{path:path}", methods=["GET", "POST", "DELETE"])
    async def jobs() -> Response:
        return PlainTextResponse("not yet supported: asynchronous queries; ask /tap/sync\n", 404)

    return app
