"""PostgreSQL with the functions installed, asked with arrays."""

import numpy as np
import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, Role
from workers.functions import install


@pytest.fixture(scope="session")
def reader(postgres_cluster):
    """A session of the role that runs chunk queries; the functions are there."""
    address = postgres_cluster.cluster.nodes[0].postgres
    with psycopg.connect(address.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets), autocommit=True) as loader:
        install(loader)
    with psycopg.connect(address.conninfo(Role.READER, NODE_DATABASE, postgres_cluster.secrets), autocommit=True) as session:
        yield session


@pytest.fixture
def evaluate(reader):
    """Evaluate an SQL expression over rows: arguments are arrays of one length, named in the expression; NULL comes as None."""

    def run(expression, **arrays):
        values = [np.asarray(array, dtype=np.float64).tolist() for array in arrays.values()]
        unnested = ", ".join(["%s::float8[]"] * len(values))
        text = f"SELECT {expression} FROM unnest({unnested}) WITH ORDINALITY AS t({', '.join(arrays)}, i) ORDER BY i"  # noqa: S608
        return [value for (value,) in reader.execute(text, values).fetchall()]

    return run


@pytest.fixture
def scalar(reader):
    """Evaluate an SQL expression without arguments."""

    def run(expression):
        return reader.execute(f"SELECT {expression}").fetchone()[0]

    return run
