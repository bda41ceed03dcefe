from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from partitioner.healpix import pixel_of
from partitioner.overlap import overlap_chunks
from qserv.metadata.director_index import find_chunks
from qserv.metadata.engine import connect
from schema.catalogues import data_path, schema_path
from schema.felis import read_database
from schema.model import Column, ColumnType, Table, TableRole

pytestmark = pytest.mark.anyio


def sky(count, seed=1):
    """Return objects all over the sky, denser in the north, one of them at each pole and at RA = 0, two without position."""
    random = np.random.default_rng(seed)
    ra, dec = random.uniform(0, 360, count), np.degrees(np.arcsin(random.uniform(-1, 1, count) ** 3))
    ra[:3], dec[:3] = [0.0, 10.0, 359.9999999], [0.0, 90.0, -90.0]
    ra[3:5] = dec[3:5] = np.nan
    return pa.table(
        {
            "id": pa.array(random.permutation(count)),
            "ra": pa.array(ra, from_pandas=True),
            "dec": pa.array(dec, from_pandas=True),
            "flux": pa.array(random.normal(size=count).astype(np.float32)),
            "name": pa.array([f"o{number}" for number in range(count)]),
        },
    )


async def test_every_row_is_in_the_chunk_of_its_position_and_sorted(archive, write, object_table):
    rows = sky(6_000)
    report = await archive.load(archive.database(object_table), object=write(rows))
    assert [(table.table, table.rows) for table in report.tables] == [("object", 6_000)]
    table = await archive.table("object")
    stored = archive.rows(table)
    assert dict(zip(table.chunks, table.row_counts, strict=True)) == {chunk: len(found) for chunk, found in stored.items()}
    names = {row[0]: (*row[1:3], np.float32(row[3]), row[4]) for found in stored.values() for row in found}
    given = (rows[name].to_pylist() for name in ("ra", "dec"))
    expected = zip(*given, rows["flux"].to_numpy(), rows["name"].to_pylist(), strict=True)
    assert names == dict(zip(rows["id"].to_pylist(), expected, strict=True))
    chunk_map = await archive.chunk_map()
    assert len(chunk_map) == report.chunks > 12
    for chunk, found in stored.items():
        pixels = [row[5] for row in found]
        if chunk == 0:
            assert pixels == [None, None]
        else:
            assert pixels == sorted(pixels)
            assert (chunk_map.chunk_of(pixels) == chunk).all()
            assert (pixel_of([row[1] for row in found], [row[2] for row in found]) == pixels).all()


async def test_overlap_holds_the_neighbours_of_each_chunk(archive, write, object_table):
    rows = sky(6_000).filter(pa.compute.is_valid(sky(6_000)["ra"]))
    report = await archive.load(archive.database(object_table, overlap_deg=2.0), object=write(rows))
    ra, dec = rows["ra"].to_numpy(), rows["dec"].to_numpy()
    chunk_map = await archive.chunk_map()
    row, chunk = overlap_chunks(ra, dec, pixel_of(ra, dec), chunk_map, 2.0)
    expected = sorted(zip(chunk.tolist(), rows["id"].to_numpy()[row].tolist(), strict=True))
    stored = archive.rows(await archive.table("object"), overlap=True)
    assert sorted((chunk, found[0]) for chunk, rows in stored.items() for found in rows) == expected
    assert report.tables[0].overlap_rows == len(expected) > 0


async def test_a_key_leads_to_its_chunk(archive, write, object_table):
    await archive.load(archive.database(object_table), object=write(sky(500)))
    stored = archive.rows(await archive.table("object"))
    expected = {row[0]: chunk for chunk, rows in stored.items() for row in rows}
    async with connect(archive.engine) as connection:
        keys, chunks = await find_chunks(connection, archive.name, "object", list(expected))
    assert dict(zip(keys.tolist(), chunks.tolist(), strict=True)) == expected


async def test_a_load_of_many_runs_stores_the_same(archive, write, object_table):
    rows = sky(6_000)
    options = replace(archive.options, run_bytes=50_000)
    await archive.load(archive.database(object_table), options=options, object=write(rows))
    stored = archive.rows(await archive.table("object"))
    assert sorted(row[0] for found in stored.values() for row in found) == list(range(6_000))
    for chunk, found in stored.items():
        assert chunk == 0 or [row[5] for row in found] == sorted(row[5] for row in found)
    assert not list(archive.runs.rglob("*.arrow"))


