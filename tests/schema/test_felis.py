"""Reading Felis with the partitioning beside it: what is taken over, and what is said of mistakes."""

import pytest
import yaml

from qserv.errors import SchemaError
from schema.felis import read_database
from schema.model import ColumnType, ForeignKey, Frame, TableRole, TimeSystem

FELIS = """
name: dr1
description: A release
  on two lines.
version: {current: v2}
tables:
- name: Source
  "@id": "#Source"
  primaryKey: "#Source.sourceId"
  tap:table_index: 2
  columns:
  - {name: sourceId, "@id": "#Source.sourceId", datatype: long, nullable: false}
  - {name: objectId, "@id": "#Source.objectId", datatype: long, nullable: false}
  - {name: ra, "@id": "#Source.ra", datatype: double, fits:tunit: deg}
  - {name: dec, "@id": "#Source.dec", datatype: double, fits:tunit: deg}
  - {name: visit, "@id": "#Source.visit", datatype: int}
  - {name: seen, "@id": "#Source.seen", datatype: timestamp, precision: 6}
  - {name: flux, "@id": "#Source.flux", datatype: float, fits:tunit: nJy, ivoa:ucd: phot.flux}
  - {name: drift, "@id": "#Source.drift", datatype: float, fits:tunit: pixel / year}
  constraints:
  - {name: SourceObject, "@type": ForeignKey, columns: ["#Source.objectId"], referencedColumns: ["#Object.objectId"]}
  - {name: SourceVisit, "@type": ForeignKey, columns: ["#Source.visit"], referencedColumns: ["#Visit.visit"], description: Visit.}
  indexes:
  - {name: by_visit, columns: ["#Source.visit", "#Source.seen"]}
- name: Object
  "@id": "#Object"
  primaryKey: ["#Object.objectId"]
  tap:table_index: 1
  description: One row an object.
  columns:
  - {name: ra, "@id": "#Object.ra", datatype: double, ivoa:unit: deg, ivoa:ucd: pos.eq.ra;meta.main, tap:column_index: 2}
  - {name: dec, "@id": "#Object.dec", datatype: double, ivoa:unit: deg, ivoa:ucd: pos.eq.dec;meta.main, tap:column_index: 3}
  - {name: objectId, "@id": "#Object.objectId", datatype: long, nullable: false, ivoa:ucd: meta.id;meta.main, tap:column_index: 1}
  - {name: label, "@id": "#Object.label", datatype: string, length: 8, votable:arraysize: "8*", tap:principal: 1, tap:std: 1,
     votable:utype: "x:y", votable:xtype: "z"}
  - {name: note, "@id": "#Object.note", datatype: string, length: 9, votable:datatype: unicodeChar}
- name: Visit
  "@id": "#Visit"
  columns:
  - {name: visit, "@id": "#Visit.visit", datatype: int}
"""

PARTITIONING = """
family: dr
overlap_deg: 0.01
tables:
  Object:
    role: director
    ra: ra
    dec: dec
    director_key: objectId
    frame: {epoch: J2016.0, proper_motion_ra_includes_cos_dec: false}
  Source:
    role: dependent
    director: Object
    director_key: objectId
    ra: ra
    dec: dec
    frame: {}
    time_system: {timescale: TAI, refposition: TOPOCENTER, timeorigin: MJD-origin}
    columns:
      flux: {nan: keep}
      drift: {derive: {function: drift_of, from: [a, b]}}
    foreign_keys:
      SourceObject: {max_separation_arcsec: 3.6}
  Visit:
    role: replicated
"""


@pytest.fixture
def read(tmp_path):
    """Read the two texts, after changes made to what they hold."""

    def read(change=lambda _felis, _partitioning: None):
        felis, partitioning = yaml.safe_load(FELIS), yaml.safe_load(PARTITIONING)
        change(felis, partitioning)
        (tmp_path / "dr1.yaml").write_text(yaml.safe_dump(felis))
        (tmp_path / "dr1.partition.yaml").write_text(yaml.safe_dump(partitioning))
        return read_database(tmp_path / "dr1.yaml")

    return read


def column(felis, table, name):
    (found,) = [item for item in felis["tables"] if item["name"] == table]
    (found,) = [item for item in found["columns"] if item["name"] == name]
    return found


def test_database_and_order_of_its_tables(read):
    database = read()
    assert (database.name, database.family, database.overlap_deg, database.version) == ("dr1", "dr", 0.01, "v2")
    assert database.description == "A release on two lines."
    assert [table.name for table in database.tables] == ["Object", "Source", "Visit"]


def test_director(read):
    table = read().by_name["Object"]
    assert (table.role, table.ra, table.dec, table.director_key) == (TableRole.DIRECTOR, "ra", "dec", "objectId")
    assert table.frame == Frame("ICRS", "J2016.0", proper_motion_ra_includes_cos_dec=False)
    assert table.primary_key == ("objectId",)
    assert list(table.by_name) == ["objectId", "ra", "dec", "label", "note"]
    label = table.by_name["label"]
    assert (label.datatype, label.length, label.utype, label.xtype) == (ColumnType.STRING, 8, "x:y", "z")
    assert label.principal
    assert label.std
    assert table.by_name["note"].datatype is ColumnType.UNICODE


def test_dependent(read):
    table = read().by_name["Source"]
    assert (table.role, table.director, table.director_key) == (TableRole.DEPENDENT, "Object", "objectId")
    assert table.time_system == TimeSystem("TAI", "TOPOCENTER", "MJD-origin")
    assert table.indexes == (("visit", "seen"),)
    assert table.foreign_keys == (
        ForeignKey("SourceObject", ("objectId",), "Object", ("objectId",), max_separation_deg=0.001),
        ForeignKey("SourceVisit", ("visit",), "Visit", ("visit",), "Visit."),
    )


