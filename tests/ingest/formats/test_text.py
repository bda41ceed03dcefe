"""Options of CSV."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.files import open_file
from ingest.formats import text
from ingest.formats.source import ReadOptions
from qserv.errors import BadFileError


def read(tmp_path, content, names=(), encoding="utf-8", **options):
    path = tmp_path / "rows.csv"
    path.write_bytes(content.encode(encoding))
    file = open_file(path, ReadOptions(encoding=encoding, **options), names)
    return [row for batch in file.batches(file.columns) for row in batch.to_pylist()]


def test_without_a_header_columns_are_in_the_order_of_the_table(tmp_path):
    assert read(tmp_path, "1,2\n3,\n", ["a", "b"], header=False) == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]


def test_without_a_header_each_row_has_as_many_values_as_the_first_one(tmp_path):
    """Which may be less than the table has, where its last columns were added."""
    assert read(tmp_path, "1,2\n3,\n", ["a", "b", "c"], header=False) == [{"a": "1", "b": "2"}, {"a": "3", "b": None}]
    for content, names, got in (("1,2\n3\n", ["a", "b", "c"], 1), ("1,2,3\n", ["a", "b"], 3)):
        with pytest.raises(BadFileError, match=f"Expected 2 columns, got {got}"):
            read(tmp_path, content, names, header=False)


def test_texts_of_null(tmp_path):
    rows = read(tmp_path, 'a,b\n\\N,NULL\n"NULL",\n', null_texts=("\\N", "NULL"))
    assert rows == [{"a": None, "b": None}, {"a": "NULL", "b": ""}]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252", "utf-8"])
def test_encodings(tmp_path, encoding):
    assert read(tmp_path, "naïve,b\né,ü\n", encoding=encoding) == [{"naïve": "é", "b": "ü"}]


def test_a_wrong_encoding_is_noticed(tmp_path):
    (tmp_path / "rows.csv").write_bytes("a,b\né,1\n".encode("latin-1"))
    with pytest.raises(BadFileError, match="cannot be read"):
        list(open_file(tmp_path / "rows.csv").batches(["a"]))


def test_quotes(tmp_path):
    assert read(tmp_path, "a,b\n'x,y',\"\n", quote="'") == [{"a": "x,y", "b": '"'}]
    assert read(tmp_path, 'a,b\n"x,y"\n', quote=None) == [{"a": '"x', "b": 'y"'}]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([0, 1, 5, 30, 90]), max_size=60), st.sampled_from([64, 100, 400]), st.sampled_from([1, 300, 10**6]))
def test_rows_longer_than_a_block_come_once_and_in_order(tmp_path_factory, lengths, block, batch):
    rows = [{"a": str(number), "b": "x" * length} for number, length in enumerate(lengths)]
    content = "a,b\n" + "".join(f'{row["a"]},"{row["b"]}"\n' for row in rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        patch.setattr(text, "LONGEST_ROW_BYTES", 500)
        patch.setattr(text, "BATCH_BYTES", batch)
        assert read(tmp_path_factory.mktemp("rows"), content) == rows


def test_the_longest_row_there_may_be(tmp_path):
    row = {"a": "1", "b": "x" * (text.LONGEST_ROW_BYTES - 100)}
    head, tail = "".join(f"{number},short\n" for number in range(200_000)), f"{row['a']},{row['b']}\n"
    found = read(tmp_path, f"a,b\n{head}{tail}2,end\n")
    assert (len(found), found[-2:]) == (200_002, [row, {"a": "2", "b": "end"}])
    with pytest.raises(BadFileError, match="a row is longer than 8 MiB, or a quote does not end"):
        read(tmp_path, f"a,b\n{head}{tail * 2}".replace("\n1,x", "x"))


@pytest.mark.parametrize("place", [text.BLOCK_BYTES, text.LONGEST_ROW_BYTES])
def test_line_ends_within_quotes_are_of_the_value_wherever_they_are(tmp_path, place):
    row = "1,xxxxxxxxxxx\n"
    before = "a,b\n" + row * ((place - 100) // len(row))
    filled = before + "8," + "y" * (place - len(before) - len('8,\n9,"two\r')) + "\n"
    found = read(tmp_path, f'{filled}9,"two\r\nlines"\n{row * 10}')
    assert (filled + '9,"two\r\n').encode()[place - 1 : place + 1] == b"\r\n"
    assert [row["b"] for row in found if row["a"] == "9"] == ["two\r\nlines"]
    assert len(found) == before.count("\n") - 1 + 2 + 10


def test_a_line_of_names_longer_than_a_block(tmp_path):
    names = [f"{number}{'n' * 1000}" for number in range(text.BLOCK_BYTES // 1000)]
    values = [str(number) for number in range(len(names))]
    assert read(tmp_path, f"{','.join(names)}\n{','.join(values)}\n") == [dict(zip(names, values, strict=True))]
