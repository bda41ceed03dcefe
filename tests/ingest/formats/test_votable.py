"""VOTable, written by astropy and stilts, against what astropy reads of it."""

import shutil
import struct
import subprocess
import warnings

import numpy as np
import pytest
from astropy.io import votable
from astropy.table import MaskedColumn, Table
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import open_file
from ingest.matching import match_columns
from ingest.rows import read_rows
from qserv.errors import BadFileError
from schema.model import Column, ColumnType, TableRole
from schema.model import Table as SchemaTable
from tests.support.votables import cells, field, read, streamed

SERIALISATIONS = ("tabledata", "binary", "binary2")


def many(count=3):
    numbers = np.arange(count)
    table = Table()
    table["id"] = numbers - 1 + 2**60
    table["ra"] = MaskedColumn(numbers / 3, unit="deg")
    table["flux"] = np.where(numbers == 1, np.nan, numbers).astype("f4")
    table["tract"] = MaskedColumn((numbers - 1).astype("i4"), mask=numbers == 2)
    table["name"] = np.array(["M 31", "x", "a  b &<"] * count)[:count]
    table["long_name"] = np.array(["Grüße", "𝄞", "c"] * count, dtype=object)[:count]
    table["good"] = numbers % 2 == 0
    table["mags"] = np.arange(3 * count).reshape(count, 3).astype("f4")
    table["cov"] = np.arange(6.0 * count).reshape(count, 3, 2)
    table["small"] = (numbers - 1).astype("i2")
    table["byte"] = (numbers + 250).astype("u1")
    table["wave"] = numbers + 1j
    table["waves"] = np.array([numbers + 1j, numbers - 2j]).T.astype("c8")
    table["flags"] = np.array([[True, False]] * count)
    return table


@pytest.mark.parametrize("serialisation", SERIALISATIONS)
def test_all_types_come_as_astropy_reads_them(tmp_path, serialisation):
    path = tmp_path / "rows"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = votable.from_table(many())
        if serialisation == "binary":
            # It has no other NULL.
            made.get_first_table().get_field_by_id("tract").values.null = -99
        votable.writeto(made, str(path), tabledata_format=serialisation)
        expected = votable.parse_single_table(path).to_table()
    file = open_file(path)
    assert (file.row_count, file.units) == (None, {"ra": "deg"})
    found = read(path)
    for name in ("id", "ra", "tract", "name", "long_name", "good", "small", "byte"):
        assert found[name] == expected[name].tolist(), name
    assert (found["tract"], found["good"]) == ([-1, 0, None], [True, False, True])
    assert found["name"] == ["M 31", "x", "a  b &<"]
    assert np.array_equal(np.array(found["flux"], float), np.ma.filled(expected["flux"], np.nan), equal_nan=True)
    for place in (1, 2, 3):
        assert found[f"mags_{place}"] == expected["mags"][:, place - 1].tolist()
        for second in (1, 2):
            # astropy takes the first axis of an array that it writes for one that it reads.
            assert found[f"cov_{place}_{second}"] == expected["cov"][:, second - 1, place - 1].tolist()
    assert (found["wave_real"], found["wave_imag"]) == (expected["wave"].real.tolist(), expected["wave"].imag.tolist())
    assert (found["waves_2_real"], found["waves_2_imag"]) == ([0, 1, 2], [-2, -2, -2])
    assert found["flags"] == [0b10] * 3


KINDS = {"u1": st.integers(0, 255), "i2": st.integers(-(2**15), 2**15 - 1), "i4": st.integers(-(2**31), 2**31 - 1)} | {
    "i8": st.integers(-(2**63), 2**63 - 1),
    "f4": st.floats(width=32),
    "f8": st.floats(),
    "?": st.booleans(),
    "O": st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1),
}


