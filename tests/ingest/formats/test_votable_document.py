"""Documents of VOTable: how they are known, what stands in them besides rows, and what is wrong with them."""

import base64
import contextlib
import gzip
import struct
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import open_file
from ingest.formats import votable_binary as binary
from ingest.formats import votable_document as module
from ingest.formats.source import Format, ReadOptions
from ingest.formats.votable import VotableFile
from qserv.errors import BadFileError
from tests.support.votables import BEGIN, END, cells, field, read, streamed


def test_the_first_table_with_data_and_its_own_fields_alone(document):
    content = """<?xml version="1.0" encoding="UTF-8"?><!-- A comment. -->
    <!DOCTYPE vot:VOTABLE SYSTEM "http://us-vo.org/xml/VOTable.dtd">
    <vot:VOTABLE version="1.1" xmlns:vot="http://www.ivoa.net/xml/VOTable/v1.1"><vot:INFO name="QUERY_STATUS" value="OK"/>
    <vot:RESOURCE><vot:TABLE><vot:FIELD name="none" datatype="int"/></vot:TABLE><vot:RESOURCE><vot:TABLE>
    <vot:PARAM name="p" datatype="int" value="1"><vot:VALUES null="5"/></vot:PARAM><vot:FIELD ID="n" datatype="int" unit="s"/>
    <vot:GROUP><vot:FIELD name="g" datatype="int"/><vot:PARAM name="q" datatype="int" value="2"/></vot:GROUP>
    <vot:FIELD ID="f2" name="x" datatype="char" arraysize="*"/>
    <vot:DATA><vot:TABLEDATA> <vot:TR> <vot:TD>5</vot:TD> <vot:TD>a<![CDATA[<b>]]>&amp;&#65;</vot:TD> </vot:TR>
    </vot:TABLEDATA></vot:DATA></vot:TABLE></vot:RESOURCE></vot:RESOURCE>
    <vot:RESOURCE><vot:TABLE><vot:FIELD name="z" datatype="int"/>
    <vot:DATA><vot:TABLEDATA><vot:TR><vot:TD>9</vot:TD></vot:TR>
    </vot:TABLEDATA></vot:DATA></vot:TABLE></vot:RESOURCE></vot:VOTABLE>"""
    path = document(content)
    assert read(path) == {"n": [5], "x": ["a<b>&A"]}
    assert open_file(path).units == {"n": "s"}


SMALL = cells(field("a", "int"), (1,), (2,))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (SMALL.encode("utf-8-sig"), "rows"),
        (b"\n  <!-- rows -->" + SMALL.encode(), "rows.csv"),
        (('<?xml version="1.0" encoding="utf-16"?>' + SMALL).encode("utf-16"), "rows"),
        (('<?xml version="1.0" encoding="iso-8859-1"?>' + SMALL).encode("latin-1"), "rows"),
        (gzip.compress(SMALL.encode()), "rows.xml.gz"),
    ],
)
def test_a_document_is_known_by_its_begin(document, content, name):
    path = document(content, name)
    assert isinstance(open_file(path).file, VotableFile)
    assert read(path) == {"a": [1, 2]}


def test_a_document_is_known_by_its_ending_or_by_what_is_said(document):
    content = " " * 1000 + SMALL
    assert open_file(document(content)).columns == ("a",)
    assert open_file(document(content, "rows.csv"), ReadOptions(Format.VOTABLE)).columns == ("a",)


@pytest.mark.parametrize(
    "empty", ["<TABLEDATA/>", '<BINARY><STREAM encoding="base64"/></BINARY>', "<BINARY2><STREAM> </STREAM></BINARY2>"]
)
def test_a_table_without_rows(document, empty):
    assert read(document(f"{BEGIN}{field('a', 'int')}<DATA>{empty}</DATA>{END}")) == {"a": []}


def fits_bytes(tmp_path, count=3):
    path = tmp_path / "inside.fits"
    fits.BinTableHDU.from_columns([fits.Column("a", "J", unit="deg", array=np.arange(count))]).writeto(path, overwrite=True)
    return path.read_bytes()


