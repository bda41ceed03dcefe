"""Physical tables: made, loaded, indexed, replaced, dropped."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa
import pytest

from qserv.errors import IngestError, QueryEvaluationError, QueryLimitError, SchemaError
from schema.model import Column, ColumnType, Table, TableRole
from schema.serialise import table_to_json
from tests.support.waiting import PATIENCE_S
from workers.postgresql.indexes import STATISTICS_TARGETS, reindex
from workers.postgresql.reads import remaining_ms
from workers.protocol import ChunkLoad
from workers.table_actions import DropTable, MoveTable, PrepareTable

DATABASE = "worker_test"

STAR = Table(
    "star",
    TableRole.DIRECTOR,
    (Column("id", ColumnType.LONG, nullable=False), Column("ra", ColumnType.DOUBLE), Column("dec", ColumnType.DOUBLE)),
    primary_key=("id",),
    ra="ra",
    dec="dec",
    director_key="id",
)

FILTER = Table(
    "filter", TableRole.REPLICATED, (Column("name", ColumnType.STRING, length=4), Column("id", ColumnType.INT)), primary_key=("id",)
)


def stars(count):
    numbers = pa.array(range(count), pa.int64())
    floats = numbers.cast(pa.float64())
    return pa.table(
        {
            "_friends": numbers.cast(pa.int32()),
            "_nearest_deg": floats,
            "_healpix_29": numbers,
            "_contribution": numbers.cast(pa.int32()),
            "dec": floats,
            "id": numbers,
            "ra": floats,
        }
    )


def filters(*names):
    numbers = pa.array(range(len(names)), pa.int32())
    return pa.table({"name": pa.array(names, pa.string()), "id": numbers, "_contribution": numbers})


def tables(loader):
    """Names of the physical tables."""
    text = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
    return [name for (name,) in loader.execute(text, [DATABASE]).fetchall()]


def indexes(loader, name):
    """Columns and uniqueness of the indexes of a table."""
    text = (
        "SELECT (SELECT array_agg(attname::text ORDER BY attnum) FROM pg_attribute WHERE attrelid = indexrelid), indisunique"
        " FROM pg_index WHERE indrelid = %s::regclass"
    )
    return sorted(loader.execute(text, [f"{DATABASE}.{name}"]).fetchall())


def test_loaded_chunks_are_indexed_analysed_and_frozen(prepared, load, loader):
    table = prepared(STAR)
    load(table, stars(1000), 20)
    load(table, stars(10), 21)
    load(table, stars(5), 20, "overlap")
    assert tables(loader) == ["star", "star_20", "star_20_overlap", "star_21"]
    for name in ("star_20", "star_21", "star_20_overlap"):
        of_pairs = ["_nearest_deg", "_healpix_29", "_friends", "id", "ra", "dec"]
        assert indexes(loader, name) == [(["_healpix_29"], False), (of_pairs, False), (["id"], True)]
    # All pages are known to be visible to everybody without a VACUUM: COPY wrote frozen rows.
    text = "SELECT reltuples, relallvisible = relpages FROM pg_class WHERE oid = 'worker_test.star_20'::regclass"
    assert loader.execute(text).fetchone() == (1000.0, True)
    # The planner's statistics are there, and short.
    text = "SELECT cardinality(histogram_bounds::text::bigint[]) FROM pg_stats WHERE tablename = 'star_20' AND attname = 'id'"
    assert loader.execute(text).fetchone() == (STATISTICS_TARGETS[0] + 1,)


def test_a_table_that_goes_while_others_are_indexed_is_left_out(prepared, load, loader):
    """As of a segment that was merged with others."""
    prepared(STAR)
    for chunk in (22, 23, 24):
        load(STAR, stars(10), chunk)
    made = reindex(loader, DATABASE, replace(STAR, indexes=(("dec",),)))
    next(made)
    left = [name for name in tables(loader) if (["dec"], False) not in indexes(loader, name)]
    loader.execute(f"DROP TABLE {DATABASE}.{left[-1]}")
    *_, (done, total) = made
    assert done == total == 3
    assert {name for name in tables(loader) if (["dec"], False) not in indexes(loader, name)} <= {"star"}


def test_replicated_tables_are_replaced_as_a_whole_and_keep_their_indexes(prepared, load, loader, ask):
    table = prepared(FILTER)
    load(table, filters("u", "g"), None)
    assert load(table, filters("r", "i", "z"), None) == 3
    assert ask("SELECT name FROM worker_test.filter ORDER BY id")["name"].to_pylist() == ["r", "i", "z"]
    assert indexes(loader, "filter") == [(["id"], True)]


def test_readers_of_a_replicated_table_see_the_old_or_the_new_rows(client, prepared, load, ask):
    table = prepared(FILTER)
    load(table, filters("old"), None)
    half_sent = threading.Event()
    go_on = threading.Event()

    def rows():
        yield from filters("new").to_batches()
        half_sent.set()
        assert go_on.wait(PATIENCE_S)

    sender = threading.Thread(target=client.load, args=(ChunkLoad(DATABASE, table_to_json(table), None), filters().schema, rows()))
    sender.start()
    assert half_sent.wait(PATIENCE_S)
    assert ask("SELECT name FROM worker_test.filter")["name"].to_pylist() == ["old"]
    go_on.set()
    sender.join()
    assert ask("SELECT name FROM worker_test.filter")["name"].to_pylist() == ["new"]


def test_two_loads_of_one_chunk_at_once_load_it_once(prepared, load, ask):
    table = prepared(STAR)
    senders = [threading.Thread(target=load, args=(table, stars(5000), 33)) for _ in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert ask("SELECT count(*) AS n FROM worker_test.star_33")["n"].to_pylist() == [5000]


def test_a_text_that_is_too_long_is_refused(prepared, load, loader):
    table = prepared(FILTER)
    with pytest.raises(IngestError, match="too long"):
        load(table, filters("infrared"), None)
    assert loader.execute("SELECT count(*) FROM worker_test.filter").fetchone() == (0,)


def test_dropping_takes_every_table_of_the_name_and_no_other(client, prepared, load, loader):
    near = Table("star_like", STAR.role, STAR.columns, ra="ra", dec="dec")
    for table in (STAR, near):
        prepared(table)
        for chunk in (4, 5):
            load(table, stars(1), chunk)
    load(STAR, stars(1), 5, "overlap")
    assert client.drop(DropTable(DATABASE, "star")) == 4
    assert tables(loader) == ["star_like", "star_like_4", "star_like_5"]
    assert client.drop(DropTable(DATABASE, "star")) == 0
    assert client.drop(DropTable("no_such_database", "star")) == 0


def test_more_tables_are_dropped_than_one_transaction_takes(client, prepared, loader):
    prepared(STAR)
    loader.execute("DO $$BEGIN FOR i IN 1..1100 LOOP EXECUTE format('CREATE TABLE worker_test.star_%s ()', i); END LOOP; END$$")
    assert client.drop(DropTable(DATABASE, "star")) == 1101
    assert tables(loader) == []


def test_preparing_again_keeps_what_is_there(client, prepared, load, ask):
    table = prepared(FILTER)
    load(table, filters("u"), None)
    client.prepare(PrepareTable(DATABASE, table_to_json(table)))
    assert ask("SELECT name FROM worker_test.filter")["name"].to_pylist() == ["u"]


def test_a_declaration_that_cannot_be_read_is_told(client):
    with pytest.raises(SchemaError, match="cannot be read"):
        client.prepare(PrepareTable(DATABASE, {"name": "x"}))


def test_names_are_quoted_wherever_they_go(client, loader):
    odd = Table('we"ird; DROP', TableRole.REPLICATED, (Column('se"lect', ColumnType.INT),), indexes=(('se"lect',),))
    action = PrepareTable('Odd "db"', table_to_json(odd))
    client.prepare(action)
    rows = pa.table({'se"lect': pa.array([1, 2], pa.int32()), "_contribution": pa.nulls(2, pa.int32())})
    receipt = client.load(ChunkLoad('Odd "db"', table_to_json(odd), None), rows.schema, rows.to_batches())
    assert receipt.rows == 2
    assert client.move(MoveTable('Odd "db"', 'Odd "db"2', odd.name)) == 1
    assert client.move(MoveTable('Odd "db"2', 'Odd "db"', odd.name)) == 1
    assert client.drop(DropTable('Odd "db"', odd.name)) == 1
    # Its database goes with the last table.
    assert loader.execute("SELECT FROM pg_namespace WHERE nspname = 'Odd \"db\"'").fetchall() == []


def test_moved_tables_take_the_place_of_those_of_their_name(client, prepared, load, loader, ask):
    table = prepared(STAR)
    for chunk, count in ((4, 1), (5, 2)):
        load(table, stars(count), chunk)
    client.prepare(PrepareTable("~staged", table_to_json(table)))
    client.load(ChunkLoad("~staged", table_to_json(table), 4), stars(7).schema, stars(7).to_batches())
    assert client.move(MoveTable("~staged", DATABASE, "star")) == 2
    assert tables(loader) == ["star", "star_4"]
    assert ask("SELECT count(*) AS n FROM worker_test.star_4")["n"].to_pylist() == [7]
    # They are as if they had been loaded there, down to the names of the indexes.
    named = "SELECT indexname FROM pg_indexes WHERE tablename = 'star_4' ORDER BY 1"
    before = loader.execute(named).fetchall()
    load(table, stars(7), 4)
    assert loader.execute(named).fetchall() == before
    assert loader.execute("SELECT count(*) FROM pg_namespace WHERE nspname = '~staged'").fetchone() == (0,)


def test_a_key_that_occurs_twice_in_a_chunk_is_named(prepared, load, loader):
    table = prepared(STAR)
    twice = pa.concat_tables([stars(3), stars(2)])
    with pytest.raises(IngestError, match=r"table worker_test\.star: Key \(id\)=\([01]\) is duplicated; it has one row a key"):
        load(table, twice, 4)
    assert tables(loader) == ["star"]


def test_time_limits_are_rounded_up_to_whole_seconds_but_short_ones_are_kept():
    assert [remaining_ms(s) for s in (0.0001, 0.2, 0.9999, 1.0, 1.01, 59.99)] == [1, 200, 1000, 1000, 2000, 60000]
    with pytest.raises(QueryLimitError):
        remaining_ms(0.0)


def test_a_query_may_use_the_sky_functions(ask):
    assert ask("SELECT qserv.in_circle(10, 20, 10, 20.5, 0.5) AS inside").to_pylist() == [{"inside": True}]
    with pytest.raises(QueryEvaluationError):
        ask("SELECT qserv.in_circle(10)")


def test_tables_of_a_database_that_comes_and_goes_are_prepared_at_once(client):
    tables = [Table(f"t{number}", TableRole.REPLICATED, (Column("n", ColumnType.INT),)) for number in range(4)]
    with ThreadPoolExecutor(len(tables)) as pool:
        for _ in range(20):
            list(pool.map(lambda table: client.prepare(PrepareTable("comes_and_goes", table_to_json(table))), tables))
            assert list(pool.map(lambda table: client.drop(DropTable("comes_and_goes", table.name)), tables)) == [1] * len(tables)