@pytest.mark.parametrize("serialisation", SERIALISATIONS)
@given(data=st.data())
def test_any_values_come_as_they_were_written(tmp_path_factory, serialisation, data):
    kinds = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    count = data.draw(st.integers(1, 12))
    wanted = {}
    table = Table()
    for place, kind in enumerate(kinds):
        values = data.draw(st.lists(KINDS[kind], min_size=count, max_size=count))
        # A NULL of floating point is NaN to astropy, and one of text nothing at all; BINARY has none of its own.
        mask = [serialisation != "binary" and kind[0] in "ui" and data.draw(st.booleans()) for _ in values]
        wanted[f"c{place}"] = [None if gone else value for value, gone in zip(values, mask, strict=True)]
        table[f"c{place}"] = MaskedColumn(np.array(values, kind), mask=mask) if any(mask) else np.array(values, kind)
    path = tmp_path_factory.mktemp("any") / "rows.vot"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        votable.writeto(votable.from_table(table), str(path), tabledata_format=serialisation)
    for name, values in read(path).items():
        assert len(values) == count
        same = [a == b or (isinstance(a, float) and np.isnan([a, b]).all()) for a, b in zip(values, wanted[name], strict=True)]
        assert all(same), name


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
@pytest.mark.parametrize("serialisation", ["tabledata", "binary", "binary2", "fits"])
def test_what_stilts_writes(tmp_path, serialisation):
    table = many()[["id", "ra", "flux", "tract", "name", "good", "mags", "small", "byte"]]
    table.write(tmp_path / "rows.fits")
    path = tmp_path / "rows.vot"
    kind = f"votable(format={serialisation.upper()},inline=true)"
    command = ["stilts", "tpipe", f"in={tmp_path / 'rows.fits'}", f"out={path}", f"ofmt={kind}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    found = read(path)
    for name in ("id", "ra", "tract", "name", "small", "byte"):
        assert found[name] == table[name].tolist(), name
    assert [found[f"mags_{place}"] for place in (1, 2, 3)] == table["mags"].T.tolist()
    assert open_file(path).units == {"ra": "deg"}


def test_what_tabledata_writes_of_numbers_and_booleans(document):
    fields = (
        field("n", "int", inside='<VALUES null="-99"/>') + field("x", "double") + field("b", "boolean") + field("u", "unsignedByte")
    )
    rows = [
        ("0x1F", "NaN", "T", "0xff"),
        ("-99", "+Inf", "false", ""),
        (" +7 ", "-Inf", "?", "1"),
        ("", "", " ", "2"),
        ("-5", " 1e3", "0", 3),
    ]
    found = read(document(cells(fields, *rows)))
    assert found["n"] == [31, None, 7, None, -5]
    assert str(found["x"]) == "[nan, inf, -inf, None, 1000.0]"
    assert found["b"] == [True, False, None, None, False]
    assert found["u"] == [255, None, 1, 2, 3]


def test_what_is_written_becomes_rows_of_a_table(document):
    table = SchemaTable("t", TableRole.REPLICATED, (Column("n", ColumnType.LONG), Column("x", ColumnType.DOUBLE, unit="arcsec")))
    file = open_file(document(cells(field("n", "short") + field("X", "float", unit="deg"), (1, 0.5), (2, "NaN"))))
    (rows,) = read_rows(table, file, match_columns(table, file))
    assert rows.batch.to_pydict() == {"n": [1, 2], "x": [1800.0, None], "_contribution": [None, None]}


def test_arrays_bits_and_texts_of_tabledata(document):
    fields = (
        field("a", "int", "2x2") + field("bits", "bit", "11") + field("t", "char", "3x2") + field("s", "unicodeChar", "8*")
    ) + field("c", "doubleComplex", "2")
    rows = [("1 2\n3  4", "1000000 0001", "ab c", "Grüße", "1 2 3 4"), ("", "", "", "", "")]
    assert read(document(cells(fields, *rows))) == {
        "a_1_1": [1, None],
        "a_2_1": [2, None],
        "a_1_2": [3, None],
        "a_2_2": [4, None],
        "bits": [1025, None],
        "t_1": ["ab", None],
        "t_2": ["c", None],
        "s": ["Grüße", None],
        "c_1_real": [1, None],
        "c_1_imag": [2, None],
        "c_2_real": [3, None],
        "c_2_imag": [4, None],
    }


def test_arrays_bits_and_texts_of_binary(document):
    fields = (
        (field("t", "char", "3x2") + field("s", "unicodeChar", "*") + field("bits", "bit", "11") + field("e", "char", "0"))
        + field("b", "boolean", "3")
        + field("u", "unicodeChar", "2")
        + field("i", "short", inside='<VALUES null="-1"/>')
        + field("l", "char")
    )
    short = struct.Struct(">i")
    text = "Ā𝄞".encode("utf-16-be")
    rows = b"ab c\0d" + short.pack(3) + text + b"\x80\x20" + b"T0?" + "Ā".encode("utf-16-be") + b"\0\0" + b"\0\7" + b"x"
    rows += b"\0xx   " + short.pack(0) + b"\0\0" + b"f1 " + b"\0\0\0x" + b"\xff\xff" + b"\0"
    expected = {
        "t_1": ["ab", None],
        "t_2": ["c", None],
        "s": ["Ā𝄞", None],
        "bits": [1025, 0],
        "e": [None, None],
        "b_1": [True, False],
        "b_2": [False, True],
        "b_3": [None, None],
        "u": ["Ā", None],
        "i": [7, None],
        "l": ["x", None],
    }
    assert read(document(streamed(fields, rows))) == expected


def test_null_flags_of_binary2_begin_with_the_highest_bit(document):
    fields = "".join(field(f"c{place}", "unsignedByte") for place in range(9)) + field("s", "char", "*")
    row = bytes([0b0100_0001, 0b1000_0000]) + bytes(range(9)) + bytes(4)
    null = bytes([0, 0b0100_0000]) + bytes(9) + bytes(4)
    found = read(document(streamed(fields, row + null, "BINARY2")))
    assert [values[0] for values in found.values()] == [0, None, 2, 3, 4, 5, 6, None, None, ""]
    assert [values[1] for values in found.values()] == [0] * 9 + [None]


def test_columns_that_are_left_out_cost_no_error(document):
    fields = field("a", "int", "*") + field("n", "int") + field("bits", "bit", "64") + field("t", "char", "*")
    written = document(cells(fields, ("1 2 3", 5, "1" * 64, "x")))
    row = struct.pack(">i3ii8si1s", 3, 1, 2, 3, 5, bytes(8), 1, b"x")
    for path in (written, document(streamed(fields, row), "binary.vot")):
        assert open_file(path).columns == ("a", "n", "bits", "t")
        assert read(path, ["t", "n"]) == {"t": ["x"], "n": [5]}
        for name, message in (("a", "differ in length"), ("bits", "it has 64 bits")):
            with pytest.raises(BadFileError, match=f"column {name!r}: .*{message}"):
                read(path, [name])


def test_ucds_and_descriptions_are_told(tmp_path):
    path = tmp_path / "rows.vot"
    path.write_text(
        "<VOTABLE><RESOURCE><TABLE><DESCRIPTION>of the table</DESCRIPTION>"
        '<FIELD name="a" datatype="double" unit="deg" ucd="pos.eq.ra"><DESCRIPTION>right\n  ascension</DESCRIPTION></FIELD>'
        '<FIELD name="b" datatype="int"/>'
        "<DATA><TABLEDATA><TR><TD>1.5</TD><TD>2</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    file = open_file(path)
    assert (dict(file.units), dict(file.ucds)) == ({"a": "deg"}, {"a": "pos.eq.ra"})
    assert dict(file.descriptions) == {"a": "right ascension"}
    (batch,) = file.batches(["b", "a"])
    assert batch.to_pydict() == {"b": [2], "a": [1.5]}
