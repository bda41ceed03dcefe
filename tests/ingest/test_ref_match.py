"""Ref-match tables: pairs of keys of two directors, at home with the first and in the overlap of the second."""

# ruff: noqa: S608 (statements of the test's own names)

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from partitioner.sphere import angular_separation_deg
from qserv.errors import BadRowError, IngestError
from schema.model import Column, ColumnType, Table, TableRole

pytestmark = pytest.mark.anyio

OVERLAP_DEG = 0.5

COUNT = 1_500


def director(name):
    columns = (Column("id", ColumnType.LONG, nullable=False), Column("ra", ColumnType.DOUBLE), Column("dec", ColumnType.DOUBLE))
    return Table(name, TableRole.DIRECTOR, columns, ("id",), ra="ra", dec="dec", director_key="id")


STAR, GALAXY = director("star"), director("galaxy")

MATCH = Table(
    "match",
    TableRole.REF_MATCH,
    (Column("star_id", ColumnType.LONG), Column("galaxy_id", ColumnType.INT), Column("likelihood", ColumnType.FLOAT)),
    ("star_id", "galaxy_id"),
    director="star",
    director_key="star_id",
    second_director="galaxy",
    second_director_key="galaxy_id",
)


def stars():
    random = np.random.default_rng(11)
    return {
        "id": random.permutation(COUNT),
        "ra": random.uniform(0, 360, COUNT),
        "dec": np.degrees(np.arcsin(random.uniform(-1, 1, COUNT))),
    }


def galaxies(shift_deg):
    """Return a galaxy north or south of each star, towards the equator; its key is that of the star and 10,000."""
    near = stars()
    return {"id": near["id"] + 10_000, "ra": near["ra"], "dec": near["dec"] - np.sign(near["dec"]) * shift_deg}


def pairs(star_ids, galaxy_ids):
    score = np.arange(len(star_ids), dtype=np.float32)
    return pa.table({"star_id": star_ids, "galaxy_id": pa.array(galaxy_ids, pa.int32()), "likelihood": score})


async def load(archive, write, rows, shift_deg=0.2, **options):
    database = archive.database(STAR, GALAXY, MATCH, overlap_deg=OVERLAP_DEG)
    return await archive.load(
        database,
        options=replace(archive.options, **options),
        match=write(rows, "match.parquet"),
        star=write(stars(), "star.parquet"),
        galaxy=write(galaxies(shift_deg), "galaxy.parquet"),
    )


async def chunks_of(archive, table):
    return {row[0]: chunk for chunk, rows in archive.rows(await archive.table(table)).items() for row in rows}


def placed(stored):
    return sorted((chunk, row[0], row[1]) for chunk, rows in stored.items() for row in rows)


async def test_each_pair_is_at_home_with_its_first_row_and_in_the_overlap_of_its_second(archive, write):
    ids = stars()["id"]
    report = await load(archive, write, pairs(ids, ids + 10_000))
    star_chunk, galaxy_chunk = await chunks_of(archive, "star"), await chunks_of(archive, "galaxy")
    both = [(star, star + 10_000) for star in ids.tolist()]
    home = sorted((star_chunk[star], star, galaxy) for star, galaxy in both)
    away = sorted((galaxy_chunk[galaxy], star, galaxy) for star, galaxy in both if star_chunk[star] != galaxy_chunk[galaxy])
    table = await archive.table("match")
    assert placed(archive.rows(table)) == home
    assert placed(archive.rows(table, overlap=True)) == away
    assert len(away) > 3
    # The logical number of pairs is that of the base rows.
    assert sum(table.row_counts) == report.tables[-1].rows == COUNT
    assert sum(table.overlap_row_counts) == report.tables[-1].overlap_rows == len(away)
    assert sum(table.statistics["star_id"].null_count) == 0


async def test_base_and_overlap_joined_with_either_director_find_every_pair_once(archive, write):
    ids = stars()["id"]
    await load(archive, write, pairs(ids, ids + 10_000), shift_deg=OVERLAP_DEG)
    table, star, galaxy = [await archive.table(name) for name in ("match", "star", "galaxy")]

    def either(row, chunk):
        """Return the base and overlap rows of a chunk, where it has such."""
        counts = zip(("", "_overlap"), (row.row_counts, row.overlap_row_counts), strict=True)
        place = row.chunks.index(chunk)
        there = [f'TABLE "{archive.name}"."{row.name}_{chunk}{part}"' for part, count in counts if count[place]]
        return " UNION ALL ".join(there)

    by_star, by_galaxy, whole = [], [], []
    for chunk, count in zip(table.chunks, table.row_counts, strict=True):
        node = table.replicas[chunk][0]
        home, all_pairs = f'TABLE "{archive.name}".match_{chunk}', either(table, chunk)
        if count:
            by_star += archive.ask(node, f"SELECT id, galaxy_id FROM ({home}) m JOIN ({either(star, chunk)}) s ON id = star_id")
            near = f"({either(star, chunk)}) s ON s.id = star_id JOIN ({either(galaxy, chunk)}) g ON g.id = galaxy_id"
            whole += archive.ask(node, f"SELECT s.id, g.id FROM ({home}) m JOIN {near}")
        own = f'TABLE "{archive.name}".galaxy_{chunk}'
        by_galaxy += archive.ask(node, f"SELECT star_id, id FROM ({all_pairs}) m JOIN ({own}) g ON id = galaxy_id")
    expected = [(star, star + 10_000) for star in sorted(ids.tolist())]
    assert sorted(by_star) == sorted(by_galaxy) == sorted(whole) == expected


