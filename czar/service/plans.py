"""Routes that tell of plans and tables."""

from fastapi import APIRouter

from czar.service.facts import table_infos
from czar.service.models import Plan, Statement, TableInfo
from czar.service.parts import Parts


def plan_router(parts: Parts) -> APIRouter:
    """Return the routes."""
    router = APIRouter(tags=["plans and tables"])
    asking, session = parts.asking, parts.asking.session

    @router.post("/explain")
    async def explain(statement: Statement) -> Plan:
        """Tell how a query would be answered, without running it."""
        tree = await asking.read(statement.query, statement.dialect)
        explanation = await session.explain(tree, text=statement.query)
        return Plan(text=explanation.text, facts=explanation.to_json())

    @router.get("/tables")
    async def tables() -> list[TableInfo]:
        """List the published tables with their columns."""
        return list(table_infos(await session.catalogue()))

    return router
