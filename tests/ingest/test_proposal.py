"""Schemas that are proposed for files: of a survey whose schema is known, and of whatever files may hold."""

import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.files import open_file
from ingest.guesses import BANDS, MEASURED, UCDS, UNITS, guessed_ucd
from ingest.matching import match_columns
from ingest.proposal import proposed_tables
from ingest.proposed_text import felis_text, partition_text
from qserv.errors import BadFileError
from schema.felis import read_database
from schema.model import ColumnType, TableRole
from tests.support.sky import FELIS, TABLES, Survey


def read(directory, tables, name="proposed"):
    """Return the database that the texts of a proposal declare."""
    (directory / f"{name}.yaml").write_text(felis_text(name, tables), encoding="utf-8")
    (directory / f"{name}.partition.yaml").write_text(partition_text(name, tables), encoding="utf-8")
    return read_database(directory / f"{name}.yaml")


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    directory = tmp_path_factory.mktemp("survey")
    for table in TABLES:
        Survey(5_000).write(table, directory / f"{table}.parquet")
    tables = proposed_tables({table: [directory / f"{table}.parquet"] for table in TABLES})
    return directory, tables, read(directory, tables)


def test_roles_keys_and_positions_of_a_survey_are_found(survey):
    proposed, known = survey[2], read_database(FELIS)
    for table in known.tables:
        found = proposed.by_name[table.name]
        for what in ("role", "ra", "dec", "director", "director_key", "second_director", "second_director_key"):
            assert getattr(found, what) == getattr(table, what), (table.name, what)


def test_columns_of_a_survey_have_its_types(survey):
    known = read_database(FELIS)
    unlike = {ColumnType.STRING: ColumnType.TEXT, ColumnType.CHAR: ColumnType.TEXT, ColumnType.UNICODE: ColumnType.TEXT}
    for table in known.tables:
        found = survey[2].by_name[table.name]
        assert [column.name for column in found.columns] == [column.name for column in table.columns]
        for column in table.columns:
            datatype = unlike.get(column.datatype, column.datatype)
            assert found.by_name[column.name].datatype is datatype, (table.name, column.name)


def test_what_is_proposed_fits_the_files(survey):
    directory, _, database = survey
    for table in database.tables:
        matching = match_columns(table, open_file(directory / f"{table.name}.parquet"))
        assert not matching.ignored


TEXT = """id,RA,Dec,[Fe/H],zip,when,good,note,count,huge,ratio,empty,xmin
9007199254740993,10.5,-20,0.1,00123,2026-01-02T03:04:05,true,a,5,12345678901,1.5,,1
9007199254740994,359.9,90,,01234,2026-01-02,false,"b, c",,3,2,,2
9007199254740995,,,-2,12345,2026-01-02 03:04:05.5,true,,7,4,NaN,,3
"""


@pytest.fixture
def csv(tmp_path):
    (tmp_path / "rows.csv").write_text(TEXT)
    return proposed_tables({"star": [tmp_path / "rows.csv"]})


def test_types_of_text(csv, tmp_path):
    star = read(tmp_path, csv).by_name["star"]
    assert {column.name: column.datatype.value for column in star.columns} == {
        "id": "long",
        "RA": "double",
        "Dec": "double",
        "Fe_H": "double",
        "zip": "text",
        "when": "timestamp",
        "good": "boolean",
        "note": "text",
        "count": "long",
        "huge": "long",
        "ratio": "double",
        "empty": "text",
        "column_xmin": "long",
    }
    assert (star.role, star.director_key, star.ra, star.dec) == (TableRole.DIRECTOR, "id", "RA", "Dec")
    assert (star.by_name["Fe_H"].derived_by, star.by_name["Fe_H"].derived_from) == ("renamed", ("[Fe/H]",))
    assert not match_columns(star, open_file(tmp_path / "rows.csv")).ignored


