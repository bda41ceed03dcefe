"""The catalogues that come with the software."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io.votable.ucd import check_ucd

from ingest.derive import DERIVATIONS
from schema.catalogues import data_path, schema_path
from schema.felis import read_database
from schema.model import TableRole

SHARED = Path(__file__).parents[3] / "shared/data/stars"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="shared/data is not beside the repository")
NEARLY_4_MB = 4_000_000


@pytest.fixture(scope="module")
def stars():
    return read_database(schema_path("stars"))


def test_stars_are_two_directors_of_one_family(stars):
    assert (stars.name, stars.family, stars.overlap_deg) == ("stars", "stars", 0.05)
    assert [(t.name, t.role, t.director_key, t.frame.epoch) for t in stars.tables] == [
        ("hipparcos", TableRole.DIRECTOR, "hip", "J1991.25"),
        ("bigsky", TableRole.DIRECTOR, "tycho", "J2000"),
    ]
    assert all(t.frame.system == "ICRS" and t.frame.proper_motion_ra_includes_cos_dec for t in stars.tables)


def test_cross_match_key_is_chunk_local(stars):
    (key,) = stars.by_name["bigsky"].foreign_keys
    assert (key.columns, key.target_table, key.target_columns) == (("hip",), "hipparcos", ("hip",))
    assert key.max_separation_deg == pytest.approx(120 / 3600)
    assert key.max_separation_deg < stars.overlap_deg


def test_every_column_is_described_with_valid_unit_and_ucd(stars):
    for table in stars.tables:
        assert table.description
        for column in table.columns:
            assert column.description.endswith("."), column.name
            assert check_ucd(column.ucd or "none", check_controlled_vocabulary=True), column.ucd
            if column.unit is not None:
                assert units.Unit(column.unit, format="vounit").to_string("vounit"), column.unit


def test_derived_columns_have_their_functions(stars):
    derived = [column for table in stars.tables for column in table.columns if column.derived_by]
    assert [(c.name, c.derived_by, c.derived_from) for c in derived] == [("tycho", "tycho_key", ("tyc_id", "ccdm"))]
    assert all(column.derived_by in DERIVATIONS for column in derived)


def test_copy_of_hipparcos_has_the_columns_of_the_schema(stars):
    path = data_path("hipparcos.parquet")
    assert path.stat().st_size < NEARLY_4_MB
    rows = pq.read_table(path)
    assert set(rows.column_names) == set(stars.by_name["hipparcos"].by_name)
    assert rows.num_rows == 118_218
    assert rows["ra_degrees"].null_count == rows["dec_degrees"].null_count == 263


@needs_shared
def test_copy_of_hipparcos_has_the_values_of_its_source():
    ours = pq.read_table(data_path("hipparcos.parquet"))
    source = pq.read_table(SHARED / "hipparcos.parquet")
    assert ours.schema.equals(source.schema)
    for name in source.column_names:
        for read in (pc.is_null, bits):
            assert read(ours[name]).equals(read(source[name])), name


@needs_shared
def test_bigsky_has_the_columns_of_the_schema(stars):
    declared = {column.name for column in stars.by_name["bigsky"].columns if column.derived_by is None}
    assert declared == set(pq.read_schema(SHARED / "bigsky_mag11.parquet").names)


@needs_shared
def test_proper_motion_in_right_ascension_includes_cos_dec():
    """Stars near the poles move between the epochs of the two files as mu_alpha* predicts, not as mu_alpha does."""
    names = ["ra_degrees", "dec_degrees", "ra_mas_per_year"]
    old = pq.read_table(data_path("hipparcos.parquet"), columns=["hip", *names])
    new = pq.read_table(SHARED / "bigsky_mag11.parquet", columns=["hip", "ra_degrees"], filters=pc.field("hip").is_valid())
    new = new.set_column(0, "hip", new["hip"].cast(pa.int64()))
    stars = old.join(new, "hip", join_type="inner", right_suffix="_j2000").drop_null()
    ra, dec, motion, ra_j2000 = (stars[name].to_numpy() for name in (*names, "ra_degrees_j2000"))
    cos_dec = np.cos(np.radians(dec))
    moved_mas = ((ra_j2000 - ra + 180) % 360 - 180) * cos_dec * 3.6e6
    fast = (np.abs(dec) > 75) & (np.abs(motion) > 50)
    expected_mas = motion * (2000 - 1991.25)
    assert fast.sum() > 400
    assert np.median(np.abs(moved_mas - expected_mas)[fast]) < 50
    assert np.median(np.abs(moved_mas - expected_mas * cos_dec)[fast]) > 500


def bits(column):
    """Bit patterns of 64-bit values, which tell -0.0 from 0.0 and one NaN from another; NULLs as 0."""
    return pa.chunked_array([pc.fill_null(column, 0).combine_chunks().view(pa.int64())])


def test_what_does_not_come_with_the_software_is_named():
    with pytest.raises(FileNotFoundError, match=r"gaia\.yaml does not come .* stars\.yaml"):
        schema_path("gaia")
    with pytest.raises(FileNotFoundError, match=r"hipparcos\.parquet"):
        data_path("gaia.parquet")
