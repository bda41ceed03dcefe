import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qserv.errors import QueryValueError
from tap.formats import parquet
from tap.formats.delimited import CsvEncoder, TsvEncoder
from tap.formats.encoder import Facts, Outcome
from tap.formats.outputs import OUTPUTS, find_output
from tap.formats.parquet import ParquetEncoder


def encode(encoder, fields, batches):
    writer = encoder(fields, Facts())
    return writer.head() + b"".join(writer.rows(batch) for batch in batches) + writer.tail(Outcome())


def test_csv_is_read_by_csv_readers(fields, batch):
    rows = list(csv.reader(io.StringIO(encode(CsvEncoder, fields, [batch.slice(0, 1), batch.slice(1)]).decode(), newline="")))
    assert rows[0] == batch.schema.names
    assert rows[1] == [
        str(2**62), "1e-300", "a<b>&\"'c", "true", "1.1", "-32768", str(2**31 - 1), "1991-04-02T13:30:00", "Größe é", "00ff",
    ]  # fmt: skip
    assert rows[2] == ["", "", "", "false", "", "7", "", "", "", ""]
    assert rows[3][1:3] == ["NaN", ""]
    assert rows[4][1:3] == ["-Inf", "y ~x,\t\nz"]


def test_csv_tells_an_empty_text_from_null(fields, batch):
    lines = encode(CsvEncoder, fields, [batch.slice(1, 2)]).split(b"\r\n")
    assert lines[1] == b",,,false,,7,,,,"
    assert lines[2].startswith(b'-1,NaN,"",')


def test_tsv_keeps_rows_on_their_lines(fields, batch):
    lines = encode(TsvEncoder, fields, [batch]).decode().split("\n")
    assert len(lines) == 6
    assert lines[0].split("\t") == batch.schema.names
    assert lines[4].split("\t")[2] == "y ~x,  z"


def test_parquet_holds_the_same_rows_and_says_what_they_mean(fields, batch, monkeypatch):
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", batch.nbytes * 2)
    document = encode(ParquetEncoder, fields, [batch, batch, batch])
    file = pq.ParquetFile(io.BytesIO(document))
    assert file.metadata.num_row_groups == 2
    expected = pa.Table.from_batches([batch] * 3)
    assert str(file.read().to_pydict()) == str(expected.to_pydict())  # as text, because NaN is not equal to itself
    assert b'ucd="pos.eq.ra;meta.main"' in file.schema_arrow.metadata[b"IVOA.VOTable-Parquet.content"]


def test_parquet_without_rows_is_a_file(fields, batch):
    assert pq.read_table(io.BytesIO(encode(ParquetEncoder, fields, []))).schema.names == batch.schema.names


def test_formats_are_found_by_any_of_their_names():
    assert find_output(None) is OUTPUTS[0]
    for name in ("VOTable", "application/x-votable+xml", 'application/x-votable+xml; serialization="BINARY2"'):
        assert find_output(name).suffix == "vot"
    assert find_output("application/x-votable+xml;serialization=TABLEDATA").encoder is find_output("text/xml").encoder
    assert find_output("text/csv; header=present").suffix == "csv"
    with pytest.raises(QueryValueError, match="'docx' is not supported; there are: votable, "):
        find_output("docx")
