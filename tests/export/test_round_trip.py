"""A table that is written and loaded again is the same table, whatever it holds."""

import json
import sys
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from czar.service.client import Czar
from export.asking import AskedTable
from export.collection import export
from export.options import ExportOptions
from ingest.locations import located
from qserv.cli import main
from qserv.errors import CzarLostError, ExportError, UnknownNameError, UserRowsError
from schema.felis import read_database
from tests.export.conftest import Exporting


def test_nothing_is_lost_on_the_way(exporting, odd, same, partitions):
    directory, done = exporting.export(f"{odd}.thing", margin_arcsec=60)
    assert (done.rows, done.without_position, done.partitions) == (9, 2, 4)
    again = exporting.load_again(directory, done, "odd_again")
    try:
        same(exporting.rows(again, "id"), exporting.rows(f"{odd}.thing", "id"))
        found, expected = (exporting.czar.declaration(name, "thing") for name in ("odd_again", odd))
        assert found.table == expected.table
        assert (found.overlap_deg, found.version, found.description) == (expected.overlap_deg, "3", expected.description)
    finally:
        exporting.drop("odd_again")
    assert sum(pq.read_metadata(each).num_rows for each in partitions(directory / "thing")) == 7
    fields = pq.read_schema(directory / "thing" / "dataset" / "_common_metadata")
    assert fields.names[0] == "_healpix_29"
    assert fields.field("kept").metadata == {b"unit": b"mag", b"ucd": b"phot.mag;em.opt.V", b"datatype": b"double", b"nan": b"keep"}
    assert fields.field("ra").metadata[b"frame"] == b"ICRS J2016"
    assert fields.field("flux").metadata[b"utype"] == b"a:b.c"


def test_parts_of_the_sky_are_the_whole_table(exporting, tmp_path):
    """Each part is one query, of so few rows that there are many, down to pixels that have to be counted once more."""
    asked = AskedTable(exporting.czar, "stars", "hipparcos", part_rows=12_000)
    options = ExportOptions(partition_rows=4_000, margin_arcsec=3600)
    parts = list(asked.parts(options.partition_rows))
    assert len([part for part in parts if part.query]) > 10
    done = export(exporting.czar, asked, tmp_path / "parts", options)
    assert (done.rows, done.without_position) == (118_218, 263)
    stars = exporting.czar.query("SELECT hip, magnitude FROM stars.hipparcos ORDER BY hip")
    files = located(str(tmp_path / "parts"))
    found = pa.concat_tables(pq.read_table(each, columns=["hip", "magnitude"], partitioning=None) for each in files)
    assert found.sort_by("hip").to_pydict() == stars.to_pydict()
    assert all(pq.read_metadata(each).num_rows <= 4_000 for each in files)
    whole, once = exporting.export("stars.hipparcos", partition_rows=4_000, margin_arcsec=3600)
    assert (whole / "hipparcos" / "partition_info.csv").read_text() == (
        tmp_path / "parts" / "hipparcos" / "partition_info.csv"
    ).read_text()
    assert (done.partitions, done.margin_rows) == (once.partitions, once.margin_rows)


def test_dense_pixels_are_counted_again(exporting, odd):
    parts = list(AskedTable(exporting.czar, odd, "thing", part_rows=1).parts(1))
    pixels = [pixel for part in parts for pixel in part.pixels]
    assert max(pixel.order for pixel in pixels) > 5
    assert sum(1 / 4**pixel.order for pixel in pixels) == 12
    asked = [part.query for part in parts if part.query]
    assert sorted(exporting.czar.query(query).num_rows for query in asked) == [*5 * [1], 2, 2]  # two at RA = 0, two nowhere


def test_answer_is_written_with_what_is_known_of_it(exporting, odd, same):
    query = f"SELECT id, ra, dec, kept, flux * 2 AS twice, 1.0 / 3 AS third FROM {odd}.thing WHERE id <> 4"  # noqa: S608 (as above)
    directory, done = exporting.export(query, "some", margin_arcsec=0)
    assert (done.rows, done.without_position, done.margin_rows) == (9, 2, 0)
    assert "default_margin" not in (directory / "collection.properties").read_text()
    assert read_database(directory / "some.yaml").by_name["some"].director_key == "id"
    again = exporting.load_again(directory, done, "some_again")
    try:
        same(exporting.rows(again, "id"), exporting.czar.query(f"{query} ORDER BY id"))
    finally:
        exporting.drop("some_again")


def test_arrays_are_written(exporting, odd, partitions):
    query = f"SELECT ra, dec, array_agg(id) AS ids FROM {odd}.thing WHERE ra IS NOT NULL GROUP BY ra, dec"  # noqa: S608 (as above)
    directory, _ = exporting.export(query, "grouped")
    rows = pa.concat_tables(pq.read_table(each, partitioning=None) for each in partitions(directory / "grouped"))
    assert pa.types.is_list(rows.schema.field("ids").type)
    assert min(rows["ids"].combine_chunks().flatten().to_pylist()) == 2**53 + 1
    assert "ids is left out" in (directory / "grouped.yaml").read_text()


@pytest.mark.parametrize(("condition", "rows"), [("id < 0", 0), ("dec = 90", 1), ("ra IS NULL", 2)])
def test_few_rows_or_none(exporting, odd, condition, rows):
    query = f"SELECT * FROM {odd}.thing WHERE {condition}"  # noqa: S608 (as above)
    directory, done = exporting.export(query, "few")
    assert done.rows == rows
    files = located(str(directory))
    assert sum(pq.read_metadata(each).num_rows for each in files) == rows
    assert pq.read_schema(files[0]).names[:2] == ["_healpix_29", "id"]


