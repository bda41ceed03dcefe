"""The web application of a czar."""

import secrets
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from czar.metrics import CONTENT_TYPE_LATEST
from czar.service.asynchronous import job_router, result_router
from czar.service.errors import error_info, status_of
from czar.service.models import ErrorDocument
from czar.service.parts import Parts
from czar.service.plans import plan_router
from czar.service.queries import query_router
from qserv.errors import AccessError, QservError, QueryValueError

MAX_BODY_BYTES = 16 * 2**20
"""Largest request: the longest query, with every character escaped."""

HEALTH_PATH = "/health"
METRICS_PATH = "/metrics"

ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorDocument} for code in (400, 401, 404, 429, 500, 503)}
"""What the documentation says of errors."""


def create_app(parts: Parts, token: SecretStr) -> FastAPI:
    """Return the application; whoever asks must know the token."""
    app = FastAPI(
        title="Qserv czar",
        description="Queries over a sharded catalogue: waited for, or run on their own. Every answer that is an error is JSON.",
        docs_url=None,
        redoc_url=None,
        max_body_size=MAX_BODY_BYTES,
    )
    bearer = HTTPBearer(auto_error=False, description="The cluster's token.")

    async def known(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        sent = given.credentials if given else ""
        if not secrets.compare_digest(sent.encode(), token.get_secret_value().encode()):
            msg = "the token is missing or wrong; send the cluster's token as `Authorization: Bearer <token>`"
            raise AccessError(msg)

    for router in (query_router(parts), job_router(parts), result_router(parts), plan_router(parts)):
        app.include_router(router, dependencies=[Depends(known)], responses=ERRORS)

    @app.get(HEALTH_PATH, tags=["health"])
    async def health() -> dict[str, str]:
        """Tell that the metadata database answers; needs no token."""
        await parts.asking.session.catalogue()
        return {"status": "ok"}

    @app.get(METRICS_PATH, tags=["health"], response_class=Response)
    def metrics() -> Response:  # in a thread: the workers are asked
        """Tell Prometheus what the czar and the nodes did and do; needs no token, and holds no texts of queries."""
        return Response(parts.asking.session.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    app.add_exception_handler(QservError, _error_answer)
    app.add_exception_handler(RequestValidationError, _bad_request)
    return app


async def _error_answer(request: Request, error: Exception) -> Response:  # noqa: ARG001 (the handlers' signature)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, AccessError) else {}
    document = ErrorDocument(error=error_info(error)).model_dump(mode="json")
    return JSONResponse(document, status_of(error), headers)


async def _bad_request(request: Request, error: Exception) -> Response:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    told = ", ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return await _error_answer(request, QueryValueError(f"the request is wrong: {told}"))
