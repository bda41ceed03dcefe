import io
import xml.etree.ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schema.model import Column, ColumnType
from tap.formats.binary2 import Base64Stream, Binary2Encoder
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import fields_of
from tap.formats.tabledata import TabledataEncoder

ENCODERS = [Binary2Encoder, TabledataEncoder]
NS = {"v": "http://www.ivoa.net/xml/VOTable/v1.3"}


def encode(encoder, fields, batches, outcome=None, facts=None):
    writer = encoder(fields, facts or Facts())
    return writer.head() + b"".join(writer.rows(batch) for batch in batches) + writer.tail(outcome or Outcome())


def read(document):
    return parse(io.BytesIO(document), verify="exception").get_first_table()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_values_come_back(encoder, fields, batch):
    table = read(encode(encoder, fields, [batch]))
    array = table.array
    assert array["id"].tolist() == [2**62, None, -1, 0]
    np.testing.assert_array_equal(array["ra"].filled(np.nan), [1e-300, np.nan, np.nan, -np.inf])
    assert array["ra"].mask[1]
    assert array["name"].data.tolist() == ["a<b>&\"'c", "", "", "y ~x,\t\nz"]
    assert array["good"].tolist() == [True, False, None, True]
    np.testing.assert_array_equal(array["vmag"].filled(np.nan), np.float32([1.1, np.nan, np.inf, -0.0]))
    assert array["flag"].tolist() == [-32768, 7, None, 32767]
    assert array["hip"].tolist() == [2**31 - 1, None, 0, -5]
    assert array["seen"].data.tolist() == ["1991-04-02T13:30:00", "", "2020-01-01T00:00:00.25", "0001-01-01T00:00:00"]
    assert array["label"].data.tolist() == ["Größe é", "", "🔭 x", ""]
    assert [list(map(int, np.ma.filled(value))) for value in array["blob"].data] == [[0, 255], [], [], [97, 98, 99]]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_rows_do_not_depend_on_how_they_are_cut_into_batches(encoder, fields, batch):
    pieces = [batch.slice(0, 1), batch.slice(1, 0), batch.slice(1, 2), batch.slice(3)]
    assert encode(encoder, fields, pieces) == encode(encoder, fields, [batch])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_answer_without_rows_is_a_table(encoder, fields, batch):
    table = read(encode(encoder, fields, []))
    assert len(table.array) == 0
    assert [field.name for field in table.fields] == batch.schema.names


def test_fields_say_what_the_columns_mean(fields, batch):
    document = parse(io.BytesIO(encode(Binary2Encoder, fields, [batch], facts=Facts((("QUERY", 'SELECT "a" < 1'),)))))
    table = document.get_first_table()
    by_name = {field.name: field for field in table.fields}
    assert table.ID == "result" or table.name == "result"
    assert (by_name["ra"].unit.to_string(), by_name["ra"].ucd) == ("deg", "pos.eq.ra;meta.main")
    assert by_name["ra"].description == "Right ascension, <b>& more</b>."
    assert (by_name["name"].datatype, by_name["name"].arraysize) == ("char", "12*")
    assert (by_name["seen"].xtype, by_name["seen"].ref) == ("timestamp", "time_TCB_BARYCENTER")
    (system,) = document.resources[0].coordinate_systems
    assert (system.ID, system.system, system.epoch) == ("ICRS_J1991.25", "ICRS", "J1991.25")
    assert by_name["ra"].ref == "ICRS_J1991.25"
    assert by_name["vmag"].ref is None
    (times,) = document.resources[0].time_systems
    assert (times.timescale, times.refposition) == ("TCB", "BARYCENTER")
    assert {info.name: info.value for info in document.resources[0].infos} == {"QUERY_STATUS": "OK", "QUERY": 'SELECT "a" < 1'}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize(
    ("outcome", "said"),
    [(Outcome(overflow=True), ("OVERFLOW", None)), (Outcome(error="node <2> & \x01 gone"), ("ERROR", "node <2> &  gone"))],
)
def test_how_it_ended_stands_behind_the_table(encoder, fields, batch, outcome, said):
    document = encode(encoder, fields, [batch], outcome)
    resource = ET.fromstring(document).find("v:RESOURCE", NS)  # noqa: S314 (a document of our own)
    last = list(resource)[-1]
    assert resource.find("v:TABLE", NS) is not None
    assert last.get("name") == "QUERY_STATUS"
    assert (last.get("value"), last.text) == said


@pytest.mark.parametrize("encoder", ENCODERS)
def test_text_beyond_ascii_in_a_char_column_is_told(encoder):
    batch = pa.record_batch({"a": ["x", "Größe", None]})
    fields = fields_of([Named("a", Column("a", ColumnType.STRING))], batch.schema)
    document = encode(encoder, fields, [batch])
    assert read(document).array["a"].tolist() == ["x", "Gr??e", ""]
    assert b'<INFO name="WARNING" value="characters of column a beyond ASCII' in document


class Named:
    def __init__(self, name, column):
        self.name, self.column, self.table = name, column, None


texts = st.one_of(
    st.none(), st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufffe\uffff"), max_size=6)
)


@settings(max_examples=40, deadline=None)
@example([(None, " 0 ", None)], 1)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), texts, st.one_of(st.none(), st.floats())), min_size=1
    ),
    st.integers(1, 4),
)
def test_any_rows_come_back(rows, size):
    schema = pa.schema([("i", pa.int64()), ("t", pa.large_string()), ("x", pa.float64())])
    kinds = (ColumnType.LONG, ColumnType.UNICODE, ColumnType.DOUBLE)
    fields = fields_of([Named(field.name, Column(field.name, kind)) for field, kind in zip(schema, kinds, strict=True)], schema)
    batch = pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), schema, strict=True)], schema
    )
    batches = [batch.slice(start, size) for start in range(0, len(rows), size)]
    for encoder in ENCODERS:
        array = read(encode(encoder, fields, batches)).array
        assert array["i"].tolist() == [row[0] for row in rows]
        for found, (_, text, _) in zip(array["t"].data.tolist(), rows, strict=True):
            # astropy takes blanks at either end off what is in a TD.
            assert found == ((text or "") if encoder is ENCODERS[0] else (text or "").strip(" "))
        expected = np.array([np.nan if row[2] is None else row[2] for row in rows])
        np.testing.assert_array_equal(array["x"].filled(np.nan), expected)


def test_base64_is_one_stream_whatever_the_pieces():
    stream = Base64Stream()
    pieces = [b"a", b"", b"bc", b"d", b"e", b"fghij", b"kl"]
    assert b"".join(stream.feed(memoryview(piece)) for piece in pieces) + stream.finish() == b"YWJjZGVmZ2hpamts"
