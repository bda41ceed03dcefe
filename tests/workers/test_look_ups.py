"""Chunks that are asked for their own keys: through Flight, and as statements that a connection keeps."""

import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, Role
from schema.model import Column, ColumnType, Table, TableRole
from workers.postgresql.columns import MalformedError
from workers.postgresql.prepared import MOST_PREPARED, LookUp, Prepared
from workers.postgresql.stream import PARAMETERS, TOGETHER_BYTES, RowStream
from workers.postgresql.wire import ServerError
from workers.protocol import BatchMark, ChunkQuery, ChunkTask, Lane
from workers.questions import FEW_KEYS, question

KEPT = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"

CHANGING = Table("changing", TableRole.REPLICATED, (Column("n", ColumnType.INT, nullable=False),))


@pytest.fixture
def stream(node, postgres_cluster):
    conninfo = node.postgres.conninfo(Role.READER, NODE_DATABASE, postgres_cluster.secrets)
    stream = RowStream(psycopg.connect(f"{conninfo}?{PARAMETERS}", autocommit=True))
    yield stream
    stream.close()


def chunk(number):
    """Return a relation of 1,000 keys, a thousand times the number of the chunk and what follows it."""
    return f"(SELECT {number} AS chunk, i + {1000 * number} AS key FROM generate_series(0, 999) AS i)"  # noqa: S608 (numbers)


def own(number, *keys):
    return LookUp(f"SELECT key, chunk FROM {chunk(number)} AS t WHERE key = ANY($1)", keys)  # noqa: S608 (a test's own text)


def batches(stream, asked):
    stream.ask(asked)
    stream.schema()
    return list(iter(stream.next_batch, None))


def values(stream, asked):
    return [value for batch in batches(stream, asked) for value in batch.column(0).to_pylist()]


def test_each_chunk_is_asked_for_its_own_keys_and_few_rows_come_together(client, query_id):
    tasks = tuple(ChunkTask(number, {"t": chunk(number)}, [1000 * number, 1000 * number + 7, -1]) for number in (4, 5, 6))
    # Chunk 5 would have 4007 as well, if it were asked for it.
    template = "SELECT key % 1000 AS key, chunk FROM {t} AS t WHERE key = ANY({keys}) OR chunk = 5 AND 4007 = ANY({keys})"
    for _ in range(4):
        with client.query(ChunkQuery(query_id, template, tasks, 60.0, Lane.INTERACTIVE, 16)) as answer:
            ((batch, mark),) = list(answer)
        assert mark == BatchMark((4, 5, 6), end=True)
        assert batch.to_pydict() == {"key": [0, 7] * 3, "chunk": [4, 4, 5, 5, 6, 6]}


@pytest.mark.parametrize("count", [0, 1, FEW_KEYS, FEW_KEYS + 1])
def test_any_number_of_keys_is_looked_up(count, client, query_id):
    tasks = (ChunkTask(4, {"t": chunk(4)}, list(range(4000, 4000 + count))), ChunkTask(5, {"t": chunk(5)}, [5001]))
    query = ChunkQuery(
        query_id, "SELECT key FROM {t} AS t WHERE key = ANY({keys}) AND '{{' <> ''", tasks, 60.0, Lane.INTERACTIVE, 16
    )
    with client.query(query) as answer:
        found = [key for batch, _ in answer for key in batch.column("key").to_pylist()]
    assert found == [*range(4000, 4000 + count), 5001]


def test_many_keys_are_one_statement_with_the_keys_in_it():
    tasks = [ChunkTask(4, {"t": "a"}, range(FEW_KEYS + 1)), ChunkTask(5, {"t": "b"}, [7])]
    asked = question("SELECT {keys} FROM {t}", tasks)
    assert isinstance(asked, str)
    assert asked.endswith("UNION ALL\n(SELECT CAST('{7}' AS BIGINT[]) FROM b\n)")
    assert question("SELECT {keys} FROM {t}", tasks[1:]) == [LookUp("SELECT $1 FROM b", [7])]


def test_a_statement_is_kept_when_it_comes_again(stream):
    asked = [own(4, 4001, 4002), own(5, 5003)]
    for kept in (0, 2, 2):
        assert values(stream, asked) == [4001, 4002, 5003]
        assert values(stream, KEPT) == [kept]
    assert values(stream, [own(4, 4009), own(5)]) == [4009]


def test_so_many_statements_are_kept_those_used_last(stream):
    for _ in range(2):
        for number in range(MOST_PREPARED + 5):
            assert values(stream, [own(number, 1000 * number)]) == [1000 * number]
            values(stream, [own(0, 3)])
    assert values(stream, KEPT) == [MOST_PREPARED]
    assert len(Prepared().messages([own(0, 3)])) > len(stream._prepared.messages([own(0, 3)]))  # noqa: SLF001 (is it kept?)


def test_what_comes_once_is_not_kept(stream):
    for number in range(20):
        values(stream, [own(number, 1000 * number)])
    assert values(stream, KEPT) == [0]


def test_long_answers_come_in_several_batches(stream):
    each = "SELECT key, repeat('x', 1000) AS t FROM {} AS t WHERE key = ANY($1) OR key % 2 = 0"
    found = batches(stream, [LookUp(each.format(chunk(number)), [1]) for number in (4, 5)])
    assert len(found) > 1
    assert sum(batch.nbytes for batch in found) > TOGETHER_BYTES
    assert sorted(key for batch in found for key in batch.column("key").to_pylist()) == [
        *range(4000, 5000, 2),
        *range(5000, 6000, 2),
    ]


@pytest.mark.parametrize("place", [0, 1])
def test_an_error_in_one_of_several_ends_them_all(place, stream):
    asked = [own(4, 4001), own(5, 5001)]
    asked.insert(place, LookUp("SELECT 1 / (key - 6000) AS key, chunk FROM " + chunk(6) + " AS t WHERE key = ANY($1)", [6000]))  # noqa: S608 (a test's own text)
    for _ in range(3):
        with pytest.raises(ServerError, match="division by zero"):
            batches(stream, asked)
        assert stream.ended
    del asked[place]
    for _ in range(3):
        assert values(stream, asked) == [4001, 5001]


def test_look_ups_that_answer_with_other_columns_are_an_error(stream):
    with pytest.raises(MalformedError, match="tables of the same query"):
        batches(stream, [own(4, 4001), LookUp("SELECT 1.5::float8 AS key, 2 AS chunk WHERE 1 = ANY($1)", [1])])


def test_a_table_that_is_made_anew_with_other_columns_is_found(client, prepared, loader, query_id):
    prepared(CHANGING)
    template = 'SELECT n FROM "worker_test"."changing" WHERE n = ANY({keys})'

    def found():
        query = ChunkQuery(query_id, template, (ChunkTask(4, {}, [3, 4]),), 60.0, Lane.INTERACTIVE)
        with client.query(query) as answer:
            return [(str(batch.schema.types[0]), batch.column("n").to_pylist()) for batch, _ in answer]

    loader.execute('INSERT INTO "worker_test"."changing" VALUES (3)')
    for _ in range(3):
        assert found() == [("int32", [3])]
    loader.execute('DROP TABLE "worker_test"."changing"')
    loader.execute('CREATE TABLE "worker_test"."changing" (n bigint)')
    loader.execute('INSERT INTO "worker_test"."changing" VALUES (4)')
    assert found() == [("int64", [4])]
