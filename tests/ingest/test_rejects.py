"""Rows that cannot be stored are set aside, as many as may be, and named; the others are loaded as if they were alone."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.files import open_file
from ingest.matching import match_columns
from ingest.rejects import Rejects
from ingest.rows import read_positions, read_rows
from qserv.errors import BadRowError, IngestError
from schema.model import Column, ColumnType, Table, TableRole

STAR = Table(
    "star",
    TableRole.DIRECTOR,
    (Column("id", ColumnType.LONG), Column("ra", ColumnType.DOUBLE), Column("dec", ColumnType.DOUBLE)),
    ra="ra",
    dec="dec",
    director_key="id",
)

BAD = ["x,1,2", "1,x,2", "1,1,90.5", "1,,2", ",1,2", "1,inf,2", "1,1,x"]


def opened(tmp_path, lines):
    (tmp_path / "rows.csv").write_text("id,ra,dec\n" + "".join(f"{line}\n" for line in lines))
    file = open_file(tmp_path / "rows.csv")
    return STAR, file, match_columns(STAR, file)


@given(st.lists(st.one_of(st.none(), st.sampled_from(BAD)), min_size=1, max_size=40))
def test_the_rows_that_are_left_are_those_of_a_file_without_the_bad_ones(tmp_path_factory, drawn):
    directory = tmp_path_factory.mktemp("rows")
    lines = [bad or f"{place},{place},0" for place, bad in enumerate(drawn)]
    rejects = Rejects(directory / "rejects.jsonl", len(BAD) * 40)
    kept = [key for rows in read_rows(*opened(directory, lines), rejects.of("star")) for key in rows.batch["id"].to_pylist()]
    assert kept == [place for place, bad in enumerate(drawn) if bad is None]
    wrong = [place + 1 for place, bad in enumerate(drawn) if bad is not None]
    assert rejects.counts.total() == len(wrong)
    assert (directory / "rejects.jsonl").exists() == bool(wrong)
    told = [json.loads(line) for line in (directory / "rejects.jsonl").read_text().splitlines()] if wrong else []
    assert sorted(each["row"] for each in told) == wrong
    # Positions are read before all else, and pass over the same rows.
    found = [ra for part, _ in read_positions(*opened(directory, lines), rejects.unrecorded) for ra in part]
    assert found == list(_longitudes(drawn))


def _longitudes(drawn):
    """Right ascensions that are read where only positions are looked at: a bad key is not seen."""
    for place, bad in enumerate(drawn):
        if bad is None:
            yield float(place)
        elif bad in {"x,1,2", ",1,2"}:
            yield 1.0


def test_a_line_says_what_is_wrong(tmp_path):
    rejects = Rejects(tmp_path / "rejects.jsonl", 2)
    list(read_rows(*opened(tmp_path, ["1,2,3", "7,1,95", "8,=1+1,2"]), rejects.of("star")))
    told = sorted(map(json.loads, (tmp_path / "rejects.jsonl").read_text().splitlines()), key=lambda each: each["row"])
    assert [list(each) for each in told] == [["table", "file", "row", "column", "value", "reason"]] * 2
    assert [tuple(each.values()) for each in told] == [
        ("star", str(tmp_path / "rows.csv"), 2, "dec", "95.0", "a latitude is from -90 to 90 degrees"),
        ("star", str(tmp_path / "rows.csv"), 3, "ra", "'=1+1'", "it is not exactly a value of type double"),
    ]


def test_more_bad_rows_than_may_be_end_the_load(tmp_path):
    rejects = Rejects(tmp_path / "rejects.jsonl", 2)
    with pytest.raises(BadRowError, match=r"rows.csv, row 3, column .*; 2 bad rows were set aside before it, in .*rejects.jsonl"):
        list(read_rows(*opened(tmp_path, ["1,2,95", "7,1,95", "8,1,95"]), rejects.of("star")))
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 2


def test_none_may_be_bad_by_default(tmp_path):
    rejects = Rejects(tmp_path / "rejects.jsonl", 0)
    for function, take in ((read_rows, rejects.of("star")), (read_positions, rejects.unrecorded)):
        with pytest.raises(BadRowError, match=r"row 2, .* correct or remove the row$"):
            list(function(*opened(tmp_path, ["1,2,5", "7,1,95"]), take))
    assert not (tmp_path / "rejects.jsonl").exists()


def test_rejects_of_an_earlier_load_are_replaced(tmp_path):
    for _ in range(2):
        rejects = Rejects(tmp_path / "rejects.jsonl", 1)
        list(read_rows(*opened(tmp_path, ["1,2,95", "2,1,3"]), rejects.of("star")))
        assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 1


def test_a_file_that_cannot_be_written_ends_the_load(tmp_path):
    rejects = Rejects(tmp_path / "nowhere" / "rejects.jsonl", 1)
    with pytest.raises(IngestError, match=r"rejects.jsonl, which names the rows that are set aside, cannot be written"):
        list(read_rows(*opened(tmp_path, ["1,2,95"]), rejects.of("star")))


@pytest.mark.anyio
async def test_rows_without_their_directors_are_set_aside(archive, write, object_table, tmp_path):
    source = Table(
        "source",
        TableRole.DEPENDENT,
        (
            Column("source_id", ColumnType.LONG, nullable=False),
            Column("object_id", ColumnType.LONG),
            Column("ra", ColumnType.DOUBLE, unit="deg"),
            Column("dec", ColumnType.DOUBLE, unit="deg"),
        ),
        ("source_id",),
        ra="ra",
        dec="dec",
        director="object",
        director_key="object_id",
    )
    objects = pa.table(
        {
            "id": np.arange(100),
            "ra": pa.array([None, *np.linspace(0, 359, 98), 400.0]),
            "dec": pa.array([None, *np.linspace(-90, 90, 98), 95.0]),
            "flux": pa.array(np.ones(100, np.float32)),
            "name": ["o"] * 100,
        }
    )
    sources = pa.table(
        {"source_id": np.arange(200), "object_id": np.arange(200), "ra": np.full(200, 5.0), "dec": np.full(200, 5.0)}
    )
    options = replace(archive.options, max_bad_rows=103, rejects=tmp_path / "rejects.jsonl")
    report = await archive.load(
        archive.database(object_table, source),
        options=options,
        object=write(objects, "object.parquet"),
        source=write(sources, "source.parquet"),
    )
    # Of objects the last one; of sources those of 101 objects that are not there, and that of the object without a position.
    assert {table.table: (table.rows, table.rejected) for table in report.tables} == {"object": (99, 1), "source": (98, 102)}
    stored = archive.rows(await archive.table("source"))
    assert sorted(row[0] for rows in stored.values() for row in rows) == list(range(1, 99))
    told = [json.loads(line) for line in options.rejects.read_text().splitlines()]
    assert sorted(each["row"] for each in told if each["table"] == "source") == [1, *range(100, 201)]
    with pytest.raises(BadRowError, match="102 bad rows were set aside before it"):
        await archive.load(
            archive.database(object_table, source),
            options=replace(options, max_bad_rows=102, replace=True),
            object=write(objects, "object.parquet"),
            source=write(sources, "source.parquet"),
        )
