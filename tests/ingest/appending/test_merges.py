"""Segments become one in the background; nobody notices."""

from contextlib import suppress

import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, Role
from tests.ingest.appending.conftest import TABLES, rows_of, visit
from tests.ingest.appending.reader import Reader
from tests.ingest.appending.test_append import QUERIES, joined
from tests.ingest.appending.test_torn import append
from tests.support.steps import failpoints
from tests.support.waiting import until

POINTS = [point for point in failpoints() if point.startswith(("ingest.merge.", "worker.tables.drop"))]


def segments(night, database):
    """Return how many segments the metadata name of each chunk, by table."""
    sql = """SELECT name, chunk, count(*) FILTER (WHERE replaced IS NULL), count(*) FROM segments JOIN tables USING (table_id)
        WHERE database = %s GROUP BY name, chunk"""
    with night.running.metadata() as session:
        return {(name, chunk): counts for name, chunk, *counts in session.execute(sql, [database]).fetchall()}


def merged(night, database):
    """Wait until each chunk has one segment, and nothing else is left of the others."""
    until(lambda: set(map(tuple, segments(night, database).values())) == {(1, 1)})


def came_with(night, database, table):
    """Return how many rows of a table say that they came with which contribution."""
    found = night.czar.query(f'SELECT "_contribution" AS number, COUNT(*) AS n FROM {database}.{table} GROUP BY 1')  # noqa: S608 (names of ours)
    return {row["number"]: row["n"] for row in found.to_pylist()}


def sent(night, database, table):
    """Return how many rows of a table were taken with each contribution."""
    sql = """SELECT contribution_id, contributions.row_count FROM contributions JOIN transactions USING (transaction_id)
        WHERE database = %s AND table_name = %s"""
    with night.running.metadata() as session:
        return dict(session.execute(sql, [database, table]).fetchall())


def test_merged_rows_are_as_if_they_had_been_loaded_together(night):
    parts = [rows_of(1), rows_of(2, 400, 100), rows_of(3, 800, 7)]
    database = night.load(parts[0])
    for part in parts[1:]:
        night.append(database, part)
    loaded = night.load(joined(*parts))
    merged(night, database)
    wrong = [query for query in QUERIES if night.ask(database, query) != night.ask(loaded, query)]
    assert wrong == []
    for table in TABLES:
        one, other = (night.ingest.table(name, table) for name in (database, loaded))
        assert (one.rows, one.overlap_rows, one.statistics) == (other.rows, other.overlap_rows, other.statistics)
        assert came_with(night, database, table) == sent(night, database, table)
    # Rows know of their neighbours again.
    sql = [night.czar.explain(QUERIES[18].format(db=name)).text.partition("on each chunk")[2] for name in (database, loaded)]
    assert sql[0] == sql[1]
    assert "_friends" in sql[0]


def test_a_table_that_cannot_be_merged_leaves_others_their_turn(night):
    databases = [night.load(visit(0)) for _ in range(2)]
    node = night.running.cluster.nodes[0]
    with psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, night.running.secrets), autocommit=True) as admin:
        lost = until(lambda: renamed(night, databases[0], admin))
        night.append(databases[1], visit(90))
        merged(night, databases[1])
        assert segments(night, databases[0])["filter", -1][0] > 1
        admin.execute(lost)
    merged(night, databases[0])
    count = "SELECT COUNT(*) AS n FROM {db}.filter"
    assert night.ask(databases[0], count) == [repr({"n": len(sent(night, databases[0], "filter"))})]


def renamed(night, database, admin):
    """Append to a database, and let a table of a node not be found; return what undoes that, None if it was merged already."""
    night.append(database, visit(len(sent(night, database, "filter"))))
    found = admin.execute("SELECT max(tablename) FROM pg_tables WHERE schemaname = %s AND tablename LIKE 'filter~%%'", [database])
    (name,) = found.fetchone()
    with suppress(psycopg.errors.UndefinedTable):
        admin.execute(f'ALTER TABLE "{database}"."{name}" RENAME TO lost')
        undo = f'ALTER TABLE "{database}".lost RENAME TO "{name}"'
        # It may be the one that was being made of the others.
        until(lambda: not builds(night, database))
        if segments(night, database)["filter", -1][0] > 1:
            return undo
        admin.execute(undo)
    return None


def builds(night, database):
    """Return how many segments are being made."""
    with night.running.metadata() as session:
        return session.execute("SELECT count(*) FROM segment_builds WHERE database = %s", [database]).fetchone()[0]


@pytest.mark.nightly(share=0)
@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_at_any_point_of_a_merge(point, night):
    database = night.load(visit(0))
    with Reader(night.running.cluster.home, database) as reader:
        for number in range(1, 4):
            append(night, database, number)
        night.running.arm(point)
        append(night, database, 4)
        until(lambda: night.running.went_off(point), 60)
        merged(night, database)
        append(night, database, 5)
        before = reader.answers
        until(lambda: reader.answers > before + 3)
    assert reader.torn == []
    night.is_exactly(database, range(6))
