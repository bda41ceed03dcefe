"""Nodes of the cluster, as the metadata database knows them."""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from qserv.ids import NodeId
from qserv.metadata import tables


@dataclass(frozen=True)
class Node:
    """A PostgreSQL server and the worker beside it. ``weight`` is its share of the chunks, relative to the other nodes."""

    node_id: NodeId
    host: str
    postgres_port: int
    worker_port: int
    weight: float = 1.0


async def register_node(connection: AsyncConnection, node: Node) -> None:
    """Write a node, or change the one of the same name: an embedded node finds other free ports at each start."""
    values = {
        "host": node.host,
        "postgres_port": node.postgres_port,
        "worker_port": node.worker_port,
        "weight": node.weight,
    }
    statement = insert(tables.nodes).values(node_id=node.node_id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["node_id"], set_=values))


async def remove_node(connection: AsyncConnection, node_id: NodeId) -> None:
    """Forget a node.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        The node still holds replicas.
    """
    await connection.execute(delete(tables.nodes).where(tables.nodes.c.node_id == node_id))


async def list_nodes(connection: AsyncConnection) -> tuple[Node, ...]:
    """Return all nodes, by name."""
    rows = await connection.execute(select(tables.nodes).order_by(tables.nodes.c.node_id))
    return tuple(
        Node(
            node_id=NodeId(row.node_id),
            host=row.host,
            postgres_port=row.postgres_port,
            worker_port=row.worker_port,
            weight=row.weight,
        )
        for row in rows
    )
