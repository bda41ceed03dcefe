"""``exporting``: a cluster with real stars and with a table of odd values; tables can be written and loaded again."""

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from czar.service.client import Czar
from export.collection import asked_for, export
from export.options import ExportOptions
from ingest.service.client import Ingest
from qserv.cli.loading import Wish, load_with_progress

FELIS = """
name: odd
"@id": "#odd"
version: "3"
description: Values that are easily lost on the way.
tables:
- name: thing
  "@id": "#thing"
  description: Things at the poles, at RA = 0, and nowhere.
  primaryKey: "#thing.id"
  columns:
  - {name: id, "@id": "#thing.id", datatype: long, nullable: false, description: K, "ivoa:ucd": meta.id;meta.main, "tap:std": 1}
  - {name: ra, "@id": "#thing.ra", datatype: double, "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}
  - {name: dec, "@id": "#thing.dec", datatype: double, "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}
  - {name: kept, "@id": "#thing.kept", datatype: double, "ivoa:unit": mag, "ivoa:ucd": phot.mag;em.opt.V}
  - {name: flux, "@id": "#thing.flux", datatype: float, "ivoa:unit": nJy, "votable:utype": "a:b.c"}
  - {name: small, "@id": "#thing.small", datatype: short}
  - {name: count, "@id": "#thing.count", datatype: int}
  - {name: flag, "@id": "#thing.flag", datatype: boolean}
  - {name: name, "@id": "#thing.name", datatype: unicode, length: 20}
  - {name: note, "@id": "#thing.note", datatype: text}
  - {name: taken, "@id": "#thing.taken", datatype: timestamp}
  - {name: raw, "@id": "#thing.raw", datatype: binary, length: 4}
- name: part
  "@id": "#part"
  primaryKey: "#part.part_id"
  constraints:
  - {name: part_thing, "@type": ForeignKey, "@id": "#part_thing", columns: ["#part.id"], referencedColumns: ["#thing.id"]}
  columns:
  - {name: part_id, "@id": "#part.part_id", datatype: long, nullable: false}
  - {name: id, "@id": "#part.id", datatype: long, nullable: false}
"""

PARTITION = """
family: odd
overlap_deg: 0.25
tables:
  thing:
    role: director
    ra: ra
    dec: dec
    director_key: id
    frame: {system: ICRS, epoch: J2016, proper_motion_ra_includes_cos_dec: false}
    time_system: {timescale: TAI, refposition: TOPOCENTER}
    columns: {kept: {nan: keep}}
  part: {role: dependent, director: thing, director_key: id}
"""

FIRST = 2**53 + 1
LATE = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 (columns have no zone)
ODD = pa.table(
    {
        "id": pa.array(range(FIRST, FIRST + 9)),
        "ra": pa.array([0.0, 359.9999999, 12.0, 12.0, None, None, 180.0, 45.0, 45.001]),
        "dec": pa.array([0.0, -0.0001, 90.0, -90.0, None, None, 1e-9, 45.0, 45.0]),
        "kept": pa.array([math.nan, math.inf, -math.inf, None, 5e-324, -0.0, 1.7e308, 0.1, 0.2]),
        "flux": pa.array([None, math.inf, -math.inf, 1e-45, 3.4e38, 0.1, -0.0, 1.0, 2.0], pa.float32()),
        "small": pa.array([-(2**15), 2**15 - 1, None, 0, 1, 2, 3, 4, 5], pa.int16()),
        "count": pa.array([-(2**31), 2**31 - 1, None, 0, 1, 2, 3, 4, 5], pa.int32()),
        "flag": pa.array([True, False, None] * 2 + [True, None, False]),
        "name": pa.array(["", None, "\u03b1 Cen", "a\nb", '"', "\\", "NULL", "NaN", "nine"]),
        "note": pa.array(["x" * 100_000, "", None, "\t", "=cmd()", " ", "\u2603", "'", "nine"]),
        "taken": pa.array([dt.datetime(1, 1, 1), LATE, None] + [dt.datetime(2026, 2, 28)] * 6),  # noqa: DTZ001 (as above)
        "raw": pa.array([b"", None, b"\x00\xff", *[b"abcd"] * 6]),
    }
)


class Exporting:
    """A cluster from which tables are written to a directory, and into which they are loaded again."""

    def __init__(self, archive, czar, directory):
        self.archive, self.czar, self.directory = archive, czar, directory

    def export(self, what, name="out", *, query=None, **options):
        """Write a table, or an answer, and return the directory with what was told of it."""
        asked = asked_for(self.czar, what, **({"name": name} | (query or {})))
        return self.directory / name, export(self.czar, asked, self.directory / name, ExportOptions(**options))

    def load(self, schema, files):
        return load_with_progress(self.archive.settings, Wish(schema, files), quiet=True)

    def load_again(self, directory, done, database):
        """Load a collection into a database of another name, and return that of its table."""
        schema = directory.parent / f"{database}.yaml"
        name = done.schema_file.removesuffix(".yaml")
        (directory.parent / f"{database}.partition.yaml").write_text(
            (directory / f"{name}.partition.yaml").read_text().replace(f"family: {name}", f"family: {database}")
        )
        schema.write_text((directory / done.schema_file).read_text().replace(f"name: {name}\n", f"name: {database}\n", 1))
        self.load(schema, {done.table: [directory]})
        return f"{database}.{done.table}"

    def rows(self, table, order):
        return self.czar.query(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608 (a test's own words)

    def drop(self, database):
        with Ingest.of_home(self.archive.home) as ingest:
            ingest.drop(database)


@pytest.fixture(scope="session")
def odd(archive, tmp_path_factory):
    """Load the table of odd values, an empty one of its parts, and take both away again."""
    directory = tmp_path_factory.mktemp("odd")
    (directory / "odd.yaml").write_text(FELIS)
    (directory / "odd.partition.yaml").write_text(PARTITION)
    pq.write_table(ODD, directory / "thing.parquet")
    pq.write_table(pa.table({"part_id": [1, 2], "id": [FIRST, FIRST + 4]}), directory / "part.parquet")
    files = {"thing": [directory / "thing.parquet"], "part": [directory / "part.parquet"]}
    load_with_progress(archive.settings, Wish(directory / "odd.yaml", files), quiet=True)
    yield "odd"
    with Ingest.of_home(archive.home) as ingest:
        ingest.drop("odd")


@pytest.fixture
def exporting(archive, tmp_path):
    with Czar.of_home(archive.home, user="tester") as czar:
        yield Exporting(archive, czar, tmp_path)


def partition_files(directory: Path):
    """Return the files of all partitions of a catalogue."""
    return sorted(directory.glob("dataset/Norder=*/Dir=*/Npix=*.parquet"))


@pytest.fixture
def partitions():
    return partition_files


@pytest.fixture
def same():
    """Compare tables bit by bit, NaN and signs of zero too."""

    def check(one, other):
        assert one.column_names == other.column_names
        assert one.schema.types == other.schema.types
        for name in one.column_names:
            values = [each[name].combine_chunks() for each in (one, other)]
            if pa.types.is_floating(values[0].type):
                whole = pa.int32() if values[0].type == pa.float32() else pa.int64()
                assert values[0].is_null().equals(values[1].is_null()), name
                values = [each.drop_null().to_numpy().view(whole.to_pandas_dtype()) for each in values]
                assert np.array_equal(*values), name
            else:
                assert values[0].equals(values[1]), name

    return check
