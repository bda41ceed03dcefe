"""TAP_SCHEMA of a cluster that has no tables yet: it describes itself, so that clients find a service that works."""

from ingest.nodes import connected_nodes
from ingest.publication import describe_published, publish
from qserv.cluster import METADATA_DATABASE, Cluster, Role, Secrets
from qserv.metadata.engine import connect, make_engine
from qserv.metadata.nodes import list_nodes


async def publish_tap_schema(cluster: Cluster, secrets: Secrets) -> None:
    """Write TAP_SCHEMA on every node and show it. Doing it again changes nothing that users see.

    Raises
    ------
    NodeUnavailableError, StorageFullError
        A worker does not answer, or a disk is full. Nothing is left of it, as far as the cluster answers.
    """
    engine = make_engine(cluster.metadata.sqlalchemy_url(Role.METADATA, METADATA_DATABASE, secrets))
    try:
        async with connect(engine) as connection:
            listed = await list_nodes(connection)
        async with connected_nodes(listed, secrets.cluster.get_secret_value()) as nodes:
            try:
                await publish(engine, nodes, {})
            except BaseException:
                await describe_published(engine, nodes)
                raise
    finally:
        await engine.dispose()