async def test_replicas_hold_the_same_rows(archive, write, object_table):
    options = replace(archive.options, replicas=2)
    await archive.load(archive.database(object_table), options=options, object=write(sky(2000)))
    table = await archive.table("object")
    for chunk in set(table.chunks) - {0}:
        assert len(table.replicas[chunk]) == 2
        relation = f'"{archive.name}"."object_{chunk}"'
        first, second = (sorted(archive.ask(node, f"TABLE {relation}")) for node in table.replicas[chunk])
        assert first == second


async def test_dependents_lie_with_their_directors_and_their_distance_is_measured(archive, write, object_table):
    source = Table(
        "source",
        TableRole.DEPENDENT,
        (
            Column("source_id", ColumnType.LONG, nullable=False),
            Column("object_id", ColumnType.LONG),
            Column("ra", ColumnType.DOUBLE),
            Column("dec", ColumnType.DOUBLE),
        ),
        ("source_id",),
        ra="ra",
        dec="dec",
        director="object",
        director_key="object_id",
    )
    objects = sky(3000)
    # Four sources an object, the last of them 0.1 degrees north (south, in the north), and none for the last objects.
    shift = np.tile([0.0, 0.0, 0.0, 0.1], 2000) * np.where(np.repeat(objects["dec"].to_numpy()[:2000], 4) > 0, -1, 1)
    sources = pa.table(
        {
            "source_id": np.arange(8000),
            "object_id": np.repeat(objects["id"].to_numpy()[:2000], 4),
            "ra": pa.array(np.repeat(objects["ra"].to_numpy()[:2000], 4), from_pandas=True),
            "dec": pa.array(np.repeat(objects["dec"].to_numpy()[:2000], 4) + shift, from_pandas=True),
        },
    )
    database = archive.database(object_table, source)
    await archive.load(database, source=write(sources, "source.parquet"), object=write(objects, "object.parquet"))
    of_object = {row[0]: chunk for chunk, rows in archive.rows(await archive.table("object")).items() for row in rows}
    table = await archive.table("source")
    stored = archive.rows(table)
    assert sum(map(len, stored.values())) == 8000
    assert all(of_object[row[1]] == chunk for chunk, rows in stored.items() for row in rows)
    assert table.facts["max_separation_deg"] == pytest.approx(0.1, abs=1e-8)
    assert table.facts["max_separation_deg"] >= 0.1


async def test_a_replicated_table_is_whole_on_every_node(archive, write):
    bands = Table(
        "band",
        TableRole.REPLICATED,
        (Column("name", ColumnType.STRING), Column("wavelength", ColumnType.DOUBLE, unit="nm")),
        ("name",),
    )
    await archive.load(archive.database(bands), band=write({"name": ["g", "r"], "wavelength": [480.0, None]}))
    for node in (0, 1):
        rows = archive.ask(node, f'SELECT name, wavelength FROM "{archive.name}".band')  # noqa: S608 (our own name)
        assert rows == [("g", 480.0), ("r", None)]
    table = await archive.table("band")
    assert (table.chunks, table.row_counts) == ((-1,), (2,))
    assert table.statistics["wavelength"].null_count == (1,)


async def test_tap_schema_describes_what_is_published(archive, write, object_table):
    await archive.load(archive.database(object_table), object=write(sky(100)))
    for node in (0, 1):
        names = archive.ask(node, "SELECT table_name FROM tap_schema.tables")
        assert (f"{archive.name}.object",) in names
        assert ("tap_schema.columns",) in names
    assert {table.name for table in (await archive.catalogue()).tables if table.database == "tap_schema"} == {
        "schemas",
        "tables",
        "columns",
        "keys",
        "key_columns",
    }


async def test_the_stars_are_all_there(archive):
    database = replace(read_database(schema_path("stars")), name=archive.name, family=archive.name)
    options = replace(archive.options, chunk_target_rows=20_000)
    report = await archive.load(database, options=options, hipparcos=data_path("hipparcos.parquet"))
    table = await archive.table("hipparcos")
    assert sum(table.row_counts) == report.tables[0].rows == 118_218
    assert dict(zip(table.chunks, table.row_counts, strict=True))[0] == 263
    hip = table.statistics["hip"]
    assert min(map(int, hip.minimum)) == 1
    assert max(map(int, hip.maximum)) == max(pq.read_table(data_path("hipparcos.parquet"), columns=["hip"])["hip"].to_pylist())
    assert sum(table.statistics["ra_degrees"].null_count) == 263
