"""The faces of the service that describe it: capabilities, availability, tables (VOSI 1.1)."""

import datetime as dt
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response
from vo_models.voresource.types import UTCTimestamp
from vo_models.vosi.availability.models import Availability

from qserv.errors import QservError
from tap.capabilities import capabilities_document
from tap.errors import error_answer
from tap.limits import Limits
from tap.tables import table_document, tableset_document

if TYPE_CHECKING:
    from czar.catalogue import Catalogue
    from czar.session import Session

XML = "text/xml"


class TablesetCache:
    """The tableset document of the newest catalogue: clients ask for it at every start, and it is large."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._documents: dict[bool, bytes] = {}

    def document(self, catalogue: "Catalogue", *, columns: bool) -> bytes:
        """Return the tableset of a catalogue."""
        if catalogue is not self._catalogue:
            self._catalogue, self._documents = catalogue, {}
        if columns not in self._documents:
            self._documents[columns] = tableset_document(catalogue, columns=columns)
        return self._documents[columns]


def tap_url(request: Request) -> str:
    """Return where the client sees ``/tap``."""
    return str(request.base_url).rstrip("/") + "/tap"


def vosi_router(session: "Session", limits: Limits) -> APIRouter:
    """Return the routes of VOSI."""
    router = APIRouter(prefix="/tap")
    cache = TablesetCache()
    started = UTCTimestamp.now(dt.UTC)

    @router.get("/capabilities")
    async def capabilities(request: Request) -> Response:
        return Response(capabilities_document(tap_url(request), limits), media_type=XML)

    @router.get("/availability")
    async def availability() -> Response:
        try:
            await session.catalogue()
            document = Availability(available=True, up_since=started)
        except QservError as error:
            document = Availability(available=False, note=[str(error)])
        return Response(document.to_xml(skip_empty=True, encoding="UTF-8"), media_type=XML)

    @router.get("/tables")
    async def tables(detail: str = "max") -> Response:
        try:
            document = cache.document(await session.catalogue(), columns=detail.lower() != "min")
        except QservError as error:
            return _error(error)
        return Response(document, media_type=XML)

    @router.get("/tables/{name}")
    async def table(name: str) -> Response:
        try:
            document = table_document(await session.catalogue(), name)
        except QservError as error:
            return _error(error)
        if document is None:
            return PlainTextResponse(f"there is no table {name}; all are at /tap/tables\n", status_code=404)
        return Response(document, media_type=XML)

    return router


def _error(error: QservError) -> Response:
    answer = error_answer(error)
    return Response(answer.body, answer.status, answer.headers, answer.media_type)
