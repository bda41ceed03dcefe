"""FITS tables, written by astropy, against what astropy reads of them."""

import gzip
import warnings

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import open_file
from ingest.formats import fits as module
from qserv.errors import BadFileError


def columns(count=3):
    numbers = np.arange(count)
    return [
        fits.Column("id", "K", array=numbers - 1 + 2**60),
        fits.Column("ra", "D", unit="deg", array=numbers / 3),
        fits.Column("flux", "E", unit="nJy", array=np.where(numbers == 1, np.nan, numbers).astype("f4")),
        fits.Column("tract", "J", null=-99, array=np.where(numbers == 2, -99, numbers)),
        fits.Column("name", "6A", array=np.array(["M 31", "", "a  b"] * count)[:count]),
        fits.Column("good", "L", array=numbers % 2 == 0),
        fits.Column("flags", "11X", array=np.unpackbits(np.array([[5, 1]] * count, np.uint8), axis=1)[:, :11].astype(bool)),
        fits.Column("mags", "3E", unit="mag", array=np.arange(3 * count).reshape(count, 3).astype("f4")),
        fits.Column("cov", "6D", dim="(2,3)", array=np.arange(6.0 * count).reshape(count, 3, 2)),
        fits.Column("names", "6A", dim="(3,2)", array=np.array([["ab", "c"]] * count)),
        fits.Column("small", "I", array=numbers - 1),
        fits.Column("port", "I", bzero=2**15, array=(numbers + 65_000).astype(np.uint16)),
        fits.Column("large", "K", bzero=2**63, array=numbers.astype(np.uint64) + np.uint64(2**63)),
        fits.Column("signed", "B", bzero=-128, array=(numbers - 100).astype(np.int8)),
        fits.Column("wave", "C", array=numbers + 1j),
        fits.Column("curve", "PE()", array=np.array([np.ones(n + 1, "f4") for n in range(count)], dtype=object)),
    ]


def binary(count=3, further=()):
    """Return a table of these columns, of which ``small`` is scaled: astropy's own way of writing that fails with numpy 2."""
    table = fits.BinTableHDU.from_columns([*columns(count), *further])
    place = table.columns.names.index("small") + 1
    table.header[f"TSCAL{place}"], table.header[f"TZERO{place}"] = 0.5, 10.0
    return table


@pytest.fixture
def written(tmp_path):
    def write(hdu, name="rows.fits", before=()):
        path = tmp_path / name
        fits.HDUList([fits.PrimaryHDU(np.zeros((7, 5), "i2")), *before, hdu]).writeto(path)
        return path

    return write


def read(path, names=None):
    file = open_file(path)
    return pa.Table.from_batches(list(file.batches(names or file.columns))).to_pydict()


def test_all_types_come_as_astropy_reads_them(written):
    path = written(binary(), before=[fits.ImageHDU(np.ones((50, 60)))])
    file = open_file(path)
    assert file.row_count == 3
    assert file.units == {"ra": "deg", "flux": "nJy", "mags_1": "mag", "mags_2": "mag", "mags_3": "mag"}
    found = read(path, [name for name in file.columns if name != "curve"])
    expected = Table.read(path, hdu=2)
    for name in ("id", "ra", "good", "small", "port", "large", "signed"):
        assert found[name] == expected[name].tolist(), name
    assert np.array_equal(found["flux"], expected["flux"].filled(np.nan), equal_nan=True)
    assert found["tract"] == expected["tract"].tolist() == [0, 1, None]
    assert found["name"] == ["M 31", None, "a  b"]
    assert [found[f"mags_{place}"] for place in (1, 2, 3)] == expected["mags"].T.tolist()
    for first in (1, 2):
        for second in (1, 2, 3):
            assert found[f"cov_{first}_{second}"] == expected["cov"][:, second - 1, first - 1].tolist()
    assert (found["names_1"], found["names_2"]) == (["ab"] * 3, ["c"] * 3)
    assert found["flags"] == [int("".join("01"[int(bit)] for bit in row), 2) for row in expected["flags"]]
    assert (found["wave_real"], found["wave_imag"]) == (expected["wave"].real.tolist(), expected["wave"].imag.tolist())


