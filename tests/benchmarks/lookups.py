"""Small questions: cones, single stars, a count. What they cost is the way to the rows, not the rows."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pyarrow.parquet as pq
from archive import Archive
from catalogues import Bigsky
from measurement import Result, Sample, each_in_turn
from plain import Plain

RADIUS_DEG = 0.1
CONE_MS, KEY_MS = 20, 15
"""Goals, end to end. DaCHS needs 45 and 52 ms for the same on the same rows."""

WARM_UP = 10
"""Questions asked before the clock runs: connections are opened and pages are read by then."""


def look_up(archive: Archive, plain: Plain, bigsky: Bigsky, questions: int, seed: int) -> list[Result]:
    """Ask for cones around random stars, for random stars by their key, and for the number of all stars."""
    centres = centres_of(bigsky, WARM_UP + questions, seed)
    found = plain.reader.execute(f"SELECT tycho FROM {plain.relation} ORDER BY random() LIMIT {WARM_UP + questions}").fetchall()
    keys = [key for (key,) in found]
    name = f"{bigsky.database.name}.{bigsky.table.name}"

    def cone(ra: float, dec: float) -> bytes:
        where = f"CONTAINS(POINT(ra_degrees, dec_degrees), CIRCLE({ra}, {dec}, {RADIUS_DEG})) = 1"
        return archive.ask(f"SELECT * FROM {name} WHERE {where}")

    cones, plain_cones = _timed(
        [partial(cone, ra, dec) for ra, dec in centres],
        [partial(plain.cone, ra, dec, RADIUS_DEG) for ra, dec in centres],
    )
    by_key, plain_by_key = _timed(
        [partial(archive.ask, f"SELECT * FROM {name} WHERE tycho = {key}") for key in keys],
        [partial(_all, plain, f"SELECT * FROM {plain.relation} WHERE tycho = {key}") for key in keys],
    )
    counts, plain_counts = _timed(
        [partial(archive.ask, f"SELECT COUNT(*) FROM {name}")] * (WARM_UP + questions // 10),
        [partial(_all, plain, f"SELECT COUNT(*) FROM {plain.relation}")] * (WARM_UP + questions // 10),
    )
    return [
        _result(f"cone of {RADIUS_DEG} degrees", cones, plain_cones, CONE_MS),
        _result("star by its key", by_key, plain_by_key, KEY_MS),
        Result(
            "COUNT(*)",
            "ms",
            counts,
            plain_counts,
            counts.median / plain_counts.median,
            "no scan",
            counts.median < by_key.median * 2,
            "from the metadata; plain PostgreSQL scans",
        ),
    ]


def centres_of(bigsky: Bigsky, count: int, seed: int) -> list[tuple[float, float]]:
    """Return the positions of random stars, so that no cone is empty."""
    stars = pq.read_table(bigsky.path, columns=["ra_degrees", "dec_degrees"])
    chosen = stars.take(np.random.default_rng(seed).integers(0, stars.num_rows, count))
    return list(zip(*(column.to_pylist() for column in chosen.columns), strict=True))


def _timed(ours: Sequence[Callable[[], object]], theirs: Sequence[Callable[[], object]]) -> tuple[Sample, Sample]:
    each_in_turn(ours[:WARM_UP], theirs[:WARM_UP])
    first, second = each_in_turn(ours[WARM_UP:], theirs[WARM_UP:])
    return first, second


def _all(plain: Plain, statement: str) -> list[tuple[object, ...]]:
    return plain.reader.execute(statement).fetchall()


def _result(subject: str, ours: Sample, theirs: Sample, goal_ms: float) -> Result:
    note = "HTTP, BINARY2 VOTable; plain: psycopg, one open connection"
    return Result(subject, "ms", ours, theirs, ours.median / theirs.median, f"< {goal_ms} ms", ours.median < goal_ms, note)