def test_units_ucds_and_descriptions_of_the_file_are_kept(tmp_path):
    columns = [
        fits.Column("ID", "K", array=np.arange(5)),
        fits.Column("RAJ2000", "D", unit="rad", array=np.linspace(0, 6, 5)),
        fits.Column("DEJ2000", "E", unit="deg", array=np.linspace(-90, 90, 5)),
        fits.Column("Bmag", "E", unit="mag", array=np.ones(5)),
        fits.Column("flux", "E", unit="bananas", array=np.ones(5)),
        fits.Column("curve", "PE()", array=np.array([np.ones(n + 1, "f4") for n in range(5)], dtype=object)),
    ]
    table = fits.BinTableHDU.from_columns(columns[:5])
    table.header["TUCD4"] = "phot.mag;em.opt.B"
    table.header.comments["TTYPE4"] = "magnitude through B"
    table.writeto(tmp_path / "rows.fits")
    tables = proposed_tables({"star": [tmp_path / "rows.fits"]})
    star = read(tmp_path, tables).by_name["star"]
    assert (star.ra, star.dec, star.by_name["RAJ2000"].unit) == ("RAJ2000", "DEJ2000", "deg")
    assert (star.by_name["Bmag"].unit, star.by_name["Bmag"].ucd) == ("mag", "phot.mag;em.opt.B")
    assert star.by_name["Bmag"].description == "magnitude through B"
    assert star.by_name["flux"].unit is None
    assert "the file's unit 'bananas' is none" in felis_text("star", tables)


def test_metadata_of_parquet_is_kept(tmp_path):
    meaning = {"unit": "nJy", "ucd": "phot.flux", "description": "of the PSF"}
    schema = pa.schema([pa.field("id", pa.int64()), pa.field("f", pa.float32(), metadata=meaning)])
    pq.write_table(pa.table({"id": [1, 2], "f": [1.0, 2.0]}, schema=schema), tmp_path / "a.parquet")
    column = read(tmp_path, proposed_tables({"a": [tmp_path / "a.parquet"]})).by_name["a"].by_name["f"]
    assert (column.unit, column.ucd, column.description) == ("nJy", "phot.flux", "of the PSF")


@pytest.mark.parametrize(
    ("rows", "note"),
    [
        ({"id": [1, 2], "ra": [400.0, 3.0], "dec": [1.0, 2.0]}, "it has no position"),
        ({"id": [1, 2], "ra": [4.0, 3.0], "dec": [1.0, 92.0]}, "it has no position"),
        ({"id": [1, 1], "ra": [4.0, 3.0], "dec": [1.0, 2.0]}, "no integer column whose values differ"),
        ({"id": [1, None], "ra": [4.0, 3.0], "dec": [1.0, 2.0]}, "no integer column whose values differ"),
        ({"name": ["a", "b"]}, "neither position nor key"),
    ],
)
def test_who_is_no_director(tmp_path, rows, note):
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    (table,) = proposed_tables({"a": [tmp_path / "a.parquet"]})
    assert table.role is TableRole.REPLICATED
    assert note in table.notes[-1]
    assert read(tmp_path, [table]).by_name["a"].role is TableRole.REPLICATED


def test_columns_that_no_table_can_have_are_left_out(tmp_path):
    pq.write_table(pa.table({"id": [1, 2], "list": [[1], [2, 3]], "part": [{"a": 1}, {"a": 2}]}), tmp_path / "a.parquet")
    (table,) = proposed_tables({"a": [tmp_path / "a.parquet"]})
    assert set(table.left_out) == {"list", "part"}
    assert "# list is left out: it is of type list<" in felis_text("a", [table])
    assert list(read(tmp_path, [table]).by_name["a"].by_name) == ["id"]


def test_files_of_one_table_may_differ_in_types_but_not_in_columns(tmp_path):
    pq.write_table(pa.table({"id": pa.array([1, 2], pa.int32()), "v": [None, None]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"v": [1.5], "id": pa.array([2**40], pa.int64())}), tmp_path / "2.parquet")
    (table,) = proposed_tables({"a": [tmp_path / "1.parquet", tmp_path / "2.parquet"]})
    assert [each.column.datatype for each in table.columns] == [ColumnType.LONG, ColumnType.DOUBLE]
    pq.write_table(pa.table({"id": [1]}), tmp_path / "3.parquet")
    with pytest.raises(BadFileError, match=r"3.parquet has no column 'v', which .*1.parquet has"):
        proposed_tables({"a": [tmp_path / "1.parquet", tmp_path / "3.parquet"]})