async def test_the_largest_separation_is_measured(archive, write):
    ids = stars()["id"]
    await load(archive, write, pairs(ids, ids + 10_000), shift_deg=0.2)
    facts = (await archive.table("match")).facts
    near, far = stars(), galaxies(0.2)
    largest = angular_separation_deg(near["ra"], near["dec"], far["ra"], far["dec"]).max()
    assert facts["pairs"] == {"complete": True, "local": COUNT, "total": COUNT}
    assert largest <= facts["max_separation_deg"] == pytest.approx(largest, abs=1e-7)


async def test_a_pair_beyond_the_overlap_leaves_the_separation_unknown(archive, write):
    ids = stars()["id"]
    # All pairs are near but one, of stars on the two hemispheres.
    order = np.argsort(stars()["dec"])
    rows = pairs(np.append(ids, ids[order[0]]), np.append(ids, ids[order[-1]]) + 10_000)
    await load(archive, write, rows)
    table = await archive.table("match")
    assert table.facts == {"pairs": {"complete": False, "local": COUNT, "total": COUNT + 1}}
    assert sum(table.row_counts) == COUNT + 1


async def test_a_match_of_a_table_with_itself_and_with_rows_without_position(archive, write):
    table = replace(MATCH, second_director="star")
    rows = {"id": [1, 2, 3, 4], "ra": [10.0, 10.001, None, None], "dec": [0.1, -0.1, None, None]}
    matches = pairs([1, 2, 3], [2, 1, 4])
    database = archive.database(STAR, table, overlap_deg=OVERLAP_DEG)
    await archive.load(database, star=write(rows, "star.parquet"), match=write(matches, "match.parquet"))
    loaded = await archive.table("match")
    assert [row[:2] for row in archive.rows(loaded)[0]] == [(3, 4)]
    assert loaded.facts["pairs"] == {"complete": True, "local": 3, "total": 3}
    assert loaded.facts["max_separation_deg"] == pytest.approx(0.2, abs=1e-5)


async def test_replicas_hold_home_and_overlap_rows(archive, write):
    ids = stars()["id"]
    await load(archive, write, pairs(ids, ids + 10_000), replicas=2)
    table = await archive.table("match")
    for chunk, count in zip(table.chunks, table.overlap_row_counts, strict=True):
        assert len(table.replicas[chunk]) == 2
        if count:
            relation = f'"{archive.name}".match_{chunk}_overlap'
            first, second = (sorted(archive.ask(node, f"TABLE {relation}")) for node in table.replicas[chunk])
            assert first == second


@pytest.mark.parametrize(
    ("star_id", "galaxy_id", "message"),
    [
        (99_999, 10_001, r"match\.parquet, row 2, column 'star_id', value 99999: table star has no row of this key"),
        (2, 1, r"match\.parquet, row 2, column 'galaxy_id', value 1: table galaxy has no row of this key"),
        (None, 10_001, r"match\.parquet, row 2, column 'star_id', value NULL: it is NULL, and the column is a key"),
        (2, None, r"match\.parquet, row 2, column 'galaxy_id', value NULL: it is NULL, and the column is a key"),
    ],
)
async def test_a_pair_of_an_unknown_row_is_named_and_nothing_is_left(archive, write, star_id, galaxy_id, message):
    with pytest.raises(BadRowError, match=message):
        await load(archive, write, pairs([1, star_id], [10_001, galaxy_id]))
    assert archive.physical_tables() == []


async def test_a_pair_that_occurs_twice_is_named(archive, write):
    with pytest.raises(IngestError, match=r"match: Key \(star_id, galaxy_id\)=\(7, 10007\) is duplicated; it has one row a key"):
        await load(archive, write, pairs([7, 7], [10_007, 10_007]))


async def test_directors_are_not_replaced_below_their_pairs(archive, write):
    await load(archive, write, pairs([1], [10_001]))
    database = archive.database(STAR, GALAXY, MATCH, overlap_deg=OVERLAP_DEG)
    with pytest.raises(IngestError, match=r"galaxy cannot be replaced: match depends on it"):
        await archive.load(database, options=replace(archive.options, replace=True), galaxy=write(galaxies(0.2), "galaxy.parquet"))


async def test_pairs_before_their_directors_are_refused(archive, write):
    database = archive.database(STAR, GALAXY, MATCH, overlap_deg=OVERLAP_DEG)
    await archive.load(database, star=write(stars(), "star.parquet"))
    with pytest.raises(IngestError, match=r"table .*galaxy is not loaded"):
        await archive.load(database, match=write(pairs([1], [10_001]), "match.parquet"))
