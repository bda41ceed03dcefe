"""Dependents that are placed by the position of their director, and rows whose director is not there."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingest.dependents import KeptOrphans
from ingest.references import facts_of
from partitioner.healpix import pixel_of
from partitioner.overlap import overlap_chunks
from qserv.errors import BadRowError
from schema.model import Column, ColumnType, Orphans, Table, TableRole

pytestmark = pytest.mark.anyio

DEGREES = {"datatype": ColumnType.DOUBLE, "unit": "deg"}

SOURCE = Table(
    "source",
    TableRole.DEPENDENT,
    (Column("source_id", ColumnType.LONG, nullable=False), Column("object_id", ColumnType.LONG)),
    ("source_id",),
    director="object",
    director_key="object_id",
    director_ra="object_ra",
    director_dec="object_dec",
)
"""Its files carry the position of the object, which is not stored."""

DETECTION = Table(
    "detection",
    TableRole.DEPENDENT,
    (
        Column("detection_id", ColumnType.LONG, nullable=False),
        Column("object_id", ColumnType.LONG),
        Column("ra", **DEGREES),
        Column("dec", **DEGREES),
    ),
    ("detection_id",),
    ra="ra",
    dec="dec",
    director="object",
    director_key="object_id",
    orphans=Orphans.KEEP,
)

COUNT = 300
"""Objects."""

FIRST = 2**53
"""Keys that a double would not tell apart."""


def objects(count=COUNT):
    """Return objects all over the sky, among them corners and edges of pixels, poles, RA = 0 from both sides, and none at all."""
    random = np.random.default_rng(5)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count)))
    ra[:8] = [0.0, 360.0, 359.99999999999994, 45.0, 45.0, 10.0, 10.0, -45.0]
    dec[:8] = [0.0, 0.0, 41.810314895778596, 0.0, -0.0, 90.0, -90.0, 41.810314895778596]
    ra[8:10] = dec[8:10] = np.nan
    return pa.table(
        {
            "id": np.arange(count) + FIRST,
            "ra": pa.array(ra, from_pandas=True),
            "dec": pa.array(dec, from_pandas=True),
            "flux": np.ones(count, np.float32),
            "name": ["o"] * count,
        }
    )


def sources(of):
    """Return two rows of each object, in any order."""
    place = np.random.default_rng(6).permutation(np.repeat(np.arange(len(of)), 2))
    carried = of.select(["id", "ra", "dec"]).rename_columns(["object_id", "object_ra", "object_dec"]).take(pa.array(place))
    return carried.add_column(0, "source_id", pa.array(np.arange(len(place)))).append_column(
        "unused", pa.array(np.zeros(len(place)))
    )


def changed(rows, row, **values):
    """Return rows with other values in one of them, which is counted from 1."""
    for name, value in values.items():
        column = rows[name].to_pylist()
        column[row - 1] = value
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(column, rows[name].type))
    return rows


@pytest.fixture
def load(archive, write, object_table):
    """Load objects and what hangs on them."""

    async def run(table, rows, **options):
        of = {"object": write(objects(), "object.parquet"), table.name: write(rows, f"{table.name}.parquet")}
        return await archive.load(archive.database(object_table, table), options=replace(archive.options, **options), **of)

    return run


async def chunks_of_objects(archive):
    return {row[0]: chunk for chunk, rows in archive.rows(await archive.table("object")).items() for row in rows}


@pytest.mark.parametrize("max_bad_rows", [0, 1], ids=["checked by the nodes", "checked by the index"])
async def test_rows_lie_where_they_say_that_their_object_is(max_bad_rows, archive, load):
    report = await load(SOURCE, sources(objects()), max_bad_rows=max_bad_rows)
    assert report.tables[1].rows == 2 * COUNT
    assert report.tables[1].ignored_columns == ("unused",)
    of_object, stored = await chunks_of_objects(archive), archive.rows(await archive.table("source"))
    assert sum(map(len, stored.values())) == 2 * COUNT
    assert len(stored) > 8
    assert all(of_object[key] == chunk for chunk, rows in stored.items() for _, key, *_ in rows)
    assert len(stored[0]) == 4


ELSEWHERE, MISSING = "this is not where the row of object is whose key is", "table object has no row of this key"

WRONG = {
    21: ({"object_ra": 200.0, "object_dec": 5.0}, "object_ra", "200.0", ELSEWHERE),
    22: ({"object_ra": None, "object_dec": None}, "object_ra", "NULL", ELSEWHERE),
    23: ({"object_dec": None}, "object_dec", "NULL", "one of longitude and latitude is missing, the other is not"),
    24: ({"object_ra": float("inf")}, "object_ra", "inf", "a position is finite"),
    25: ({"object_dec": -90.5}, "object_dec", "-90.5", "a latitude is from -90 to 90 degrees"),
    26: ({"object_id": 7}, "object_id", "7", MISSING),
    27: ({"object_id": FIRST - 1}, "object_id", str(FIRST - 1), MISSING),
    28: ({"object_id": None}, "object_id", "NULL", "it is NULL, and the column is a key"),
}
"""Values that are wrong, by the object whose row has them, and what is said of them."""


def row_of(rows, number):
    return rows["object_id"].to_pylist().index(FIRST + number) + 1


@pytest.mark.parametrize("number", [21, 27])
async def test_a_row_that_is_not_with_its_object_is_named(number, archive, load):
    rows, (values, column, value, reason) = sources(objects()), WRONG[number]
    row = row_of(rows, number)
    with pytest.raises(BadRowError, match=rf"source\.parquet, row {row}, column '{column}', value {value}: {reason}"):
        await load(SOURCE, changed(rows, row, **values))
    assert not (await archive.catalogue()).tables


async def test_rows_that_are_not_with_their_objects_are_set_aside(load, tmp_path):
    rows, options = sources(objects()), {"max_bad_rows": len(WRONG), "rejects": tmp_path / "rejects.jsonl"}
    expected = {row_of(rows, number): told for number, (_, *told) in WRONG.items()}
    for row, (values, *_) in zip(expected, WRONG.values(), strict=True):
        rows = changed(rows, row, **values)
    report = await load(SOURCE, rows, **options)
    assert [(table.rows, table.rejected) for table in report.tables] == [(COUNT, 0), (2 * COUNT - len(WRONG), len(WRONG))]
    told = {line["row"]: line for line in map(json.loads, options["rejects"].read_text().splitlines())}
    assert {row: [line["column"], line["value"]] for row, line in told.items()} == {row: each[:2] for row, each in expected.items()}
    assert all(told[row]["reason"].startswith(reason) for row, (_, _, reason) in expected.items())


async def test_beside_an_edge_the_last_digit_counts(archive, load):
    """The object at (45, 0) is at a corner of base pixels; a neighbour of its double is in another chunk."""
    rows = sources(objects())
    row = row_of(rows, 3)
    beside = float(np.nextafter(0.0, -1.0))
    assert pixel_of([45.0], [0.0]) >> 58 != pixel_of([45.0], [-1e-9]) >> 58
    await load(SOURCE, changed(rows, row, object_dec=beside))
    with pytest.raises(BadRowError, match=rf"row {row}, column 'object_ra', value 45\.0: this is not where"):
        await load(SOURCE, changed(rows, row, object_dec=-1e-9), replace=True)
    assert (await archive.table("source")).published


async def test_orphans_are_kept_in_the_chunk_of_their_own_position(archive, load):
    of = objects()
    # One beside each object, and one of a key that no object has, or of NULL, in the same place.
    strange = np.array([0, 0, FIRST - 1, FIRST + COUNT, None] * (COUNT // 5), dtype=object)
    rows = pa.table(
        {
            "detection_id": np.arange(2 * COUNT),
            "object_id": pa.array([*of["id"].to_pylist(), *strange], pa.int64()),
            "ra": pa.concat_arrays([*of["ra"].chunks] * 2),
            "dec": pa.concat_arrays([*of["dec"].chunks] * 2),
        }
    )
    report = await load(DETECTION, rows)
    assert (report.tables[1].rows, report.tables[1].orphans) == (2 * COUNT, COUNT)
    assert report.tables[1].orphan_keys == (0, FIRST - 1, FIRST + COUNT, None)
    of_object, table = await chunks_of_objects(archive), await archive.table("detection")
    stored, chunk_map = archive.rows(table), await archive.chunk_map()
    assert sum(map(len, stored.values())) == 2 * COUNT
    for chunk, found in stored.items():
        for number, key, ra, dec, *_ in found:
            if number < COUNT:
                assert of_object[key] == chunk
            else:
                assert chunk == (0 if ra is None else chunk_map.chunk_of(pixel_of([ra], [dec]))[0])
    here = sorted(chunk for chunk, found in stored.items() if any(number >= COUNT for number, *_ in found))
    assert table.facts["orphans"] == {"rows": COUNT, "chunks": here}
    assert 0 in here


async def test_a_table_that_keeps_orphans_is_told_where_its_objects_are(archive, load):
    """The position of the object counts for rows that have one, their own for the others."""
    table = replace(DETECTION, director_ra="object_ra", director_dec="object_dec")
    rows = sources(objects()).slice(0, 50).drop_columns(["unused"])
    rows = rows.rename_columns(["detection_id", "object_id", "object_ra", "object_dec"])
    rows = rows.append_column("ra", pa.array([200.5] * 50)).append_column("dec", pa.array([-40.5] * 50))
    placed = rows.filter(pc.is_valid(rows["object_ra"]))
    report = await load(table, changed(placed, 7, object_id=12, object_ra=1.0))
    assert (report.tables[1].rows, report.tables[1].orphans, report.tables[1].orphan_keys) == (len(placed), 1, (12,))
    stored = archive.rows(await archive.table("detection"))
    (orphan,) = [chunk for chunk, found in stored.items() for row in found if row[1] == 12]
    assert orphan == (await archive.chunk_map()).chunk_of(pixel_of([200.5], [-40.5]))[0]
    with pytest.raises(BadRowError, match=r"row 7, column 'object_ra', value 1\.0: this is not where"):
        await load(table, changed(placed, 7, object_ra=1.0), replace=True)


async def test_overlap_holds_what_lies_in_or_near_a_chunk_and_is_at_home_elsewhere(archive, load):
    of = objects()
    rows = pa.table(
        {
            "detection_id": np.arange(2 * COUNT),
            "object_id": pa.array([*of["id"].to_pylist(), *[5] * COUNT]),
            # Half of them are far from their objects, so none of these is where it is at home.
            "ra": pa.concat_arrays([pc.if_else(pc.is_null(of["ra"]), None, 123.25).combine_chunks(), *of["ra"].chunks]),
            "dec": pa.concat_arrays([pc.if_else(pc.is_null(of["dec"]), None, -12.5).combine_chunks(), *of["dec"].chunks]),
        }
    )
    report = await load(replace(DETECTION, overlap=True), rows)
    of_object, chunk_map = await chunks_of_objects(archive), await archive.chunk_map()
    expected = set()
    for number, key, ra, dec in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        if ra is not None:
            pixel = pixel_of([ra], [dec])
            _, near = overlap_chunks([ra], [dec], pixel, chunk_map, archive.database().overlap_deg)
            home = of_object.get(key, chunk_map.chunk_of(pixel)[0])
            expected |= {(chunk, number) for chunk in {*near.tolist(), int(chunk_map.chunk_of(pixel)[0])} - {home}}
    stored = archive.rows(await archive.table("detection"), overlap=True)
    assert {(chunk, row[0]) for chunk, found in stored.items() for row in found} == expected
    assert report.tables[1].overlap_rows == sum(map(len, stored.values())) == len(expected) > COUNT // 2


async def test_a_key_that_may_not_be_null_is_not(load):
    columns = tuple(replace(column, nullable=column.name != "object_id") for column in DETECTION.columns)
    rows = pa.table({"detection_id": [1], "object_id": pa.array([None], pa.int64()), "ra": [1.0], "dec": [1.0]})
    with pytest.raises(BadRowError, match="column 'object_id', value NULL: it is NULL, and the column is not nullable"):
        await load(replace(DETECTION, columns=columns), rows)


def test_a_few_keys_are_named_and_all_rows_are_counted():
    orphans = KeptOrphans()
    assert orphans.fact == {}
    for start in (0, 3):
        orphans.add(pa.array([None, *range(start, start + 7)], pa.int64()), np.array([5, 4, 4, 4, 4, 4, 4, 4]))
    assert orphans.keys == [None, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert orphans.fact == {"orphans": {"rows": 16, "chunks": [4, 5]}}


def test_where_orphans_are_is_known_until_the_table_is_loaded_again():
    fact = {"orphans": {"rows": 16, "chunks": [4, 5]}}
    assert facts_of({**fact, "max_separation_deg": 3.0}, None) == fact
    assert facts_of(fact, {}) == {}
