"""Runs are sent over Flight, wait, and become tables."""

import pyarrow as pa
import pytest

from partitioner.nearest import REACH_DEG
from qserv.errors import IngestError
from schema.model import Column, ColumnType, Table, TableRole
from schema.serialise import table_to_json
from tests.workers.conftest import DATABASE
from workers.protocol import RunLoad
from workers.table_actions import BuildTable, DropRuns

STARS = Table(
    "star",
    TableRole.DIRECTOR,
    (
        Column("id", ColumnType.LONG, nullable=False),
        Column("ra", ColumnType.DOUBLE),
        Column("dec", ColumnType.DOUBLE),
    ),
    ("id",),
    ra="ra",
    dec="dec",
    director_key="id",
)
FILTERS = Table("filter", TableRole.REPLICATED, (Column("name", ColumnType.STRING, length=8),), ())

TRANSACTION, TABLE = 11, 12


def stars(*rows):
    """Return rows of (id, ra, dec, _healpix_29), of no contribution."""
    names = ("id", "ra", "dec", "_healpix_29", "_contribution")
    kinds = (pa.int64(), pa.float64(), pa.float64(), pa.int64(), pa.int32())
    values = zip(*((*row, None) for row in rows), strict=True) if rows else [[]] * 5
    return pa.RecordBatch.from_arrays([pa.array(each, kind) for each, kind in zip(values, kinds, strict=True)], names=names)


def stored(loader, table, column="id"):
    """Return the values of a physical table's column, in the order in which they are stored."""
    return [row[0] for row in loader.execute(f"SELECT {column} FROM {DATABASE}.{table} ORDER BY ctid")]  # noqa: S608 (a test's own text)


@pytest.fixture
def send(client):
    """Send a run: rows of each chunk."""

    def run(number, chunks, part="base"):
        ends, end = [], 0
        for rows in chunks.values():
            end += rows.num_rows
            ends.append(end)
        batch = pa.Table.from_batches(chunks.values()).combine_chunks().to_batches()[0]
        message = RunLoad(TRANSACTION, TABLE, number, part, list(chunks), ends)
        return client.load(message, batch.schema, [batch]).rows

    yield run
    client.drop_runs(DropRuns(TRANSACTION))


@pytest.fixture
def build(client):
    def run(table, *runs):
        action = BuildTable(DATABASE, table_to_json(table), TRANSACTION, TABLE, list(runs))
        return {chunk.chunk: chunk for chunk in client.build(action)}

    return run


def test_runs_become_tables_with_the_rows_of_all_of_them_in_order(client, loader, prepared, send, build):
    prepared(STARS)
    assert send(1, {4: stars((1, 10.0, 0.0, 5), (2, 10.0, 1.0, 9)), 7: stars((3, None, None, None))}) == 3
    assert send(2, {4: stars((4, 10.0, 0.0001, 7))}) == 1
    assert send(2, {4: stars((3, 10.0, 0.0, 6))}, "overlap") == 1
    assert send(3, {4: stars((99, 10.0, 0.0, 1))}) == 1
    for _ in range(2):
        built = build(STARS, 1, 2)  # the third does not count
        assert {chunk: (one.rows, one.overlap_rows) for chunk, one in built.items()} == {4: (3, 1), 7: (1, 0)}
        assert stored(loader, "star_4") == [1, 4, 2]
        assert stored(loader, "star_4_overlap") == [3]
    ranges = {column.column: (column.minimum, column.maximum, column.null_count) for column in built[4].statistics}
    assert ranges == {"id": ("1", "4", 0), "ra": ("10.0", "10.0", 0), "dec": ("0.0", "1.0", 0)}
    assert built[4].nearest_deg == built[4].friends_deg == REACH_DEG
    client.drop_runs(DropRuns(TRANSACTION, TABLE))
    assert build(STARS, 1, 2) == {}


def test_a_replicated_table_takes_the_rows_of_its_runs_and_no_others(loader, prepared, send, build):
    prepared(FILTERS)
    rows = pa.RecordBatch.from_pydict({"name": ["g", "r"], "_contribution": pa.nulls(2, pa.int32())})
    for number in (1, 2):
        send(number, {-1: rows})
    assert build(FILTERS, 1, 2)[-1].rows == 4
    assert build(FILTERS, 2)[-1].rows == 2
    assert stored(loader, "filter", "name") == ["g", "r"]
    assert build(FILTERS)[-1].rows == 0
    assert stored(loader, "filter", "name") == []


def test_a_chunk_that_cannot_be_made_ends_the_build(prepared, send, build):
    prepared(STARS)
    send(1, {4: stars((1, 10.0, 0.0, 5)), 5: stars((2, 20.0, 0.0, 5), (2, 20.0, 0.0, 5))})
    with pytest.raises(IngestError, match=r"star: Key \(id\)=\(2\) is duplicated"):
        build(STARS, 1)


def test_who_leaves_a_build_ends_it(client, loader, prepared, send):
    prepared(STARS)
    send(1, {chunk: stars((chunk, 10.0, 0.0, 5)) for chunk in range(4, 404)})
    chunks = client.build(BuildTable(DATABASE, table_to_json(STARS), TRANSACTION, TABLE, [1]))
    assert next(chunks).rows == 1
    chunks.close()
    found = 0
    while (now := _tables(loader)) != found:
        found = now
        loader.execute("SELECT pg_sleep(0.5)")
    assert 0 < found < 400


def _tables(loader):
    sql = "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename LIKE 'star\\_%%'"
    return loader.execute(sql, [DATABASE]).fetchone()[0]
