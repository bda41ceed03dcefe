"""DDL as text: what is made for a director, a dependent and a replicated table."""

import pytest

from qserv.errors import SchemaError
from qserv.ids import ChunkId
from schema.ddl import chunk_statements, drop_statements, index_name, index_statements, prototype_statements, schema_statement
from schema.model import Column, ColumnType, ForeignKey, Table, TableRole
from schema.physical import TABLE_NAME_BYTES, column_list, physical_of, quote, relation, table_name, together

DIRECTOR = Table(
    name="object",
    role=TableRole.DIRECTOR,
    columns=(
        Column("objectId", ColumnType.LONG, nullable=False),
        Column("ra", ColumnType.DOUBLE),
        Column("dec", ColumnType.DOUBLE),
        Column("name", ColumnType.STRING, length=12),
    ),
    primary_key=("objectId",),
    ra="ra",
    dec="dec",
    director_key="objectId",
    indexes=(("name", "ra"), ("name",)),
)
DEPENDENT = Table(
    name="source",
    role=TableRole.DEPENDENT,
    columns=(Column("sourceId", ColumnType.LONG), Column("objectId", ColumnType.LONG), Column("visit", ColumnType.INT)),
    primary_key=("sourceId",),
    director="object",
    director_key="objectId",
    foreign_keys=(ForeignKey("k", ("visit",), "visits", ("visit",)), ForeignKey("o", ("objectId",), "object", ("objectId",))),
)
REPLICATED = Table(name="visits", role=TableRole.REPLICATED, columns=(Column("visit", ColumnType.INT),), primary_key=("visit",))


def test_prototype_of_a_director_has_the_pixel_first_and_other_hidden_columns_last():
    assert schema_statement("dr1") == 'CREATE SCHEMA IF NOT EXISTS "dr1"'
    (statement,) = prototype_statements("dr1", DIRECTOR)
    assert statement.splitlines() == [
        'CREATE TABLE IF NOT EXISTS "dr1"."object" (',
        '    "_healpix_29" bigint,',
        '    "objectId" bigint NOT NULL,',
        '    "ra" double precision,',
        '    "dec" double precision,',
        '    "name" varchar(12),',
        '    "_contribution" integer,',
        '    "_friends" integer,',
        '    "_nearest_deg" double precision',
        ")",
    ]


def test_replicated_table_has_no_pixel():
    statement = 'CREATE TABLE IF NOT EXISTS "dr1"."visits" (\n    "visit" integer,\n    "_contribution" integer\n)'
    assert prototype_statements("dr1", REPLICATED) == [statement]
    assert [s.split(" ON ")[1] for s in index_statements("dr1", REPLICATED, "visits").values()] == ['"dr1"."visits" ("visit")']


def test_chunk_table_is_like_the_prototype():
    assert chunk_statements("dr1", DIRECTOR, "object_49_overlap") == [
        'CREATE TABLE IF NOT EXISTS "dr1"."object_49_overlap" (LIKE "dr1"."object") WITH (autovacuum_enabled = false)',
    ]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            DIRECTOR,
            [
                *('UNIQUE INDEX|("objectId")', 'INDEX|("_healpix_29")', 'INDEX|("name", "ra")'),
                'INDEX|("_nearest_deg") INCLUDE ("_healpix_29", "_friends", "objectId", "ra", "dec") WHERE "_nearest_deg" IS NOT NULL',  # noqa: E501
            ],
        ),
        (DEPENDENT, ['UNIQUE INDEX|("sourceId")', 'INDEX|("objectId")', 'INDEX|("_healpix_29")', 'INDEX|("visit")']),
    ],
)
def test_indexes_are_those_that_queries_need_and_none_twice(table, expected):
    statements = list(index_statements("dr1", table, f"{table.name}_7").values())
    found = [f"{s.split(' IF ')[0].removeprefix('CREATE ')}|{s.partition(' ON ')[2].partition(' ')[2]}" for s in statements]
    assert found == expected
    assert all(f' ON "dr1"."{table.name}_7" ' in s for s in statements)


def test_index_names_fit_and_differ_in_the_longest_table_names():
    longest = "t" * TABLE_NAME_BYTES
    names = {
        index_name(table_name(longest, ChunkId(2**63 - chunk), overlap=overlap), (column,))
        for chunk in (1, 2)
        for overlap in (False, True)
        for column in ("a", "b")
    }
    assert len(names) == 8
    assert all(len(name.encode()) <= 63 for name in names)


def test_drops_are_in_batches():
    statements = drop_statements("dr1", [f"object_{chunk}" for chunk in range(4, 1004)])
    assert [s.count('"dr1".') for s in statements] == [500, 500]
    assert drop_statements("dr1", []) == []


def test_names_are_quoted():
    assert quote('a"b') == '"a""b"'
    assert relation("dr1", "Object", None) == '"dr1"."Object"'
    assert relation("dr1", "Object", ChunkId(0)) == '"dr1"."Object_0"'


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_postgresql_cannot_name_is_refused(name):
    with pytest.raises(SchemaError, match="cannot be an SQL identifier"):
        quote(name)


def test_a_table_as_a_whole_has_no_overlap():
    with pytest.raises(SchemaError, match="no overlap of its own"):
        table_name("object", None, overlap=True)


@pytest.mark.parametrize(
    ("physical", "expected"),
    [
        ("object_49", (49, False, 0)),
        ("object_49_overlap", (49, True, 0)),
        ("object_49~5", (49, False, 5)),
        ("object_49~5_overlap", (49, True, 5)),
        ("object~5", (None, False, 5)),
        ("object", None),
        ("object_overlap", None),
        ("object_s5", None),
        ("object_49~5~6", None),
        ("object_extra_49", None),
        ("objects_49", None),
        ("source_49", None),
    ],
)
def test_chunk_is_read_back_from_a_name(physical, expected):
    assert physical_of("object", physical) == expected
    if expected is not None:
        chunk, overlap, segment = expected
        assert table_name("object", chunk, overlap=overlap, segment=segment) == physical


def test_rows_of_several_tables_are_together():
    assert together(['"a"."b_1"'], column_list(["x"])) == '"a"."b_1"'
    both = '(SELECT "x", "y" FROM "a"."b_1" AS rows UNION ALL SELECT "x", "y" FROM "a"."b_1~2" AS rows)'
    assert together(['"a"."b_1"', '"a"."b_1~2"'], column_list(["x", "y"])) == both


def test_a_segment_whose_name_would_be_cut_is_refused():
    assert len(table_name("t" * 34, ChunkId(4 * 4**12), overlap=True, segment=10**8)) <= 63
    with pytest.raises(SchemaError, match="rows cannot be appended to table tttt"):
        table_name("t" * 34, ChunkId(4 * 4**25), segment=10**12)
