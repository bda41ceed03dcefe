"""Columns of the physical tables of a table: added and taken away, while they are read."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from schema.model import Column, ColumnType
from schema.serialise import table_to_json
from tests.support.waiting import until
from tests.workers.test_tables import DATABASE, STAR, stars
from workers.table_actions import AlterTable

pytestmark = pytest.mark.usefixtures("loaded")

CHUNKS = range(20, 26)

PLACES = len(STAR.columns) + len(STAR.hidden) + 1
"""Columns of a table to which one was added once."""

FLAG = Column("flag", ColumnType.INT, default="7", optional=True)


def wide(column):
    return replace(STAR, columns=(*STAR.columns, column))


def altered(client, column):
    """Let all tables have a column, or with None no other one; return how far that was, over and over."""
    table = STAR if column is None else wide(column)
    found = list(client.alter(AlterTable(DATABASE, table_to_json(table), column.name if column else None)))
    assert (found[-1].done, found[-1].total) == (2 * len(CHUNKS) + 1,) * 2
    return found


def columns(loader, name):
    """Return the types of the columns of the tables that have one, and how often these were changed."""
    sql = """
        SELECT format_type(atttypid, atttypmod), max(relnatts) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relnamespace = %s::regnamespace AND relname ~ '^star' AND relkind = 'r' AND attname = %s GROUP BY 1"""
    return dict(loader.execute(sql, [DATABASE, name]).fetchall())


@pytest.fixture
def loaded(prepared, load):
    """Chunks of a table, each with a segment beside it."""
    table = prepared(STAR)
    for chunk in CHUNKS:
        load(table, stars(10), chunk)
        load(table, stars(10), chunk, "overlap")


@pytest.mark.parametrize(
    "other",
    [
        replace(FLAG, default="8"),
        replace(FLAG, default=None),
        replace(FLAG, datatype=ColumnType.LONG),
        replace(FLAG, datatype=ColumnType.STRING, length=3),
        replace(FLAG, datatype=ColumnType.STRING, length=4, default="it's"),
        replace(FLAG, datatype=ColumnType.BOOLEAN, default="true"),
        replace(FLAG, datatype=ColumnType.CHAR, length=2, default="x"),
        replace(FLAG, datatype=ColumnType.TIMESTAMP, default="2026-01-02 03:04:05.5"),
    ],
    ids=["constant", "null", "type", "length", "text", "boolean", "char", "time"],
)
def test_what_another_attempt_left_is_put_right_and_what_is_right_stays(other, client, loader):
    altered(client, FLAG)
    assert columns(loader, "flag") == {"integer": PLACES}
    altered(client, FLAG)
    assert columns(loader, "flag") == {"integer": PLACES}
    altered(client, other)
    ((kind, places),) = columns(loader, "flag").items()
    assert (kind == "integer", places) == (other.datatype is ColumnType.INT, PLACES + 1)
    altered(client, other)
    assert columns(loader, "flag") == {kind: places}
    value = loader.execute(f"SELECT DISTINCT flag::text FROM {DATABASE}.star_22").fetchall()  # noqa: S608 (a test's own text)
    assert value == [(other.default,)]
    altered(client, None)
    assert columns(loader, "flag") == {}


def test_a_table_that_was_made_like_one_with_the_column_has_its_value_too(client, loader):
    """As one of rows that were appended after an attempt that was given up: they have NULL."""
    altered(client, FLAG)
    loader.execute(f'CREATE TABLE {DATABASE}."star_20~5" (LIKE {DATABASE}.star)')
    loader.execute(f'INSERT INTO {DATABASE}."star_20~5" (id) VALUES (1)')  # noqa: S608 (as above)
    list(client.alter(AlterTable(DATABASE, table_to_json(wide(FLAG)), "flag")))
    assert loader.execute(f'SELECT flag FROM {DATABASE}."star_20~5"').fetchall() == [(7,)]  # noqa: S608 (as above)


def test_who_waits_for_a_long_query_lets_others_pass(client, loader, admin):
    with admin.transaction():
        admin.execute(f"SELECT FROM {DATABASE}.star_22")
        told = client.alter(AlterTable(DATABASE, table_to_json(wide(FLAG)), "flag"))
        while next(told).done < 2 * len(CHUNKS):
            pass
        refused = 0
        for _ in range(30):
            loader.execute(f"SELECT FROM {DATABASE}.star_22")
            try:
                with loader.transaction():
                    loader.execute(f"LOCK TABLE {DATABASE}.star_22 IN ACCESS SHARE MODE NOWAIT")
            except psycopg.errors.LockNotAvailable:
                refused += 1
            time.sleep(0.1)
        # It waits for the table a fifth of the time, in which queries wait for it.
        assert refused < 15
        assert next(told).done == 2 * len(CHUNKS)
    assert [each.done for each in told][-1] == 2 * len(CHUNKS) + 1
    assert columns(loader, "flag") == {"integer": PLACES}


def test_who_still_drops_a_column_does_not_drop_what_another_one_adds(client, loader, admin):
    """As for a service that died, and for the one after it."""
    altered(client, FLAG)
    with ThreadPoolExecutor(2) as pool:
        with admin.transaction():
            admin.execute(f"SELECT FROM {DATABASE}.star_22")
            dropping = pool.submit(altered, client, None)
            until(lambda: tables_with(loader, "flag") == 1)
            adding = pool.submit(altered, client, FLAG)
            time.sleep(1)
        dropping.result()
        adding.result()
    assert tables_with(loader, "flag") == 2 * len(CHUNKS) + 1


def tables_with(loader, name):
    sql = "SELECT count(*) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = attrelid WHERE relname ~ '^star' AND attname = %s"
    return loader.execute(sql, [name]).fetchone()[0]
