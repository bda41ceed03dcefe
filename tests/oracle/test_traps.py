"""Where engines differ and no row shows it: errors of the native dialect, the time, random numbers; see corpus/traps.yaml."""

import datetime as dt

import psycopg
import pyarrow as pa
import pytest

from qserv.errors import QueryEvaluationError

PLACES = {
    "in_a_chunk": "SELECT {} FROM (SELECT 1) AS one CROSS JOIN object WHERE field = 1",
    "of_a_table": "SELECT {} FROM object",
    "merged": "SELECT {} FROM object GROUP BY field",
    "in_a_step": "SELECT {} FROM (SELECT object_id, COUNT(*) AS field FROM source GROUP BY object_id) AS s",
}

FAILING = {
    "division_by_zero": ("1 / (field - field)", "division by zero"),
    "remainder_by_zero": ("field % (field - field)", "division by zero"),
    "square_root_of_minus_one": ("SQRT(-1.0::double precision - field)", "square root"),
    "logarithm_of_zero": ("LN((field - field)::double precision)", "logarithm"),
    "exponential_of_1000": ("EXP(1000.0::double precision + field)", "overflow"),
    "integer_beyond_its_type": ("2147483647 + CAST(field AS INTEGER) + 1", "out of range"),
    "text_that_is_no_number": ("CAST('x' || field AS INTEGER)", "invalid input syntax"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FAILING)
def test_error_is_the_oracles(name, place, loaded):
    expression, says = FAILING[name]
    text = PLACES[place].format(expression)
    with pytest.raises(psycopg.DataError, match=says):
        loaded.plain.execute(text)
    with pytest.raises(QueryEvaluationError, match=says):
        loaded.ask(text)


def column(loaded, text):
    answer, batches = loaded.ask(text)
    return pa.Table.from_batches(batches, answer.schema).column(0).to_pylist()


def test_now_is_one_time_in_all_chunks(loaded):
    assert column(loaded, "SELECT COUNT(DISTINCT t) FROM (SELECT NOW() AS t FROM object) AS s") == [1]


def test_now_is_one_time_in_all_steps(loaded):
    text = "SELECT COUNT(*) FROM object WHERE NOW() = (SELECT MAX(t) FROM (SELECT NOW() AS t FROM source) AS s)"
    assert column(loaded, text) == column(loaded, "SELECT COUNT(*) FROM object")


def test_now_is_the_present(loaded):
    (now,) = column(loaded, "SELECT EXTRACT(EPOCH FROM NOW()) FROM lonely")
    assert abs(now - dt.datetime.now(dt.UTC).timestamp()) < 60


def test_random_numbers_differ_from_row_to_row(loaded):
    found = column(loaded, "SELECT RANDOM() FROM object")
    assert len(set(found)) > len(found) / 2
    assert all(0 <= value < 1 for value in found)


def test_random_condition_takes_some_rows(loaded):
    (every,) = column(loaded, "SELECT COUNT(*) FROM object")
    (found,) = column(loaded, "SELECT COUNT(*) FROM object WHERE RANDOM() < 0.5")
    assert 0.4 * every < found < 0.6 * every


def test_random_number_of_a_row_is_the_same_wherever_it_is_used(loaded):
    text = """WITH r AS (SELECT object_id, RANDOM() AS x FROM object WHERE field = 1)
        SELECT COUNT(*), SUM(CASE WHEN a.x = b.x THEN 1 ELSE 0 END) FROM r AS a JOIN r AS b ON a.object_id = b.object_id"""
    answer, batches = loaded.ask(text)
    ((every, same),) = (tuple(row.values()) for row in pa.Table.from_batches(batches, answer.schema).to_pylist())
    assert every == same > 100