def test_a_fits_file_in_a_stream(document, tmp_path):
    path = document(streamed(field("a", "int"), fits_bytes(tmp_path), "FITS"))
    assert (open_file(path).columns, open_file(path).units) == (("a",), {"a": "deg"})
    assert read(path) == {"a": [0, 1, 2]}
    content = path.read_text()
    path.write_text(content.replace("</RESOURCE>", '<INFO name="QUERY_STATUS" value="OVERFLOW"/></RESOURCE>'))
    with pytest.raises(BadFileError, match="OVERFLOW"):
        read(path)
    path.write_text(content.replace("<FITS>", '<FITS extnum="2">'))
    with pytest.raises(BadFileError, match="extension 2"):
        read(path)
    path.write_text(streamed(field("a", "int"), fits_bytes(tmp_path)[:-2880], "FITS"))
    with pytest.raises(BadFileError, match="ends before its last row"):
        read(path)


OVERFLOW = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>'
ERROR = '<INFO name="QUERY_STATUS" value="ERROR">no such <!-- ? -->table\n t</INFO>'


@pytest.mark.parametrize(("info", "message"), [(OVERFLOW, "not hold all rows.*larger MAXREC"), (ERROR, "ERROR.: no such table t;")])
def test_an_answer_that_failed_or_is_not_whole_is_refused(document, info, message):
    begin = document(SMALL.replace("<RESOURCE>", f"<RESOURCE>{info}"))
    with pytest.raises(BadFileError, match=message):
        open_file(begin)
    with pytest.raises(BadFileError, match=message):
        open_file(document(f"<VOTABLE><RESOURCE>{info}</RESOURCE></VOTABLE>"))
    end = document(SMALL.replace("</RESOURCE>", f"{info}</RESOURCE>"))
    with pytest.raises(BadFileError, match=message):
        read(end)


def test_the_last_batch_waits_for_what_stands_behind_it(document, monkeypatch):
    monkeypatch.setattr(module, "MOST_CELLS", 1000)
    content = cells(field("a", "int"), *((place,) for place in range(20_000))).replace(
        END, f"</TABLE>{OVERFLOW}</RESOURCE></VOTABLE>"
    )
    batches, got = open_file(document(content)).batches(["a"]), []
    with pytest.raises(BadFileError, match="OVERFLOW"):
        got.extend(batch.num_rows for batch in batches)
    assert 0 < sum(got) < 20_000


