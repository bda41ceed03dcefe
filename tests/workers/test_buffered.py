"""Tables whose pages are to stay in PostgreSQL's buffers."""

import pytest

from schema.physical import column_list, relation, together
from workers.postgresql.buffered import buffered, tables_of


@pytest.mark.parametrize(
    "text", ["generate_series(1, 3)", "(SELECT 1 AS one)", '"star"', '"a"."b" AS c', '"a"."b", "a"."c"', "0.5"]
)
def test_what_is_no_name_of_a_table_stays_as_it_is(text):
    assert buffered(text) == text


def test_it_has_all_rows_of_the_table_by_their_addresses(loader):
    name = relation("pg_temp", 'a "quoted" name', None)
    loader.execute(f"CREATE TEMP TABLE {name.partition('.')[2]} AS SELECT * FROM generate_series(1, 5000) AS i")  # noqa: S608 (a test's own text)
    loader.execute(f"DELETE FROM {name} WHERE i < 1000")  # noqa: S608 (the same)
    loader.execute(f"ANALYZE {name}")
    sql = f"SELECT sum(i) FROM {buffered(name)} AS t WHERE i <> 2000"  # noqa: S608 (the same)
    assert loader.execute(sql).fetchone() == (sum(range(1000, 5001)) - 2000,)
    plan = "\n".join(line for (line,) in loader.execute(f"EXPLAIN {sql}"))
    assert "Tid Range Scan" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize("columns", [(), ("from", "x")])
def test_several_tables_are_read_as_one(columns):
    names = [relation("a", "b", None), relation("a FROM b", "c", None)]
    rows = together(names, column_list(columns))
    assert tables_of(rows) == names
    assert buffered(rows) == together(list(map(buffered, names)), column_list(columns))
