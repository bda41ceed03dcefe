"""What is beside the rows that are appended: other tables, nodes, keys, and declarations that change."""

import pyarrow as pa
import pytest

from ingest.service.models import LoadRequest, TransactionRequest
from qserv.errors import QservError
from qserv.metadata.transactions import TransactionState
from tests.ingest.appending.conftest import FELIS, PARTITION, visit

EXTRA = """
- name: extra
  "@id": "#extra"
  primaryKey: "#extra.object_id"
  columns:
  - {{name: object_id, "@id": "#extra.object_id", datatype: long, nullable: false}}
  - {{name: value, "@id": "#extra.value", datatype: double}}
- name: star
  "@id": "#star"
  primaryKey: "#star.star_id"
  constraints:
  - {{name: star_object, "@type": ForeignKey, "@id": "#so", columns: ["#star.object_id"], referencedColumns: ["#object.id"]}}
  columns:
  - {{name: star_id, "@id": "#star.star_id", datatype: long, nullable: false, "ivoa:ucd": meta.id;meta.main}}
  - {{name: ra, "@id": "#star.ra", datatype: double, "ivoa:ucd": pos.eq.ra;meta.main, "ivoa:unit": deg}}
  - {{name: dec, "@id": "#star.dec", datatype: double, "ivoa:ucd": pos.eq.dec;meta.main, "ivoa:unit": deg}}
  - {{name: object_id, "@id": "#star.object_id", datatype: long}}
"""

DECLARED = """
  extra: {{role: dependent, director: object, director_key: object_id}}
  star:
    {{role: director, ra: ra, dec: dec, director_key: star_id, frame: {{system: ICRS, epoch: J2000}},
      foreign_keys: {{star_object: {{max_separation_arcsec: 1000}}}}}}
"""


def fails(night, database, rows):
    """Append rows that are not taken; return why."""
    name = f"{database}-fails"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    for table in rows:
        night.send(name, "v", table, rows[table])
    night.ingest.commit(name)
    found = night.ingest.finished(name, 60)
    night.ingest.cancel(name)
    night.ingest.finished(name)
    return found.error.message


def held(night, database):
    """Return on how many nodes each chunk of each table is."""
    sql = "SELECT name, chunk, count(*) FROM replicas JOIN tables USING (table_id) WHERE database = %s GROUP BY name, chunk"
    with night.running.metadata() as session:
        return {(name, chunk): count for name, chunk, count in session.execute(sql, [database]).fetchall()}


def test_rows_go_where_their_table_is(night):
    """Tables of one family may have different numbers of copies."""
    schema, rows = night.schema(), [visit(0), visit(1)]
    request = TransactionRequest(schema_file=str(schema), chunk_order=1, replicas=2, tables=("object", "filter"))
    name = schema.stem
    night.ingest.begin(name, request)
    for table in ("object", "filter"):
        night.send(name, "v", table, rows[0][table])
    night.committed(name)
    night.append(name, {"object": rows[1]["object"]})
    file = night.files({"source": pa.concat_tables([rows[0]["source"], rows[1]["source"]])})["source"]
    night.ingest.submit(f"{name}-s", LoadRequest(schema_file=str(schema), files={"source": (str(file),)}))
    assert night.ingest.finished(f"{name}-s", 60).state is TransactionState.COMMITTED
    later = rows[1]["source"].set_column(0, "source_id", pa.array(range(10**6, 10**6 + len(rows[1]["source"]))))
    night.append(name, {"source": later})
    assert night.ask(name, "SELECT COUNT(*) AS n FROM {db}.source WHERE flux > -1e9") == [repr({"n": 360})]
    assert night.ask(name, "SELECT COUNT(*) AS n FROM {db}.source s JOIN {db}.object o ON o.id = s.object_id") == [repr({"n": 360})]
    assert {(table, count) for (table, _), count in held(night, name).items()} == {("object", 2), ("source", 1), ("filter", 2)}


def test_new_chunks_have_as_many_copies_as_others(night):
    database = night.load(visit(0))
    night.append(database, visit(3))
    assert {count for (table, _), count in held(night, database).items() if table != "filter"} == {1}