NUMBER = field("a", "int")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (cells(NUMBER, ("x",)), "column 'a': .*'x'"),
        (cells(NUMBER, ("1_0",)), "column 'a': .*'1_0' is no number"),
        (cells(field("a", "short"), ("0xFFFF",)), "column 'a': .*65535"),
        (cells(field("a", "long"), ("0x" + "F" * 17,)), "column 'a'"),
        (cells(field("a", "boolean"), ("yes",)), "'yes' is no boolean"),
        (cells(field("a", "bit", "3"), ("10",)), "'10' is not of 3 bits"),
        (cells(field("a", "int", "3"), ("1 2",)), "'1 2' is not of 3 values"),
        (cells(NUMBER, (1, 2)), "a row has more than 1 values"),
        (cells(NUMBER, ()), "a row has 0 values"),
        (cells(NUMBER, ("<TD>1</TD>",)), "'TD' inside of 'TD'"),
        (cells(NUMBER, (1,)).replace("<TD>", '<TD encoding="base64">'), "encoding 'base64'"),
        (cells(NUMBER + NUMBER, (1, 2)), "several columns of the name 'a'"),
        (cells("", ()), "without FIELD"),
        (cells(field("a", "string"), ("x",)), "datatype 'string'"),
        (cells(field("a", "int", "x3"), ("x",)), "arraysize 'x3'"),
        (cells(field("", "int"), (1,)), "FIELD ''"),
        (cells(field("a", "int", "100x101"), ("x",)), "more than 10,000 columns"),
        (cells(field("a", "int") * 10_001, ()), "more than 10,000 columns"),
        (cells(field("a", "char", "2x99999999999999"), ("x",)), "more than 10,000 columns"),
        (streamed(NUMBER, b"abc"), "ends within a row"),
        (streamed(NUMBER + field("s", "char", "*"), b"abcd\0\0\0\5abcd"), "ends within a row"),
        (streamed(field("s", "char", "*"), b"\x7f\xff\xff\xff"), "a value of 2,147,483,647 bytes"),
        (streamed(field("s", "char", "*"), b"\xff\xff\xff\xff"), "a value of -1 bytes"),
        (streamed(field("s", "char", "3x*"), b"\0\0\0\0"), "only read in TABLEDATA"),
        (streamed(field("s", "char", "999999999999999"), b""), "rows of 999,999,999,999,999 bytes"),
        (streamed(field("a", "boolean"), b"x"), "b'x' is no boolean"),
        (streamed(field("a", "char", "2"), b"\xff\xff"), "cannot be read"),
        (streamed(field("a", "unicodeChar", "1"), b"\xd8\x00"), "column 'a'"),
        (streamed(NUMBER, b"abcd").replace("YWJjZA==", "YWJjZA="), "cannot be read"),
        (streamed(NUMBER, b"abcd").replace("YWJjZA==", "YWJjZA==YWJj"), "cannot be read"),
        (streamed(NUMBER, b"abcd").replace("YWJjZA==", "YW*jZA=="), "cannot be read"),
        (streamed(NUMBER, b"abcd").replace("YWJjZA==", "YWJj<TR/>ZA=="), "'TR' inside of STREAM"),
        (streamed(NUMBER, b"abcd", attributes='encoding="gzip"'), "encoding 'gzip'"),
        (streamed(NUMBER, b"", attributes='href="http://rows.example/t.bin"'), "they are at 'http://rows.example/t.bin'"),
        (f"{BEGIN}{END}", "no TABLE with FIELDs"),
        ("<html><body/></html>", "no VOTable: it begins with 'html'"),
        ("", "cannot be read"),
        ('<?xml version="1.0" encoding="xyz"?>' + SMALL, "cannot be read"),
        ('<?xml version="1.0" encoding="big5"?>' + SMALL, "cannot be read"),
        (SMALL + "<x/>", "cannot be read"),
        (SMALL.replace("</TR>", "</TD>", 1), "mismatched tag"),
        ("<VOTABLE>" + "<GROUP>" * 200, "'GROUP' inside of GROUP"),
        ("<VOTABLE>" + "".join(f"<a{place}/>" for place in range(20_000)), "names of elements"),
    ],
)
def test_what_is_no_table_is_refused(document, content, message):
    with pytest.raises(BadFileError, match=message):
        read(document(content))


@pytest.mark.parametrize(
    "entity",
    [
        '[<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]',
        '[<!ENTITY a SYSTEM "file:///etc/passwd">]',
        '[<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]',
        'SYSTEM "http://us-vo.org/xml/VOTable.dtd"',
    ],
)
def test_entities_are_refused(document, entity):
    content = f"<!DOCTYPE VOTABLE {entity}>{cells(field('a', 'char', '*'), ('x&a;y',))}"
    with pytest.raises(BadFileError, match="has the entity 'a'"):
        read(document(content))


TEXT = (
    field("s", "char", "*")
    + field("u", "unicodeChar", "2")
    + field("b", "boolean", "2")
    + field("x", "float", inside='<VALUES null="9"/>')
)
VALUES = b"\0\0\0\2ab" + "Ā".encode("utf-16-be") + b"\0\0" + b"T0" + struct.pack(">f", 1.5)
WHOLE = (
    cells(TEXT + field("i", "int", "2"), *[("ab", "Ā", "T F", "1.5", "0x1F 2")] * 2),
    streamed(TEXT, VALUES * 2),
    streamed(NUMBER + field("f", "bit", "9"), bytes(range(28)), "BINARY2"),
)


@pytest.mark.parametrize("content", WHOLE)
def test_a_document_that_is_cut_off_anywhere_is_noticed(document, content):
    read(document(content))
    for size in range(len(content.encode())):
        with pytest.raises(BadFileError):
            read(document(content.encode()[:size]))