def test_rows_come_in_batches_and_from_a_compressed_file(written, monkeypatch):
    path = written(fits.BinTableHDU.from_columns(columns(5000)[:4]))
    packed = path.with_name("rows.fits.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr("ingest.formats.source.BATCH_BYTES", 1)
    batches = list(open_file(packed).batches(["tract", "id"]))
    assert [batch.num_rows for batch in batches] == [1024] * 4 + [904]
    assert pa.Table.from_batches(batches).to_pydict() == read(path, ["tract", "id"])


def test_a_table_of_characters(written):
    table = [
        fits.Column("name", "A5", start=1, array=np.array(["None", "b c", ""])),
        fits.Column("n", "I4", start=7, null="-", array=np.array([1, 22, -3])),
        fits.Column("x", "D10.3", start=12, unit="deg", array=np.array([1.5, -2.25e10, 0])),
    ]
    path = written(fits.TableHDU.from_columns(table))
    found = read(path)
    assert found["name"] == ["None", "b c", ""]
    assert [int(value) for value in found["n"]] == [1, 22, -3]
    assert [float(value) for value in found["x"]] == fits.getdata(path, 1)["x"].tolist()
    assert open_file(path).units == {"x": "deg"}


def test_what_is_nothing_is_null(written):
    path = written(fits.BinTableHDU.from_columns(columns(1)[4:6]))
    content = bytearray(path.read_bytes())
    place = content.index(b"M 31\0\0T")
    content[place : place + 7] = b"\0old  \0"
    path.write_bytes(content)
    assert read(path) == {"name": [None], "good": [None]}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: content[:-2880], "it ends before its last row"),
        (lambda content: content[: 2880 * 2 + 100], "cannot be read|has no table"),
        (lambda content: content[:2880], "ends before|has no table"),
        (
            lambda content: content.replace(b"NAXIS1  =                   20", b"NAXIS1  =                   21"),
            "take 20 bytes a row",
        ),
        (lambda content: content.replace(b"TFORM1  = 'K       '", b"TFORM1  = '9999999E'"), "cannot be read|bytes a row|columns"),
        (lambda content: content.replace(b"TTYPE1  = 'id      '", b"TTYPE1  = 'ra      '"), "several columns of the name 'ra'"),
        (lambda content: content.replace(b"NAXIS2  =", b"COMMENT  "), "is not one of a FITS table|cannot be read"),
        (
            lambda content: content.replace(b"NAXIS1  =                   20", b"NAXIS1  =            200000000"),
            "rows of 200,000,000 bytes",
        ),
        (lambda content: content.replace(b"BINTABLE", b"IMAGE   "), "has no table|cannot be read"),
    ],
)
@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning", "ignore::astropy.io.fits.verify.VerifyWarning")
def test_what_is_no_whole_table_is_refused(written, spoil, message):
    path = written(fits.BinTableHDU.from_columns(columns(200)[:3]))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadFileError, match=message):
        read(path)


@pytest.mark.parametrize(("name", "message"), [("curve", "differ in length"), ("bits", "it has 64 bits")])
def test_what_no_column_can_hold_is_refused_when_it_is_asked_for(written, name, message):
    bits = fits.Column("bits", "64X", array=np.ones((3, 64), bool))
    path = written(binary(further=[bits]))
    assert name in open_file(path).columns
    with pytest.raises(BadFileError, match=message):
        read(path, [name])


def test_a_compressed_table_is_said_to_be_one(written):
    table = fits.BinTableHDU.from_columns(columns()[:2])
    table.header["ZTABLE"] = True
    with pytest.raises(BadFileError, match="funpack"):
        open_file(written(table))


KINDS = {"K": "i8", "J": "i4", "I": "i2", "B": "u1", "D": "f8", "E": "f4"}


@given(st.data())
def test_any_numbers_come_as_they_were_written(tmp_path_factory, data):
    letters = data.draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    repeats = [data.draw(st.integers(1, 3)) for _ in letters]
    count = data.draw(st.integers(0, 20))
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    arrays = [
        np.frombuffer(random.bytes(count * repeat * np.dtype(KINDS[letter]).itemsize), KINDS[letter]).reshape(count, repeat)
        for letter, repeat in zip(letters, repeats, strict=True)
    ]
    made = [
        fits.Column(f"c{place}", f"{repeat}{letter}", array=values[:, 0] if repeat == 1 else values)
        for place, (letter, repeat, values) in enumerate(zip(letters, repeats, arrays, strict=True))
    ]
    path = tmp_path_factory.mktemp("any") / "rows.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits.BinTableHDU.from_columns(made, nrows=count).writeto(path)
    found = list(open_file(path).batches(open_file(path).columns))
    for place, (repeat, values) in enumerate(zip(repeats, arrays, strict=True)):
        names = [f"c{place}"] if repeat == 1 else [f"c{place}_{number + 1}" for number in range(repeat)]
        for number, name in enumerate(names):
            read_values = [value for batch in found for value in batch.column(name).to_pylist()]
            assert np.array_equal(np.array(read_values, values.dtype), values[:, number], equal_nan=values.dtype.kind == "f")


def test_what_shifts_a_number_beyond_its_type_is_no_wrong_integer(written):
    table = fits.BinTableHDU.from_columns([fits.Column("a", "K", array=np.array([2**63 - 1, 0]))])
    table.header["TZERO1"] = 4
    assert read(written(table)) == {"a": [2.0**63 + 4, 4.0]}


def test_no_more_columns_than_a_table_can_have(written, monkeypatch):
    monkeypatch.setattr(module, "MOST_COLUMNS", 10)
    with pytest.raises(BadFileError, match="more than 10 columns"):
        open_file(written(binary()))
