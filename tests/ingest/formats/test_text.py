"""Options of CSV."""

import pytest

from ingest.files import open_file
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
    for text, names, got in (("1,2\n3\n", ["a", "b", "c"], 1), ("1,2,3\n", ["a", "b"], 3)):
        with pytest.raises(BadFileError, match=f"Expected 2 columns, got {got}"):
            read(tmp_path, text, names, header=False)


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