@given(st.data())
def test_a_document_that_is_damaged_anywhere_is_read_or_refused(tmp_path_factory, data):
    content = bytearray(b'<?xml version="1.0" encoding="utf-8"?>' + data.draw(st.sampled_from(WHOLE)).encode())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
        content[place] = data.draw(st.integers(0, 255) | st.sampled_from(b"<>/0x*= "))
    path = tmp_path_factory.mktemp("damaged") / "rows.vot"
    path.write_bytes(content)
    with contextlib.suppress(BadFileError):
        read(path)


def test_a_compressed_document_that_is_cut_off_behind_its_rows_is_noticed(document):
    packed = gzip.compress(SMALL.encode())
    with pytest.raises(BadFileError, match="cannot be read"):
        read(document(packed[:-6]))


@pytest.mark.parametrize(
    ("begin", "piece", "message"),
    [
        (f"{BEGIN}{field('a', 'char', '*')}<DATA><TABLEDATA><TR><TD>", "x" * 1000, "a row of over"),
        (f"{BEGIN}{field('a', 'char', '*')}<DATA><TABLEDATA><TR>", "<TD>a</TD>" * 100, "a row has more than 1 values"),
        ("<VOTABLE><!--", "x" * 1000, "a tag or a comment of over"),
        ('<VOTABLE version="', "x" * 1000, "a tag or a comment of over"),
        (
            f"{BEGIN}{field('a', 'char', '*')}<DATA><BINARY><STREAM>",
            base64.b64encode(b"\0\xff\xff\xff" + bytes(770)).decode()[:-2],
            "a value",
        ),
        ('<VOTABLE><INFO name="QUERY_STATUS" value="ERROR">', "x" * 1000, "cannot be read"),
        ("<VOTABLE><DESCRIPTION>", "x" * 1000, "cannot be read"),
    ],
)
def test_what_has_no_end_takes_no_memory(document, begin, piece, message):
    path = document("")
    with path.open("w") as file:
        file.write(begin)
        for _ in range(200):
            file.write(piece * 1000)
    tracemalloc.start()
    with pytest.raises(BadFileError, match=message):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000 < path.stat().st_size


LARGE = {
    "TABLEDATA": f"<TR> <TD>7</TD> <TD>{'x' * 40}</TD> </TR>\n".encode(),
    "BINARY2": base64.b64encode(struct.pack(">ci40s", b"\0", 7, b"x" * 40)),
    "BINARY": base64.b64encode(struct.pack(">ii37s", 7, 37, b"x" * 37)),
}


@pytest.mark.parametrize(("serialisation", "size"), [("TABLEDATA", "*"), ("BINARY", "*"), ("BINARY2", "40")])
def test_memory_is_that_of_a_batch(document, monkeypatch, serialisation, size):
    monkeypatch.setattr("ingest.formats.source.BATCH_BYTES", 1)
    monkeypatch.setattr(module, "MOST_CELLS", 1000)
    monkeypatch.setattr(binary, "PIECE_BYTES", 20_000)
    row, count = LARGE[serialisation], 100_000
    path = document("")
    stream = ("<STREAM>", "</STREAM>") if serialisation != "TABLEDATA" else ("", "")
    with path.open("wb") as file:
        file.write(f"{BEGIN}{NUMBER}{field('s', 'char', size)}<DATA><{serialisation}>{stream[0]}".encode())
        for _ in range(count // 1000):
            file.write(row * 1000)
        file.write(f"{stream[1]}</{serialisation}></DATA>{END}".encode())
    rows = arrow_bytes = 0
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    for batch in open_file(path).batches(["s", "a"]):
        rows += batch.num_rows
        arrow_bytes = max(arrow_bytes, pa.total_allocated_bytes() - before)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == count
    assert 4 * (peak + arrow_bytes) < path.stat().st_size


def test_a_table_without_data_has_no_rows(tmp_path):
    path = tmp_path / "rows.vot"
    path.write_text(f"{BEGIN}{NUMBER}{END}")
    file = open_file(path)
    assert file.columns == ("a",)
    assert list(file.batches(["a"])) == []
