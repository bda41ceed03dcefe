"""Rows for clusters that lose parts: few points in a dozen chunks, many copies of each, and what queries over them must answer."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.model import Column, ColumnType, Database, Frame, Table, TableRole

POINTS = 1500

COPIES = 400
"""Of each point in a scan: several megabytes a chunk, so that a chunk is many batches and no network holds all of it."""

CHUNK_TARGET_ROWS = 150

KINDS = 7

ONCE, TWICE = "once", "twice"
"""Databases of the same rows: every chunk on one node, and on two."""

SCAN = "SELECT p.point_id, c.copy FROM {database}.points AS p, {database}.copies AS c"
"""Chunk-local and long: each chunk's part is sent while it is computed."""

FINISHED = (
    "SELECT p.kind, SUM(p.weight) / COUNT(*) AS mean FROM {database}.points AS p, {database}.copies AS c"
    " GROUP BY p.kind ORDER BY p.kind"
)
"""Partial sums from the chunks, whose quotients the scratch database computes."""

STEPS = (
    "SELECT COUNT(*) AS n FROM {database}.points AS p"
    " WHERE p.weight > (SELECT AVG(c.copy) FROM {database}.copies AS c)"
    " AND p.mate IN (SELECT m.point_id FROM {database}.mates AS m WHERE m.weight > 100)"
)
"""Reads `mates` in a step, and `points` in the next one."""


def database(name):
    key, weight = Column("point_id", ColumnType.LONG, nullable=False), Column("weight", ColumnType.LONG)
    position = (Column("ra", ColumnType.DOUBLE, nullable=False), Column("dec", ColumnType.DOUBLE, nullable=False))
    kind, mate = Column("kind", ColumnType.INT), Column("mate", ColumnType.LONG)
    directors = tuple(
        Table(
            table,
            TableRole.DIRECTOR,
            (key, *position, kind, mate, weight),
            ("point_id",),
            ra="ra",
            dec="dec",
            director_key="point_id",
            frame=Frame(),
        )
        for table in ("points", "mates")
    )
    copies = Table("copies", TableRole.REPLICATED, (Column("copy", ColumnType.INT, nullable=False),), ("copy",))
    return Database(name, name, (*directors, copies), overlap_deg=0.01)


def rows():
    """Return the tables by name."""
    random = np.random.default_rng(20261121)
    number = np.arange(POINTS)
    points = pa.table(
        {
            "point_id": number,
            "ra": random.uniform(0, 360, POINTS),
            "dec": np.degrees(np.arcsin(random.uniform(-1, 1, POINTS))),
            "kind": pa.array(number % KINDS, pa.int32()),
            "mate": random.permutation(number),
            "weight": number * 3 % 1000,
        }
    )
    return {"points": points, "mates": points, "copies": pa.table({"copy": pa.array(np.arange(COPIES), pa.int32())})}


def is_right(query, answer):
    """Tell whether an Arrow table is the answer to one of the queries."""
    return RIGHT[query](answer)


def _scan(answer):
    pairs = answer["point_id"].to_numpy() * COPIES + answer["copy"].to_numpy()
    return np.array_equal(np.sort(pairs), np.arange(POINTS * COPIES))


def _finished(answer):
    points = rows()["points"]
    means = points.group_by("kind").aggregate([("weight", "mean")]).sort_by("kind")
    found = [float(mean) for mean in answer["mean"].to_pylist()]
    return answer["kind"].to_pylist() == means["kind"].to_pylist() and np.allclose(found, means["weight_mean"].to_pylist())


def _steps(answer):
    points = rows()["points"]
    heavy = points.filter(pc.greater(points["weight"], 100))["point_id"]
    chosen = pc.and_(pc.is_in(points["mate"], heavy.combine_chunks()), pc.greater(points["weight"], (COPIES - 1) / 2))
    return answer["n"].to_pylist() == [pc.sum(chosen).as_py()]


RIGHT = {SCAN: _scan, FINISHED: _finished, STEPS: _steps}
