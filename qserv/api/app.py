"""The application that every service begins with: who may ask, how large a request may be, what an error looks like."""

import secrets
from collections.abc import Sequence
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from qserv.api.errors import error_info, status_of
from qserv.api.messages import ErrorDocument
from qserv.errors import AccessError, QservError, QueryValueError

HEALTH_PATH = "/health"

log = structlog.get_logger("api")

ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorDocument} for code in (400, 401, 404, 429, 500, 503)}
"""What the documentation says of errors."""

User = Annotated[str, Header(alias="Qserv-User", description="For whom it is: the owner of what it makes, the user in the logs.")]


def create_api(title: str, description: str, token: SecretStr, routers: Sequence[APIRouter], *, max_body_bytes: int) -> FastAPI:
    """Return an application; whoever asks its routers must know the token."""
    app = FastAPI(title=title, description=description, docs_url=None, redoc_url=None, max_body_size=max_body_bytes)
    bearer = HTTPBearer(auto_error=False, description="The cluster's token.")

    async def known(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        sent = given.credentials if given else ""
        if not secrets.compare_digest(sent.encode(), token.get_secret_value().encode()):
            msg = "the token is missing or wrong; send the cluster's token as `Authorization: Bearer <token>`"
            raise AccessError(msg)

    for router in routers:
        app.include_router(router, dependencies=[Depends(known)], responses=ERRORS)
    app.add_exception_handler(QservError, _error_answer)
    app.add_exception_handler(RequestValidationError, _bad_request)
    app.add_exception_handler(Exception, _mistake)
    return app


async def _error_answer(request: Request, error: Exception) -> Response:  # noqa: ARG001 (the handlers' signature)
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, AccessError) else {}
    document = ErrorDocument(error=error_info(error)).model_dump(mode="json")
    return JSONResponse(document, status_of(error), headers)


async def _mistake(request: Request, error: Exception) -> Response:
    """Answer for an error that is none of ours, which is a mistake of ours."""
    log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return await _error_answer(request, error)


async def _bad_request(request: Request, error: Exception) -> Response:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    told = ", ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
    return await _error_answer(request, QueryValueError(f"the request is wrong: {told}"))
