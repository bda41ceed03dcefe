"""Pairs of objects within 1 arcsec of each other in a dense field: the archive, PostgreSQL with Q3C, and a bare k-d tree."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
from measurement import Result, Sample, in_turn, seconds
from sides import Archive, Data, Plain, fill_plain, running_plain

from tests.support.places import DENSE_FIELD_DEG

ARCSEC = 1.0
RADIUS_DEG = 0.9
"""Of the field; the dense part of the synthetic sky has 1 degree."""

Q3C_BIN = Path("/usr/lib/postgresql/15/bin")
"""Where Debian's PostgreSQL 15 is, which its package of Q3C is for."""

Q3C_GOAL, TREE_GOAL = 20, 3

RA, DEC = DENSE_FIELD_DEG


@dataclass(frozen=True)
class Skipped:
    """Why something was not measured."""

    reason: str


def near(archive: Archive, plain: Plain, data: Data, memory_share: float, repetitions: int) -> list[Result]:
    """Count the pairs on all sides; all must find as many."""
    ours = (
        "SELECT COUNT(*) AS n FROM survey.object AS a JOIN survey.object AS b"
        f" ON DISTANCE(a.ra, a.dec, b.ra, b.dec) <= {ARCSEC / 3600!r}"
        f" WHERE DISTANCE(a.ra, a.dec, {RA}, {DEC}) < {RADIUS_DEG} AND a.object_id <> b.object_id"
    )
    pairs = _count(archive, ours)
    in_archive = in_turn(repetitions, lambda: seconds(lambda: _count(archive, ours)))[0]
    field = plain.ask(f"SELECT count(*) FROM survey.object WHERE qserv.angular_separation(ra, dec, {RA}, {DEC}) < {RADIUS_DEG}")[0][
        0
    ]
    density = int(str(field)) / (math.pi * RADIUS_DEG**2)
    what = f"pairs within {ARCSEC:g} arcsec of {field:,} objects ({density:,.0f} a square degree)"
    with_q3c = _q3c(archive, data, memory_share, pairs)
    tree = _tree(plain, pairs, repetitions)
    return [_row(what, "Q3C", in_archive, with_q3c, Q3C_GOAL), _row(what, "k-d tree", in_archive, tree, 1 / TREE_GOAL)]


def _row(what: str, other: str, ours: Sample, theirs: Sample | Skipped, goal: float) -> Result:
    if isinstance(theirs, Skipped):
        return Result(f"{what}: {other}", "s", ours, note=f"skipped: {theirs.reason}")
    ratio = theirs.median / ours.median
    asked = f"{goal:g} x as fast" if goal >= 1 else f"within {1 / goal:g} times"
    return Result(f"{what}: {other}", "s", ours, theirs, ratio, asked, ratio >= goal)


def _count(archive: Archive, query: str) -> int:
    return int(archive.czar.query(query).column("n")[0].as_py())


def _q3c(archive: Archive, data: Data, memory_share: float, pairs: int) -> Sample | Skipped:
    """Time the same in PostgreSQL 15, whose table is in the order of Q3C's index; it has the rows of the field alone."""
    if not (Q3C_BIN / "postgres").exists():
        return Skipped(f"no {Q3C_BIN}; apt-get install postgresql-15-q3c")
    field = f"qserv.angular_separation(ra, dec, {RA}, {DEC}) < {RADIUS_DEG + 0.01}"
    with running_plain(data, memory_share, "q3c", Q3C_BIN) as server:
        try:
            server.session.execute("CREATE EXTENSION q3c")
        except psycopg.Error as error:
            return Skipped(str(error).partition("\n")[0])
        fill_plain(server, archive, data, "object", field)
        server.session.execute("CREATE INDEX by_q3c ON survey.object (q3c_ang2ipix(ra, dec))")
        server.session.execute("CLUSTER survey.object USING by_q3c")
        server.session.execute("VACUUM ANALYZE survey.object")
        found: list[object] = []

        def ask() -> None:
            found.extend(
                server.ask(
                    "SELECT count(*) FROM survey.object a, survey.object b"
                    f" WHERE q3c_join(a.ra, a.dec, b.ra, b.dec, {ARCSEC / 3600!r})"
                    f" AND q3c_radial_query(a.ra, a.dec, {RA}, {DEC}, {RADIUS_DEG}) AND a.object_id <> b.object_id"
                )
            )

        spent = seconds(ask)
        _check("Q3C", found[0][0], pairs)
    return Sample((spent,))


def _tree(plain: Plain, pairs: int, repetitions: int) -> Sample | Skipped:
    """Time scipy's k-d tree on the positions, which are in memory; making the tree counts."""
    try:
        from scipy.spatial import cKDTree  # noqa: PLC0415 (no dependency of the project)
    except ImportError:
        return Skipped("scipy is not there")
    positions = np.array(plain.ask("SELECT ra, dec FROM survey.object WHERE ra IS NOT NULL"), dtype=np.float64)
    ra, dec = np.radians(positions).T
    points = np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=1)
    centre = np.array(
        [math.cos(math.radians(DEC)) * f(math.radians(RA)) for f in (math.cos, math.sin)] + [math.sin(math.radians(DEC))]
    )
    distance = np.linalg.norm(points - centre, axis=1)
    home = points[distance < _chord(RADIUS_DEG)]
    around = points[distance < _chord(RADIUS_DEG + 0.01)]
    found: list[int] = []

    def count() -> None:
        one, two = cKDTree(home), cKDTree(around)
        found.append(int(one.count_neighbors(two, _chord(ARCSEC / 3600))) - len(home))

    sample = in_turn(repetitions, lambda: seconds(count))[0]
    _check("the k-d tree", found[0], pairs)
    return sample


def _chord(degrees: float) -> float:
    return 2 * math.sin(math.radians(degrees) / 2)


def _check(who: str, found: int, expected: int) -> None:
    if abs(found - expected) > max(2, expected * 1e-6):
        msg = f"{who} finds {found} pairs, the archive {expected}"
        raise RuntimeError(msg)
