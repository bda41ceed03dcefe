"""Units of files, made those of the schema."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from ingest.files import open_file
from ingest.matching import match_columns
from ingest.rows import read_rows
from qserv.errors import BadFileError, BadRowError
from schema.model import Column, ColumnType, Table, TableRole


def table(unit, datatype=ColumnType.DOUBLE):
    return Table("t", TableRole.REPLICATED, (Column("a", datatype, unit=unit),))


@pytest.fixture
def read(tmp_path):
    def values(declared, of_file, values, *, ignore_units=False):
        schema = pa.schema([pa.field("a", values.type, metadata={"unit": of_file} if of_file else None)])
        pq.write_table(pa.table([values], schema=schema), tmp_path / "rows.parquet")
        file = open_file(tmp_path / "rows.parquet")
        matching = match_columns(declared, file, ignore_units=ignore_units)
        return [value for rows in read_rows(declared, file, matching) for value in rows.batch.column("a").to_pylist()]

    return values


@pytest.mark.parametrize(
    ("declared", "of_file", "value", "expected"),
    [
        ("deg", "rad", np.pi, 180.0),
        ("deg", "arcsec", 3600.0, 1.0),
        ("deg", "hourangle", 12.0, 180.0),
        ("mas/yr", "arcsec/yr", 0.5, 500.0),
        ("nJy", "uJy", 2.0, 2000.0),
        ("arcmin", "arcmin", 0.1, 0.1),
        ("arcmin", None, 0.1, 0.1),
        (None, "parrot", 0.1, 0.1),
        ("km.s**-1", "km/s", 0.1, 0.1),
        ("m/s", "km s-1", 1.5, 1500.0),
        ("mag", "mag", 20.1, 20.1),
    ],
)
def test_values_become_those_of_the_schemas_unit(declared, of_file, value, expected, read):
    assert read(table(declared), of_file, pa.array([value, None])) == [pytest.approx(expected, rel=1e-15), None]


def test_a_float_is_rounded_in_its_new_unit(read):
    found = read(table("deg", ColumnType.FLOAT), "arcsec", pa.array([1.0, 7.3]))
    assert found == np.float32(np.array([1.0, 7.3]) / 3600).tolist()


def test_an_integer_stays_one_or_is_refused(read):
    assert read(table("s", ColumnType.INT), "min", pa.array([1, 2])) == [60, 120]
    with pytest.raises(BadRowError, match=r"row 2, column 'a', value 1\.5: it is not exactly a value of type int"):
        read(table("min", ColumnType.INT), "s", pa.array([60, 90]))


@pytest.mark.parametrize(
    ("of_file", "message"), [("km", "the unit 'km' of the file cannot become 'deg'"), ("parrot", "not known as a unit")]
)
def test_what_cannot_be_converted_is_refused_unless_units_are_ignored(of_file, message, read):
    with pytest.raises(BadFileError, match=message):
        read(table("deg"), of_file, pa.array([1.0]))
    assert read(table("deg"), of_file, pa.array([1.0]), ignore_units=True) == [1.0]


def test_units_of_fits(tmp_path):
    column = fits.Column("a", "D", unit="uJy", array=np.array([1.0, 2.0]))
    fits.BinTableHDU.from_columns([column]).writeto(tmp_path / "rows.fits")
    file, declared = open_file(tmp_path / "rows.fits"), table("nJy")
    (rows,) = read_rows(declared, file, match_columns(declared, file))
    assert rows.batch.column("a").to_pylist() == pytest.approx([1000.0, 2000.0], rel=1e-15)