@pytest.mark.parametrize(
    ("what", "query", "error"),
    [
        ("odd.part", {}, r"export the answer of: SELECT t.\*, d.ra, d.dec FROM odd.part AS t JOIN odd.thing AS d ON t.id = d.id"),
        ("SELECT id, kept FROM odd.thing", {}, "none of id, kept is known to be the position"),
        ("SELECT id AS Npix, ra, dec FROM odd.thing", {}, "Npix has a name that HATS keeps"),
        ("SELECT ra, dec * 2 AS dec FROM odd.thing", {"position": ("ra", "dec")}, "dec = -?180.0, which is no position"),
        ("SELECT ra, dec FROM odd.thing", {"position": ("ra", "declination")}, "no column declination"),
        ("SELECT id, ra, dec FROM odd.thing", {"position": ("ra", "name")}, "no column name"),
        ("SELECT kept, dec FROM odd.thing", {"position": ("kept", "dec")}, "kept is in mag"),
        ("SELECT ra, dec FROM odd.thing", {"name": "a b"}, "is no name for a catalogue"),
    ],
)
def test_what_cannot_be_written_is_refused(exporting, odd, what, query, error):
    del odd
    with pytest.raises(ExportError, match=error):
        exporting.export(what, query=query)
    assert list(exporting.directory.iterdir()) == []


def test_dependent_is_written_by_the_join_that_is_proposed(exporting, odd, partitions):
    query = f"SELECT t.*, d.ra, d.dec FROM {odd}.part AS t JOIN {odd}.thing AS d ON t.id = d.id"  # noqa: S608 (as above)
    directory, done = exporting.export(query, "joined")
    assert (done.rows, done.without_position) == (2, 1)
    assert len(partitions(directory / "joined")) == 1


def test_errors_of_a_query_leave_nothing(exporting):
    with pytest.raises(UnknownNameError, match="hipp"):
        exporting.export("SELECT hipp, ra_degrees, dec_degrees FROM stars.hipparcos")
    with pytest.raises(UnknownNameError, match="star"):
        exporting.export("stars.hipparcoss")
    assert list(exporting.directory.iterdir()) == []


def test_table_that_changes_meanwhile_is_not_written(exporting, odd):
    asked = AskedTable(exporting.czar, odd, "thing")
    asked.declaration = asked.declaration.model_copy(update={"edition": "another"})
    with pytest.raises(ExportError, match="has other rows than when the export began"):
        export(exporting.czar, asked, exporting.directory / "out", ExportOptions())
    assert list(exporting.directory.iterdir()) == []


def test_command_tells_what_it_wrote(exporting, odd, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["qserv", "export", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr()

    monkeypatch.setenv("QSERV_HOME", str(exporting.archive.home))
    target = exporting.directory / "things"
    code, shown = run(f"{odd}.thing", str(target))
    assert code == 0
    assert "9 rows, 2 of them without a position" in shown.out
    assert f"qserv ingest {target}/odd.yaml thing={target}" in shown.out
    code, shown = run(f"{odd}.thing", str(target))
    assert (code, "is there already" in shown.err) == (4, True)
    code, shown = run(f"SELECT * FROM {odd}.thing", str(target), "--overwrite", "--name", "some", "--json")  # noqa: S608 (as above)
    told = json.loads(shown.out)
    assert (code, told["rows"], told["table"], told["schema_file"]) == (0, 9, "some", "some.yaml")
    code, shown = run(f"{odd}.thing", str(target), "--ra", "ra")
    assert code == 2
    assert np.array_equal([each.name for each in exporting.directory.iterdir()], ["things"])


class Flaky(Czar):
    """A czar that is lost in the middle of its first answers."""

    lost = 0

    @contextmanager
    def answer(self, query, **options):
        with super().answer(query, **options) as rows:
            self.lost += 1
            yield rows if self.lost > 2 else self.half_of(rows)

    def half_of(self, rows):
        class Half:
            schema = rows.schema

            def __iter__(self):
                yield next(rows)
                msg = "it is gone"
                raise CzarLostError(msg)

        return Half()


@pytest.mark.parametrize("attempts", [2, 3])
def test_part_that_was_lost_is_asked_for_again(exporting, odd, monkeypatch, same, attempts):
    monkeypatch.setattr("export.writer.WAIT_S", 0.01)
    monkeypatch.setattr("export.writer.ATTEMPTS", attempts)
    with Flaky.of_home(exporting.archive.home) as czar:
        flaky = Exporting(exporting.archive, czar, exporting.directory)
        if attempts == 2:
            with pytest.raises(CzarLostError):
                flaky.export(f"{odd}.thing", "flaky")
            assert list(exporting.directory.iterdir()) == []
            return
        found, done = flaky.export(f"{odd}.thing", "flaky")
    whole, expected = exporting.export(f"{odd}.thing", "whole")
    assert done == expected
    for one, other in zip(located(str(found)), located(str(whole)), strict=True):
        same(pq.read_table(one, partitioning=None), pq.read_table(other, partitioning=None))


def test_limit_of_an_hour_is_waited_for(exporting, odd, monkeypatch):
    waits = []
    monkeypatch.setattr("export.writer.time.sleep", waits.append)
    monkeypatch.setattr(Flaky, "half_of", lambda _self, _rows: _refused())
    with Flaky.of_home(exporting.archive.home) as czar:
        _, done = Exporting(exporting.archive, czar, exporting.directory).export(f"{odd}.thing", "patient")
    assert (done.rows, waits) == (9, [60, 60])


def _refused():
    msg = "enough for this hour"
    raise UserRowsError(msg)