def test_columns_carry_what_the_partition_file_adds(read):
    columns = read().by_name["Source"].by_name
    assert columns["flux"].keep_nan
    assert not columns["ra"].keep_nan
    assert (columns["drift"].derived_by, columns["drift"].derived_from) == ("drift_of", ("a", "b"))


def test_fits_units_become_vounits(read):
    columns = read().by_name["Source"].by_name
    assert [columns[name].unit for name in ("ra", "flux", "drift", "visit")] == ["deg", "nJy", "pixel.yr**-1", None]


MISTAKES = {
    "misspelt Felis key": (
        lambda f, _: column(f, "Object", "ra").update(colour="red"),
        r"tables\.Object\.columns\.ra\.colour: Extra",
    ),
    "wrong UCD": (lambda f, _: column(f, "Object", "ra").update({"ivoa:ucd": "sky.left"}), r"columns\.ra\.ivoa:ucd: .*sky"),
    "wrong unit": (lambda f, _: column(f, "Object", "ra").update({"ivoa:unit": "degree"}), "Object.ra: ivoa:unit: 'degree' is not"),
    "byte": (lambda f, _: column(f, "Source", "visit").update(datatype="byte"), "Source.visit: datatype: PostgreSQL has no byte"),
    "array": (lambda f, _: column(f, "Source", "flux").update({"votable:arraysize": "3"}), "Source.flux: .* array columns are not"),
    "two lengths": (lambda f, _: column(f, "Object", "label").update(length=9), r"8\* differs from length 9"),
    "odd size": (lambda f, _: column(f, "Object", "label").update({"votable:arraysize": "3x3"}), "'3x3' is not a size"),
    "other VOTable type": (
        lambda f, _: column(f, "Source", "visit").update({"votable:datatype": "long"}),
        "is sent as int, not as long",
    ),
    "type override": (
        lambda f, _: column(f, "Source", "visit").update({"postgresql:datatype": "NUMERIC"}),
        "types are those of Felis",
    ),
    "nanoseconds": (lambda f, _: column(f, "Source", "seen").update(precision=9), "times are kept to 6 digits"),
    "expression": (lambda f, _: f["tables"][0]["indexes"][0].update(columns=None, expressions=["a"]), "Defining columns and expr"),
    "only expression": (
        lambda f, _: f["tables"][0].update(indexes=[{"name": "i", "expressions": ["a"]}]),
        "index i: .*expressions",
    ),
    "foreign primary key": (lambda f, _: f["tables"][0].update(primaryKey="#Object.ra"), "Source: primaryKey: #Object.ra is not"),
    "remote": (lambda f, _: f.update(resources={"r": {"uri": "https://example.org/a.yaml"}}), "resources.r: only files beside"),
    "misspelt key": (lambda _, p: p.update(familly="x"), r"dr1\.partition\.yaml: familly: Extra inputs"),
    "unknown role": (lambda _, p: p["tables"]["Visit"].update(role="chief"), r"tables\.Visit\.role: Input should be 'director'"),
    "negative overlap": (lambda _, p: p.update(overlap_deg=-1), "overlap_deg: Input should be greater"),
    "nan drop": (
        lambda _, p: p["tables"]["Source"]["columns"]["flux"].update(nan="drop"),
        r"columns\.flux\.nan: Input should be 'keep'",
    ),
    "no such table": (lambda _, p: p["tables"].update(X={"role": "replicated"}), r"tables\.X: the Felis file has no such table"),
    "table left out": (lambda _, p: p["tables"].pop("Visit"), "tables: table Visit of the Felis file is missing"),
    "no such column": (lambda _, p: p["tables"]["Visit"].update(columns={"x": {}}), r"tables\.Visit\.columns\.x: no such column"),
    "no such key": (
        lambda _, p: p["tables"]["Visit"].update(foreign_keys={"x": {"max_separation_arcsec": 1}}),
        r"tables\.Visit\.foreign_keys\.x: no such",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_and_place(read, mistake):
    change, expected = MISTAKES[mistake]
    with pytest.raises(SchemaError, match=expected) as caught:
        read(change)
    assert "dr1." in str(caught.value).splitlines()[0]


def test_all_mistakes_are_named_at_once(read):
    def change(felis, _):
        column(felis, "Object", "ra")["datatype"] = "float"
        column(felis, "Object", "label")["length"] = 9
        column(felis, "Source", "objectId")["datatype"] = "double"

    with pytest.raises(SchemaError, match="4 problems to correct") as caught:
        read(change)
    assert str(caught.value).count("\n  dr1.yaml: ") == 4


def test_a_missing_partition_file_is_named(tmp_path):
    (tmp_path / "dr1.yaml").write_text(FELIS)
    with pytest.raises(SchemaError, match=r"dr1\.partition\.yaml: there is no such file"):
        read_database(tmp_path / "dr1.yaml")
    with pytest.raises(SchemaError, match=r"dr2\.yaml: there is no such file"):
        read_database(tmp_path / "dr2.yaml")


@pytest.mark.parametrize("text", ["a: [", "\xff", "- a"])
def test_what_is_not_yaml_of_a_schema_is_refused(tmp_path, text):
    (tmp_path / "dr1.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SchemaError, match=r"dr1\.yaml: (cannot be read as YAML|1 problem)"):
        read_database(tmp_path / "dr1.yaml")