def test_no_more_rows_are_looked_at_than_asked_for(tmp_path):
    pq.write_table(pa.table({"id": np.arange(1_000_000)}), tmp_path / "a.parquet")
    (table,) = proposed_tables({"a": [tmp_path / "a.parquet"]}, rows=1000)
    assert 1000 <= table.sampled < 1_000_000
    assert table.row_count == 1_000_000


def test_an_empty_file_is_proposed(tmp_path):
    pq.write_table(pa.table({"id": pa.array([], pa.int64()), "v": pa.array([], pa.float32())}), tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("id,v\n")
    tables = proposed_tables({"a": [tmp_path / "a.parquet"], "b": [tmp_path / "b.csv"]})
    assert set(read(tmp_path, tables).by_name) == {"a", "b"}


NAMES = st.one_of(
    st.sampled_from(
        ["ra", "dec", "RA", "Dec", "id", "a_id", "source_id", "e_ra", "select", "ctid", "_healpix_29", "[Fe/H]", "e B-V", "ü"]
    ),
    st.text(min_size=1, max_size=70),
)

VALUES = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=3, max_size=3).map(lambda found: pa.array(found, pa.int64())),
    st.lists(st.floats() | st.none(), min_size=3, max_size=3).map(lambda found: pa.array(found, pa.float64())),
    st.lists(st.floats(width=32), min_size=3, max_size=3).map(lambda found: pa.array(found, pa.float32())),
    st.lists(st.text() | st.none(), min_size=3, max_size=3).map(lambda found: pa.array(found, pa.string())),
    st.lists(st.booleans(), min_size=3, max_size=3).map(pa.array),
    st.lists(st.datetimes(), min_size=3, max_size=3).map(lambda found: pa.array(found, pa.timestamp("us"))),
    st.just(pa.nulls(3)),
    st.just(pa.array([[1], [2], None])),
)


@settings(max_examples=25)
@given(
    st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=6), min_size=1, max_size=3), st.sampled_from(["", "é: # - 'x'"])
)
def test_whatever_files_hold_the_proposal_can_be_read(tmp_path_factory, found, text):
    directory = tmp_path_factory.mktemp("any")
    files = {}
    for place, rows in enumerate(found):
        fields = [
            pa.field(name, values.type, metadata={"description": text, "unit": text, "ucd": text}) for name, values in rows.items()
        ]
        pq.write_table(pa.table(list(rows.values()), schema=pa.schema(fields)), directory / f"{place}.parquet")
        files[f"{'abc'[place]}"] = [directory / f"{place}.parquet"]
    tables = proposed_tables(files)
    if not all(each.columns for each in tables):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        database = read(directory, tables)
    for table in database.tables:
        match_columns(table, open_file(files[table.name][0]), ignore_units=True)


def test_guesses_are_of_the_vocabularies():
    for ucd in [*(ucd for _, ucd in UCDS), *(f"phot.mag;em.{band}" for band in BANDS.values())]:
        assert check_ucd(ucd, check_controlled_vocabulary=True), ucd
        assert not ucd.startswith(MEASURED) or check_ucd(f"stat.error;{ucd}", check_controlled_vocabulary=True), ucd
    assert set(UNITS.values()) == {"mas.yr**-1", "arcsec", "km.s**-1", "nJy", "deg", "h", "yr", "mas", "arcmin", "Jy", "pc", "kpc"}


@pytest.mark.parametrize(
    ("name", "ucd"),
    [
        ("RAJ2000", "pos.eq.ra"),
        ("e_RAJ2000", "stat.error;pos.eq.ra"),
        ("dec_err", "stat.error;pos.eq.dec"),
        ("pmRA", "pos.pm;pos.eq.ra"),
        ("Vmag", "phot.mag;em.opt.V"),
        ("g_flux_err", "stat.error;phot.flux"),
        ("parallax_error", "stat.error;pos.parallax.trig"),
        *((name, None) for name in ("radius", "ratio", "rank", "depth", "detection", "delta", "description", "shape_xx")),
    ],
)
def test_what_names_suggest(name, ucd):
    assert guessed_ucd(name) == ucd
