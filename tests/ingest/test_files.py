import gzip

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.files import open_file
from ingest.formats.source import MAX_BATCH_ROWS, ReadOptions
from ingest.matching import match_columns
from qserv.errors import BadFileError, SchemaError
from schema.model import Column, ColumnType, Table, TableRole


def read(file, columns=None):
    batches = list(file.batches(columns or file.columns))
    return pa.Table.from_batches(batches).to_pylist()


@pytest.fixture
def text(tmp_path):
    def write(content, name="rows.csv"):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def test_csv_values_are_texts_and_only_an_empty_one_without_quotes_is_null(text):
    file = open_file(text('id,name\n1,\n2,""\n3,"a,""b""\nc"\n'))
    assert file.columns == ("id", "name")
    assert read(file) == [{"id": "1", "name": None}, {"id": "2", "name": ""}, {"id": "3", "name": 'a,"b"\nc'}]


def test_an_empty_line_of_a_csv_file_with_one_column_is_null(text):
    assert read(open_file(text("a\n1\n\n3\n"))) == [{"a": "1"}, {"a": None}, {"a": "3"}]


@pytest.mark.parametrize(
    ("name", "delimiter", "content"),
    [
        ("rows.tsv", None, "a\tb\n1\t2\n"),
        ("rows.txt", "|", "a|b\n1|2\n"),
        ("rows.csv.gz", None, "a,b\n1,2\n"),
        ("rows.csv", None, "\ufeffa,b\r\n1,2\r\n"),
    ],
)
def test_delimiters_compression_and_marks(text, name, delimiter, content):
    assert read(open_file(text(content, name), ReadOptions(delimiter=delimiter))) == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "rows.csv", "is empty"),
        ("a,b,a\n1,2,3\n", "rows.csv", "several columns of the name 'a'"),
        ("a,b\n1,2\n3\n", "rows.csv", "Expected 2 columns, got 1"),
        (b"a,b\n1,\xff\n", "rows.csv", "cannot be read"),
        ("a,b\n1,2\n", "rows.dat", "is none of parquet, csv"),
        ("PAR1 and no more", "rows.parquet", "cannot be read"),
        ("a", "rows.parquet", "cannot be read"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(text, content, name, message):
    with pytest.raises(BadFileError, match=message):
        read(open_file(text(content, name)))


def test_a_compressed_file_that_is_cut_off_is_noticed(text):
    path = text("a,b\n" + "1,2\n" * 100_000, "rows.csv.gz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadFileError, match="cannot be read"):
        read(open_file(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadFileError, match=r"gone\.parquet does not exist"):
        open_file(tmp_path / "gone.parquet")


def test_parquet_comes_in_bounded_batches_of_the_columns_asked_for(tmp_path):
    count = MAX_BATCH_ROWS * 2 + 1
    pq.write_table(pa.table({"a": np.arange(count), "b": np.zeros(count)}), tmp_path / "rows.parquet")
    file = open_file(tmp_path / "rows.parquet")
    assert (file.columns, file.row_count) == (("a", "b"), count)
    batches = list(file.batches(["a"]))
    assert max(batch.num_rows for batch in batches) <= MAX_BATCH_ROWS
    assert [batch.schema.names for batch in batches] == [["a"]] * len(batches)
    assert np.concatenate([batch.column(0).to_numpy() for batch in batches]).tolist() == list(range(count))


def table(*names, **derived):
    columns = [Column(name, ColumnType.LONG) for name in names]
    columns += [Column(name, ColumnType.LONG, derived_by=by, derived_from=("tyc_id", "ccdm")) for name, by in derived.items()]
    return Table("star", TableRole.REPLICATED, tuple(columns))


def test_columns_are_found_by_name_in_any_case_and_the_others_are_left(text):
    file = open_file(text("RA,dec,Extra\n1,2,3\n"))
    matching = match_columns(table("ra", "dec"), file)
    assert [match.sources for match in matching.matches] == [("RA",), ("dec",)]
    assert (matching.needed, matching.ignored) == (("RA", "dec"), ("Extra",))


def test_the_exact_name_goes_before_another_case(text):
    assert match_columns(table("ra"), open_file(text("RA,ra\n1,2\n"))).needed == ("ra",)


def test_two_names_that_differ_in_case_alone_are_not_chosen_from(text):
    with pytest.raises(BadFileError, match=r"rows\.csv: column 'ra' is missing; did you mean 'RA', 'Ra'"):
        match_columns(table("ra"), open_file(text("RA,Ra\n1,2\n")))


def test_a_missing_column_is_named_with_the_nearest(text):
    with pytest.raises(BadFileError, match="column 'magnitude' is missing; did you mean 'MAGNITUD'"):
        match_columns(table("magnitude"), open_file(text("MAGNITUD,dec\n1,2\n")))


def test_a_derived_column_is_computed_unless_the_file_has_it(text):
    (match,) = match_columns(table(key="tycho_key"), open_file(text("tyc_id,ccdm\n1-13-1,\n"))).matches
    assert match.sources == ("tyc_id", "ccdm")
    assert match.derivation is not None
    (match,) = match_columns(table(key="tycho_key"), open_file(text("key\n1\n"))).matches
    assert (match.sources, match.derivation) == (("key",), None)


def test_what_a_derived_column_needs_must_be_there(text):
    with pytest.raises(BadFileError, match="column 'ccdm' is missing, from which 'key' is derived"):
        match_columns(table(key="tycho_key"), open_file(text("tyc_id\n1-13-1\n")))


def test_an_unknown_derivation_is_an_error_of_the_schema(text):
    with pytest.raises(SchemaError, match="derived by 'magic'"):
        match_columns(table(key="magic"), open_file(text("tyc_id,ccdm\n1-13-1,\n")))
