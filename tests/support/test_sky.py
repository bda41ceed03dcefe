"""The synthetic survey is the same in every way of making it, and has in it what the tests need."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from schema.felis import read_database
from schema.types import arrow_schema
from tests.oracle.sphere import unit_vectors
from tests.support.drawing import Draw
from tests.support.places import DENSE_FIELD_DEG, DENSE_RADIUS_DEG, POLE_RADIUS_DEG, SHARES, Places
from tests.support.sky import BENCH_OBJECTS, FELIS, SMALL_OBJECTS, TABLES, Survey

DATABASE = read_database(FELIS)
SURVEY = Survey()


@pytest.mark.parametrize("table", TABLES)
def test_blocks_of_any_size_give_the_same_rows(table):
    keys = [(name, "ascending") for name in DATABASE.by_name[table].primary_key]
    one, many = (Survey(1000, block_objects=size).rows(table).sort_by(keys).combine_chunks() for size in (1000, 77))
    # As texts, because NaN does not equal itself.
    assert repr(one.to_pylist()) == repr(many.to_pylist())


@pytest.mark.parametrize("table", TABLES)
def test_a_smaller_survey_is_the_beginning_of_a_larger_one(table):
    small, large = (Survey(objects).rows(table) for objects in (200, 400))
    keys = DATABASE.by_name[table].primary_key
    found = set(zip(*(large[key].to_pylist() for key in keys), strict=True))
    assert found.issuperset(zip(*(small[key].to_pylist() for key in keys), strict=True))


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_as_declared(table):
    declared = DATABASE.by_name[table]
    rows = SURVEY.rows(table)
    assert rows.schema == arrow_schema(declared, hidden=())
    keys = rows.group_by(list(declared.primary_key)).aggregate([])
    assert len(keys) == len(rows)
    for column in declared.columns:
        assert column.nullable or rows[column.name].null_count == 0


def test_another_seed_gives_other_rows():
    first, second = (Survey(100, seed).rows("source") for seed in (1, 2))
    assert first["ra"] != second["ra"]


def test_size():
    objects, sources = (SURVEY.rows(name) for name in ("object", "source"))
    assert len(objects) == SMALL_OBJECTS
    assert objects.num_columns >= 60
    assert sources.num_columns == 20
    assert len(sources) == pytest.approx(4 * SMALL_OBJECTS, rel=0.05)
    assert Survey.scaled(1).objects == BENCH_OBJECTS


def test_written_block_by_block(tmp_path):
    survey = Survey(1000, block_objects=300)
    count = survey.write("object", tmp_path / "object.parquet")
    file = pq.ParquetFile(tmp_path / "object.parquet")
    assert count == file.metadata.num_rows == 1000
    assert file.metadata.num_row_groups == 4


def test_sky_is_skewed():
    dec = SURVEY.rows("object")["dec"].drop_null().to_numpy()
    ra = SURVEY.rows("object")["ra"].drop_null().to_numpy()
    assert (dec > 89.4).sum() > 200
    assert ((np.abs(dec + 28.9) < 1) & (np.abs(ra - 266.4) < 1.2)).sum() > 600
    assert ((ra < 0.3) & (np.abs(dec) < 2)).sum() > 80
    assert ((ra > 359.7) & (np.abs(dec) < 2)).sum() > 80


def within(centre_deg, radius_deg, ra, dec):
    return unit_vectors(ra, dec) @ unit_vectors(*centre_deg) >= np.cos(np.radians(radius_deg))


def test_fields_of_a_widened_survey_are_as_dense_as_those_of_a_small_one():
    more = 100
    counts = []
    for survey in (SURVEY, Survey(more * SMALL_OBJECTS, widened=True)):
        ra, dec = survey.places.of(np.arange(survey.objects))
        of_base_pixels = [within((lon, 0), 3 / 3600, ra, dec).sum() for lon in range(0, 360, 90)]
        strip = ((ra < 0.3) | (ra > 359.7)) & (np.abs(dec) < 2)
        counts.append(
            [within(DENSE_FIELD_DEG, DENSE_RADIUS_DEG, ra, dec).sum(), (dec > 89.5).sum(), strip.sum(), sum(of_base_pixels)]
        )
    assert counts[0][0] == pytest.approx(SHARES["dense"] * SMALL_OBJECTS, rel=0.05)
    assert counts[1][:3] == pytest.approx(counts[0][:3], rel=0.15)
    assert counts[1][3] < 3 * counts[0][3]


def test_objects_are_spread_evenly_over_widened_fields():
    more, count = 2000, 400_000
    ra, dec = Places(SURVEY.seed, more).of(np.arange(count))
    assert np.nanmax(np.abs(dec)) <= 90
    sine, strip = np.sin(np.radians(dec)), (ra + 30) % 360 < 60
    for name, height, whole, share in (
        (
            "dense",
            1 - unit_vectors(ra, dec) @ unit_vectors(*DENSE_FIELD_DEG),
            more * (1 - np.cos(np.radians(DENSE_RADIUS_DEG))),
            0.25,
        ),
        ("pole", np.where(strip, np.inf, 1 - sine), more * (1 - np.cos(np.radians(POLE_RADIUS_DEG))), 0.066),
        ("south of the meridian", np.where(strip & (sine < 0), -sine, np.inf), 1, 0.035),
    ):
        within_parts = [(height < part * whole).sum() for part in (0.25, 0.5, 0.75, 1)]
        assert within_parts[3] > share * count, name
        assert within_parts == pytest.approx([within_parts[3] * part for part in (0.25, 0.5, 0.75, 1)], rel=0.02), name


def test_a_survey_as_small_as_that_of_the_tests_is_not_widened():
    assert Survey(widened=True).places == Survey(100, widened=True).places == SURVEY.places


def test_values_that_mislead():
    objects = SURVEY.rows("object")
    score = objects["score"].drop_null().to_numpy()
    assert np.isnan(score).any()
    assert np.isinf(score).any()
    assert np.isnan(objects["r_flux"].drop_null().to_numpy()).any()
    assert objects["object_id"].to_numpy().min() > 2**53
    assert objects["ra"].null_count > 0
    assert pc.any(pc.match_substring(objects["note"], "'")).as_py()
    assert not pc.all(pc.string_is_ascii(objects["note"])).as_py()


def test_pairs_lie_on_both_sides_of_objects():
    pairs = SURVEY.rows("deep_match")
    assert set(pairs["rank"].to_pylist()) == {1, 2}
    apart = pairs["separation_arcsec"].to_numpy()
    assert 100 < apart.max() < 180
    for column, table in (("object_id", "object"), ("ref_id", "deep_ref")):
        assert pc.all(pc.is_in(pairs[column], SURVEY.rows(table)[column].combine_chunks())).as_py()


def test_draws_are_spread_evenly():
    draw = Draw(1, "table", np.arange(100_000, dtype=np.uint64))
    one, other = draw.uniform("one"), draw.uniform("other")
    assert np.histogram(one, 10, (0, 1))[0] == pytest.approx([10_000] * 10, rel=0.05)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.02
    normal = draw.normal("normal", 3, 2)
    assert normal.mean() == pytest.approx(3, abs=0.05)
    assert normal.std() == pytest.approx(2, rel=0.02)


def test_choices_have_nulls():
    draw = Draw(1, "table", np.arange(1000, dtype=np.uint64))
    chosen = draw.choice("choice", ["a", None], pa.string())
    assert set(chosen.to_pylist()) == {"a", None}
