"""Expressions, read in a dialect and computed by a real PostgreSQL as a node would."""

from datetime import UTC, datetime

import psycopg
import pytest

from czar.analyse.functions import known_functions
from czar.analyse.geometry import lower_geometry
from czar.analyse.query import Query
from czar.catalogue import Catalogue
from czar.dialects.moment import at_moment
from czar.parse import parse
from qserv.cluster import NODE_DATABASE, Role
from workers.functions import install

MOMENT = datetime(2026, 7, 25, 3, 4, 5, 678901, tzinfo=UTC)

NOTHING = Catalogue(1, (), (), {}, {}, ())


@pytest.fixture(scope="session")
def node(postgres_cluster):
    """A session of the role that runs chunk queries; the functions are there."""
    address = postgres_cluster.cluster.nodes[0].postgres
    with psycopg.connect(address.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets), autocommit=True) as loader:
        install(loader)
    with psycopg.connect(address.conninfo(Role.READER, NODE_DATABASE, postgres_cluster.secrets), autocommit=True) as session:
        session.execute("SET timezone = 'UTC'")
        yield session


@pytest.fixture
def rewritten():
    """Return the text that a node gets of a query."""

    def rewrite(text, dialect="native"):
        tree = at_moment(parse(text, dialect), MOMENT)
        query = lower_geometry(known_functions(Query(text=text, tree=tree, catalogue=NOTHING)))
        return query.tree.sql("postgres", comments=False)

    return rewrite


@pytest.fixture
def value(node, rewritten):
    """Return the value of an expression of a dialect."""

    def compute(expression, dialect="native", rows=""):
        return node.execute(rewritten(f"SELECT {expression} {rows}", dialect)).fetchone()[0]

    return compute
