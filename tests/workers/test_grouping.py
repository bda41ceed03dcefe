"""How many chunks a statement asks."""

from workers.grouping import LARGE_BYTES, MOST_CHUNKS, STATEMENT_BYTES, Grouping


def test_before_anything_is_known_one_chunk_is_asked():
    assert Grouping(2, template_characters=100).chunks(100) == 1


def test_where_few_rows_are_expected_several_chunks_are_asked_at_first_and_what_they_take_decides_further():
    grouping = Grouping(2, template_characters=100, first=16)
    assert (grouping.chunks(100), grouping.chunks(7)) == (16, 7)
    assert Grouping(2, template_characters=100_000, first=16).chunks(100) == 2
    assert Grouping(2, template_characters=100, first=10_000).chunks(10_000) == MOST_CHUNKS
    grouping.learn(16, 16.0, 100)
    assert grouping.chunks(84) == 1


def test_what_is_left_is_shared_among_statements():
    grouping = Grouping(2, template_characters=100)
    grouping.learn(1, 0.001, 100)
    assert grouping.chunks(5) == 3
    assert grouping.chunks(2, running=3) == 2
    assert grouping.chunks(1) == 1


def test_quick_chunks_are_grouped_up_to_a_limit():
    grouping = Grouping(2, template_characters=100)
    grouping.learn(1, 0.01, 100)
    assert grouping.chunks(1000) == 5
    grouping.learn(5, 0.0, 500)
    assert grouping.chunks(1000) == MOST_CHUNKS


def test_less_is_asked_at_once_while_others_read_the_same():
    grouping = Grouping(2, template_characters=100)
    grouping.learn(1, 0.002, 100)
    assert (grouping.chunks(1000), grouping.chunks(1000, alone=False)) == (25, 5)
    at_first = Grouping(2, template_characters=100, first=25)
    assert (at_first.chunks(1000), at_first.chunks(1000, alone=False)) == (25, 5)


def test_slow_and_large_chunks_are_asked_one_by_one():
    grouping = Grouping(2, template_characters=100)
    grouping.learn(4, 4.0, 100)
    assert grouping.chunks(1000) == 1
    grouping.learn(1, 0.001, STATEMENT_BYTES)
    assert grouping.chunks(1000) == 1


def test_of_large_answers_one_is_computed_while_another_one_is_read():
    grouping = Grouping(8, template_characters=100)
    assert grouping.statements == 8
    grouping.learn(1, 0.5, LARGE_BYTES + 1)
    assert grouping.statements == 2


def test_long_templates_are_repeated_few_times():
    for characters, chunks in ((100_000, 2), (10_000_000, 1)):
        grouping = Grouping(2, template_characters=characters)
        grouping.learn(1, 0.001, 100)
        assert grouping.chunks(1000) == chunks


def test_chunks_of_many_tables_are_asked_a_few_at_a_time():
    """A chunk to which rows were appended has several tables for each that the query names."""
    grouping = Grouping(2, template_characters=100, tables=40)
    grouping.learn(1, 0.0, 100)
    assert grouping.chunks(1000) == 6
    assert Grouping(2, template_characters=100, first=16, tables=1_000).chunks(100) == 1
