"""How the functions stand in PostgreSQL."""

import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, Role
from workers.functions import install

SCALARS = {
    "angular_separation(x, y, 10, 20) < 1": "angular_separation",
    "in_circle(x, y, 10, 20, 0.1)": "in_circle",
    "in_lonlat_box(x, y, 350, -1, 10, 1)": "in_lonlat_box",
    "in_ellipse(x, y, 10, 20, 2, 1, 30)": "in_ellipse",
    "scisql_angSep(x, y, 10, 20) < 1": "angsep",
    "scisql_s2PtInCircle(x, y, 10, 20, 0.1) = 1": "incircle",
    "scisql_s2PtInBox(x, y, 0, 0, 1, 1) = 1": "inbox",
    "scisql_s2PtInEllipse(x, y, 10, 20, 7200, 3600, 30) = 1": "inellipse",
    "scisql_fluxToAbMag(x) < 20": "fluxtoabmag",
    "nanojansky_to_abmag(x) < 20": "nanojansky_to_abmag",
    "ln(x) < 1": "qserv.ln",
    "sqrt(x) < 1": "qserv.sqrt",
    "power(x, 2) < 1": "qserv.power",
    "divide(x, y) < 1": "qserv.divide",
    "mod(n, 3) = 1": "qserv.mod",
    "round(x, 2) = 1": "qserv.round",
    "truncate(x, 2) = 1": "qserv.truncate",
    "widen(x) = 1": "qserv.widen",
}


@pytest.mark.parametrize(("condition", "name"), SCALARS.items())
def test_postgresql_puts_the_body_in_place_of_the_call(reader, condition, name):
    rows = "(SELECT g::float8 AS x, g::float8 AS y, g AS n FROM generate_series(1, 9) AS g OFFSET 0) AS t"
    text = f"EXPLAIN (VERBOSE) SELECT * FROM {rows} WHERE qserv.{condition}"  # noqa: S608 (conditions of this file)
    plan = "\n".join(line for (line,) in reader.execute(text).fetchall())
    assert "Filter" in plan
    assert name not in plan.lower()


def test_every_function_is_immutable_and_parallel_safe_and_anybody_may_call_it(reader):
    rows = reader.execute(
        "SELECT proname, provolatile, proparallel, has_function_privilege(oid, 'execute') FROM pg_proc"
        " WHERE pronamespace = 'qserv'::regnamespace"
    ).fetchall()
    assert len(rows) > 40
    assert [row for row in rows if row[1:] != ("i", "s", True)] == []


def test_installing_again_changes_nothing(reader, postgres_cluster):
    before = reader.execute("SELECT oid FROM pg_proc WHERE pronamespace = 'qserv'::regnamespace ORDER BY 1").fetchall()
    address = postgres_cluster.cluster.nodes[0].postgres
    with psycopg.connect(address.conninfo(Role.LOADER, NODE_DATABASE, postgres_cluster.secrets), autocommit=True) as loader:
        install(loader)
    assert reader.execute("SELECT oid FROM pg_proc WHERE pronamespace = 'qserv'::regnamespace ORDER BY 1").fetchall() == before