def test_a_director_of_rows_that_were_kept_without_one_takes_none(night):
    partition = PARTITION.replace("director_key: object_id, ra", "director_key: object_id, orphans: keep, ra")
    database = night.load({"object": visit(0)["object"]}, night.schema(FELIS, partition), tables=("object",))
    file = night.files({"source": visit(1)["source"]})["source"]
    schema = night.directory / f"{database}.yaml"
    night.ingest.submit(f"{database}-s", LoadRequest(schema_file=str(schema), files={"source": (str(file),)}))
    assert night.ingest.finished(f"{database}-s", 60).state is TransactionState.COMMITTED
    for tables in ((), ("object",), ("source",)):
        with pytest.raises(QservError, match="table source keeps rows without a director"):
            night.ingest.begin("never", TransactionRequest(append_to=database, tables=tables))


def test_keys_and_references_of_other_tables(night):
    """A key of a dependent that is its director's; references that stay local, and some to rows that come later."""
    schema = night.schema(FELIS + EXTRA, PARTITION + DECLARED)
    first, second = visit(0), visit(1)

    def stars(number, rows):
        near = {"ra": rows["ra"], "dec": rows["dec"]}
        return pa.table({"star_id": pa.array(range(number, number + len(rows))), **near, "object_id": rows["id"]})

    extra = pa.table({"object_id": first["object"]["id"], "value": pa.array([1.0] * 40)})
    database = night.load(first | {"extra": extra, "star": stars(0, first["object"])}, schema)
    again = fails(night, database, {"extra": extra.slice(5, 1)})
    assert again == f"table {database}.extra: Key (object_id)=({2**53 + 5}) is there already; one row has a key"
    night.append(database, second | {"star": stars(100, second["object"])})
    joined = "SELECT s.star_id, o.mag FROM {db}.star s JOIN {db}.object o ON o.id = s.object_id"
    assert len(night.ask(database, joined)) == 80
    assert "not chunk-local" not in night.czar.explain(joined.format(db=database)).text
    # Stars whose objects come later, elsewhere: then the join leaves the chunk.
    third = visit(2)["object"]
    night.append(database, {"star": stars(200, third).set_column(1, "ra", pa.array([200.0] * 40))})
    assert len(night.ask(database, joined)) == 80
    night.append(database, {"object": third})
    assert len(night.ask(database, joined)) == 120


def test_what_holds_when_it_opens_holds_for_a_transaction_that_waits(night):
    """A table is replaced with another overlap while an append waits for it."""
    schema = night.schema(FELIS, PARTITION.replace("overlap_deg: 0.5", "overlap_deg: 0.1"))
    database = night.load(visit(0), schema, tables=tuple(visit(0)))
    night.ingest.begin(f"{database}-open", TransactionRequest(append_to=database))
    wider = schema.with_suffix(".partition.yaml")
    wider.write_text(wider.read_text().replace("overlap_deg: 0.1", "overlap_deg: 2.0"))
    files = {table: (str(path),) for table, path in night.files(visit(0)).items()}
    night.ingest.submit(f"{database}-anew", LoadRequest(schema_file=str(schema), files=files, replace=True))
    night.ingest.begin(f"{database}-waits", TransactionRequest(append_to=database))
    night.committed(f"{database}-open")
    assert night.ingest.finished(f"{database}-anew", 60).state is TransactionState.COMMITTED
    for table, rows in visit(1).items():
        night.send(f"{database}-waits", "v", table, rows)
    night.committed(f"{database}-waits")
    both = {table: pa.concat_tables([visit(0)[table], visit(1)[table]]) for table in visit(0)}
    pairs = "SELECT COUNT(*) AS n FROM {db}.object a, {db}.object b WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 1.9 AND a.id < b.id"
    assert night.ask(database, pairs) == night.ask(night.load(both), pairs)


def test_a_table_that_is_gone_ends_a_transaction_that_was_to_append_to_it(night):
    database = night.load(visit(0))
    name = f"{database}-lost"
    night.ingest.begin(name, TransactionRequest(append_to=database))
    night.send(name, "v", "object", visit(1)["object"])
    with night.running.metadata() as session:  # as a lost network does
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    night.ingest.drop(database)
    night.ingest.commit(name)
    assert night.ingest.finished(name, 60).state is TransactionState.ABORTED
