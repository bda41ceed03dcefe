"""``engine``: a metadata database of the test's own, with the tables of this version."""

import uuid

import psycopg
import pytest

from qserv.cluster import Role
from qserv.metadata.engine import make_engine
from qserv.metadata.migrate import upgrade


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def empty_database(postgres_cluster):
    """URL of a new database that the metadata role owns."""
    address, secrets = postgres_cluster.cluster.metadata, postgres_cluster.secrets
    name = f"metadata_{uuid.uuid4().hex}"
    with psycopg.connect(address.conninfo(Role.ADMIN, "postgres", secrets), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} OWNER {Role.METADATA}")
        yield address.sqlalchemy_url(Role.METADATA, name, secrets)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def engine(empty_database):
    upgrade(empty_database)
    engine = make_engine(empty_database)
    yield engine
    await engine.dispose()
