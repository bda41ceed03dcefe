"""Routes that tell of plans and tables."""

from fastapi import APIRouter
from starlette.responses import Response

from czar.service.facts import declaration, table_infos
from czar.service.models import ExplainRequest, Plan, TableDeclaration, TableInfo
from czar.service.parts import Parts
from czar.service.queries import opened_or_error
from czar.service.streaming import Opened, WatchedResponse
from qserv.api.app import User
from qserv.api.messages import ANONYMOUS


def plan_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["plans and tables"])
    asking, session = parts.asking, parts.asking.session

    async def explained(request: ExplainRequest, user: str) -> Opened:
        tree = await asking.read(request.query, request.dialect)
        explanation = await session.explain(tree, dialect=request.dialect, text=request.query, analyze=request.analyze, user=user)
        plan = Plan(text=explanation.text, facts=explanation.to_json())
        return Opened(200, "application/json", plan.model_dump_json().encode())

    @router.post("/explain", response_class=Response, responses={200: {"model": Plan}})
    async def explain(request: ExplainRequest, user: User = ANONYMOUS) -> Response:
        """Tell how a query would be answered; with `analyze` run it, and tell what each part of it took.

        When the client goes away meanwhile, the query is cancelled on the nodes.
        """
        return WatchedResponse(lambda: opened_or_error(explained(request, user)))

    @router.get("/tables")
    async def tables() -> list[TableInfo]:
        """List the published tables with their columns."""
        return list(table_infos(await session.catalogue()))

    @router.get("/tables/{database}/{table}")
    async def one(database: str, table: str) -> TableDeclaration:
        """Tell all that was declared of a published table. Its name may be in upper or lower case."""
        catalogue = await session.catalogue()
        return declaration(catalogue, catalogue.find(database, table, quoted=False))

    return router
