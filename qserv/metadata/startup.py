"""What a cluster does with its metadata database at every start: bring it to this version, say where the nodes are."""

import asyncio

from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.metadata.catalogue import catalogue_version
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.migrate import upgrade
from qserv.metadata.nodes import Node, register_node


def prepare_metadata(cluster: Cluster, secrets: Secrets) -> None:
    """Upgrade the metadata database of a running metadata server and register the cluster's nodes.

    Raises
    ------
    MetadataError
        The server does not answer.
    """
    upgrade(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    asyncio.run(_register_nodes(cluster, secrets))


async def _register_nodes(cluster: Cluster, secrets: Secrets) -> None:
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    try:
        async with connect(engine) as connection:
            for node in cluster.nodes:
                await register_node(connection, Node(node.node, node.host, node.postgres_port, node.worker_port))
            await connection.commit()
    finally:
        await engine.dispose()


async def published_version(cluster: Cluster, secrets: Secrets) -> int:
    """Return the version of the catalogue; 0 where nothing was published yet."""
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    try:
        async with connect(engine) as connection:
            return await catalogue_version(connection)
    finally:
        await engine.dispose()
