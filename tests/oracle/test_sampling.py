"""TABLESAMPLE: what a sample is, whatever PostgreSQL would draw."""

import hashlib

import pyarrow as pa
import pytest

from qserv.errors import QueryError

STARS = 118_218


def column(loaded, text, **options):
    answer, batches = loaded.ask(text, **options)
    return pa.Table.from_batches(batches, answer.schema).column(0).to_pylist()


def keys(loaded, sample, table="hipparcos", key="hip"):
    return set(shown(loaded, key, f"{table} TABLESAMPLE {sample}"))


def shown(loaded, item, relation="hipparcos"):
    return column(loaded, f"SELECT {item} FROM {relation}")  # noqa: S608 (texts of this file)


@pytest.mark.parametrize("method", ["BERNOULLI", "system"])
@pytest.mark.parametrize("percent", [0.5, 10, 75.5])
def test_a_sample_has_about_its_percentage(method, percent, loaded):
    expected = STARS * percent / 100
    found = len(keys(loaded, f"{method} ({percent}) REPEATABLE (1)"))
    assert abs(found - expected) < 5 * (expected * (1 - percent / 100)) ** 0.5


def test_nothing_and_everything(loaded):
    assert keys(loaded, "BERNOULLI (0)") == set()
    assert len(keys(loaded, "BERNOULLI (100)")) == STARS
    assert column(loaded, "SELECT COUNT(*) FROM hipparcos TABLESAMPLE SYSTEM (0)") == [0]


def test_a_seed_gives_the_same_rows_again_and_another_seed_others(loaded):
    found = keys(loaded, "BERNOULLI (5) REPEATABLE (7)")
    assert found == keys(loaded, "BERNOULLI (5) REPEATABLE (7.0)")
    others = keys(loaded, "BERNOULLI (5) REPEATABLE (-7)")
    assert len(found & others) < 0.1 * len(found)


def test_without_a_seed_each_query_has_another_sample(loaded):
    one, other = (keys(loaded, "BERNOULLI (5)") for _ in range(2))
    assert len(one & other) < 0.1 * len(one)


def test_a_smaller_sample_is_part_of_a_larger_one(loaded):
    assert keys(loaded, "BERNOULLI (1) REPEATABLE (3)") < keys(loaded, "BERNOULLI (10) REPEATABLE (3)")


def test_rows_draw_by_their_keys_alone(loaded):
    """So it makes no difference on which chunk or node they are."""
    lots = {key: int(hashlib.md5(f"{key} 3".encode()).hexdigest()[:13], 16) * 100 / 2**52 for key in shown(loaded, "hip")}  # noqa: S324 (no secret)
    assert keys(loaded, "BERNOULLI (10) REPEATABLE (3)") == {key for key, lot in lots.items() if lot < 10}


def test_an_object_and_its_dependents_are_sampled_together(loaded):
    objects = keys(loaded, "SYSTEM (20) REPEATABLE (5)", "object", "object_id")
    sources = keys(loaded, "SYSTEM (20) REPEATABLE (5)", "source", "object_id")
    every = set(column(loaded, "SELECT object_id FROM source"))
    assert sources == objects & every
    by_row = column(loaded, "SELECT object_id FROM source TABLESAMPLE BERNOULLI (20) REPEATABLE (5)")
    assert len(set(by_row) - objects) > 100


def test_a_join_of_samples_is_chunk_local(loaded):
    text = """SELECT o.object_id, COUNT(*) FROM object AS o TABLESAMPLE SYSTEM (20) REPEATABLE (5)
        JOIN source AS s TABLESAMPLE SYSTEM (20) REPEATABLE (5) ON s.object_id = o.object_id GROUP BY o.object_id"""
    assert not loaded.runner.run(loaded.session.explain(text)).steps
    sources = keys(loaded, "SYSTEM (20) REPEATABLE (5)", "source", "object_id")
    assert set(column(loaded, text)) == sources


def test_a_sample_on_one_side_of_an_outer_join(loaded):
    text = """SELECT COUNT(*), COUNT(o.object_id) FROM object AS a
        LEFT JOIN object AS o TABLESAMPLE BERNOULLI (10) REPEATABLE (2) ON o.object_id = a.object_id"""
    answer, batches = loaded.ask(text)
    ((every, found),) = (tuple(row.values()) for row in pa.Table.from_batches(batches, answer.schema).to_pylist())
    assert every == column(loaded, "SELECT COUNT(*) FROM object")[0]
    assert found == len(keys(loaded, "BERNOULLI (10) REPEATABLE (2)", "object", "object_id"))


def test_a_sample_prunes_as_its_table_does(loaded):
    cone = "WHERE CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE(56.75, 24.12, 1)) = 1"
    whole, part = (
        loaded.runner.run(loaded.session.explain(f"SELECT hip FROM hipparcos {sample} {cone}"))  # noqa: S608 (as above)
        for sample in ("", "TABLESAMPLE BERNOULLI (50)")
    )
    assert part.chunks == whole.chunks


@pytest.mark.parametrize("table", ["nothing_of_it", "visit", "edges.filter"])
def test_tables_of_every_kind_are_sampled(table, loaded):
    assert shown(loaded, "COUNT(*)", f"{table} TABLESAMPLE BERNOULLI (100)") == shown(loaded, "COUNT(*)", table)


@pytest.mark.parametrize(
    ("sample", "code", "says"),
    [
        ("hipparcos TABLESAMPLE BERNOULLI (100.5)", "query.value", "between 0 and 100"),
        ("hipparcos TABLESAMPLE BERNOULLI (-1)", "query.value", "between 0 and 100"),
        ("hipparcos TABLESAMPLE BERNOULLI (NULL)", "query.value", "percentage of TABLESAMPLE cannot be NULL"),
        ("hipparcos TABLESAMPLE BERNOULLI (5) REPEATABLE (NULL)", "query.value", "seed of TABLESAMPLE cannot be NULL"),
        ("hipparcos TABLESAMPLE random (5)", "query.unknown_name", "unknown sampling method RANDOM"),
        ("hipparcos TABLESAMPLE SYSTEM (abs(5))", "query.not_yet_supported", "the percentage of TABLESAMPLE"),
        ("(SELECT 1) AS q TABLESAMPLE SYSTEM (5)", "query", "TABLESAMPLE takes rows of a table"),
        ("nowhere TABLESAMPLE SYSTEM (5)", "query.unknown_name", "unknown table nowhere"),
    ],
)
def test_errors(sample, code, says, loaded):
    with pytest.raises(QueryError, match=says) as wrong:
        shown(loaded, "*", sample)
    assert wrong.value.code == code
