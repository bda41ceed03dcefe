"""The web application of a czar."""

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.responses import Response

from czar.metrics import CONTENT_TYPE_LATEST
from czar.service.asynchronous import job_router, result_router
from czar.service.parts import Parts
from czar.service.plans import plan_router
from czar.service.queries import query_router
from qserv.api.app import HEALTH_PATH, create_api

MAX_BODY_BYTES = 16 * 2**20
"""Largest request: the longest query, with every character escaped."""

METRICS_PATH = "/metrics"


def create_app(parts: Parts, token: SecretStr) -> FastAPI:
    """Return the application; whoever asks must know the token."""
    app = create_api(
        "Qserv czar",
        "Queries over a sharded catalogue: waited for, or run on their own. Every answer that is an error is JSON.",
        token,
        (query_router(parts), job_router(parts), result_router(parts), plan_router(parts)),
        max_body_bytes=MAX_BODY_BYTES,
    )

    @app.get(HEALTH_PATH, tags=["health"])
    async def health() -> dict[str, str]:
        """Tell that the metadata database answers; needs no token."""
        await parts.asking.session.catalogue()
        return {"status": "ok"}

    @app.get(METRICS_PATH, tags=["health"], response_class=Response)
    def metrics() -> Response:  # in a thread: the workers are asked
        """Tell Prometheus what the czar and the nodes did and do; needs no token, and holds no texts of queries."""
        return Response(parts.asking.session.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return app
