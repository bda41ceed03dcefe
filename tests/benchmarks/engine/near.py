"""Pairs within 1 arcsec in a dense field, of one table and of two: the archive, PostgreSQL with Q3C, and a bare k-d tree."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
from measurement import Result, Sample, in_turn, seconds
from scipy.spatial import cKDTree
from sides import Archive, Data, Plain, fill_plain, running_plain

from tests.support.places import DENSE_FIELD_DEG

ARCSEC = 1.0
RADIUS_DEG = 0.9
"""Of the field; the dense part of the synthetic sky has 1 degree."""

MARGIN_DEG = 0.01
"""What Q3C and the tree have around the field of the second table."""

Q3C_BIN = Path("/usr/lib/postgresql/15/bin")
"""Where Debian's PostgreSQL 15 is, which its package of Q3C is for."""

Q3C_GOAL, TREE_GOAL = 20, 3
"""Of pairs of one table; how two are matched is told beside them."""

RA, DEC = DENSE_FIELD_DEG


@dataclass(frozen=True)
class Skipped:
    """Why something was not measured."""

    reason: str


@dataclass(frozen=True)
class Question:
    """Pairs of an object and a row of another table, or another object, as rows or only their number."""

    subject: str
    other: str
    key: str
    """Of the other table."""
    rows: bool

    @property
    def archive(self) -> str:
        """The question to the archive."""
        distance = "DISTANCE(a.ra, a.dec, b.ra, b.dec)"
        return (
            f"SELECT {self._shown(distance)} FROM survey.object AS a JOIN survey.{self.other} AS b"
            f" ON {distance} <= {ARCSEC / 3600!r} WHERE DISTANCE(a.ra, a.dec, {RA}, {DEC}) < {RADIUS_DEG}{self._others}"
        )

    @property
    def q3c(self) -> str:
        """The question to PostgreSQL with Q3C."""
        return (
            f"SELECT {self._shown('q3c_dist(a.ra, a.dec, b.ra, b.dec)')} FROM survey.object a, survey.{self.other} b"
            f" WHERE q3c_join(a.ra, a.dec, b.ra, b.dec, {ARCSEC / 3600!r})"
            f" AND q3c_radial_query(a.ra, a.dec, {RA}, {DEC}, {RADIUS_DEG}){self._others}"
        )

    @property
    def with_itself(self) -> bool:
        """Whether it is a table's own rows that are paired."""
        return self.other == "object"

    @property
    def _others(self) -> str:
        return " AND a.object_id <> b.object_id" if self.with_itself else ""

    def _shown(self, distance: str) -> str:
        return f"a.object_id AS one, b.{self.key} AS two, {distance} AS separation" if self.rows else "COUNT(*) AS n"


QUESTIONS = (
    Question("pairs within 1 arcsec", "object", "object_id", rows=False),
    Question("the same as rows", "object", "object_id", rows=True),
    Question("rows of a catalogue matched with another one", "deep_ref", "ref_id", rows=True),
)


def near(archive: Archive, plain: Plain, data: Data, memory_share: float, repetitions: int) -> list[Result]:
    """Ask for the pairs on all sides; all must find as many."""
    positions = {table: _positions(plain, table) for table in ("object", "deep_ref")}
    field = len(_within(positions["object"], RADIUS_DEG))
    results = []
    with _q3c(archive, data, memory_share) as server:
        for question in QUESTIONS:
            pairs = _asked(archive, question)
            ours, with_q3c = _in_turn(archive, server, question, pairs, repetitions)
            tree = _of_tree(positions, question, pairs, repetitions)
            what = f"{question.subject}: {pairs:,} of {field:,} objects ({field / (math.pi * RADIUS_DEG**2):,.0f} a square degree)"
            goals = (Q3C_GOAL, 1 / TREE_GOAL) if question.with_itself else (None, None)
            results += [_row(what, "Q3C", ours, with_q3c, goals[0]), _row(what, "k-d tree", ours, tree, goals[1])]
    return results


def _row(what: str, other: str, ours: Sample, theirs: Sample | Skipped, goal: float | None) -> Result:
    if isinstance(theirs, Skipped):
        return Result(f"{what}: {other}", "s", ours, note=f"skipped: {theirs.reason}")
    ratio = theirs.median / ours.median
    if goal is None:
        return Result(f"{what}: {other}", "s", ours, theirs, ratio)
    asked = f"{goal:g} x as fast" if goal >= 1 else f"within {1 / goal:g} times"
    return Result(f"{what}: {other}", "s", ours, theirs, ratio, asked, ratio >= goal)


def _asked(archive: Archive, question: Question) -> int:
    """Return how many pairs the archive finds."""
    answer = archive.czar.query(question.archive)
    return answer.num_rows if question.rows else int(answer.column("n")[0].as_py())


@contextmanager
def _q3c(archive: Archive, data: Data, memory_share: float) -> Iterator[Plain | Skipped]:
    """Run PostgreSQL 15, whose tables are in the order of Q3C's index; it has the rows of the field alone."""
    if not (Q3C_BIN / "postgres").exists():
        yield Skipped(f"no {Q3C_BIN}; apt-get install postgresql-15-q3c")
        return
    field = f"qserv.angular_separation(ra, dec, {RA}, {DEC}) < {RADIUS_DEG + MARGIN_DEG}"
    with running_plain(data, memory_share, "q3c", Q3C_BIN) as server:
        try:
            server.session.execute("CREATE EXTENSION q3c")
        except psycopg.Error as error:
            yield Skipped(str(error).partition("\n")[0])
            return
        for table in ("object", "deep_ref"):
            fill_plain(server, archive, data, table, field)
            server.session.execute(f"CREATE INDEX {table}_by_q3c ON survey.{table} (q3c_ang2ipix(ra, dec))")
            server.session.execute(f"CLUSTER survey.{table} USING {table}_by_q3c")
            server.session.execute(f"VACUUM ANALYZE survey.{table}")
        yield server


def _in_turn(
    archive: Archive, server: Plain | Skipped, question: Question, pairs: int, repetitions: int
) -> tuple[Sample, Sample | Skipped]:
    """Time the archive and Q3C in turn; both were asked before."""

    def ours() -> float:
        return seconds(lambda: _asked(archive, question))

    if isinstance(server, Skipped):
        return in_turn(repetitions, ours)[0], server
    _check("Q3C", _of_q3c(server, question), pairs)
    found, theirs = in_turn(repetitions, ours, lambda: seconds(lambda: _of_q3c(server, question)))
    return found, theirs


def _of_q3c(server: Plain, question: Question) -> int:
    """Return how many pairs Q3C finds."""
    found = server.ask(question.q3c)
    return len(found) if question.rows else int(str(found[0][0]))


def _of_tree(positions: dict[str, np.ndarray], question: Question, pairs: int, repetitions: int) -> Sample:
    """Time scipy's k-d tree on the positions, which are in memory; making the trees counts."""
    home = _within(positions["object"], RADIUS_DEG)
    around = _within(positions[question.other], RADIUS_DEG + MARGIN_DEG)
    radius = _chord(ARCSEC / 3600)
    found: list[int] = []

    def pair() -> None:
        one, two = cKDTree(home), cKDTree(around)
        if question.rows:
            found.append(len(one.sparse_distance_matrix(two, radius, output_type="ndarray")))
        else:
            found.append(int(one.count_neighbors(two, radius)))

    sample = in_turn(repetitions, lambda: seconds(pair))[0]
    _check("the k-d tree", found[0] - (len(home) if question.with_itself else 0), pairs)
    return sample


def _positions(plain: Plain, table: str) -> np.ndarray:
    """Return the unit vectors of a table's positions, as rows."""
    degrees = np.array(plain.ask(f"SELECT ra, dec FROM survey.{table} WHERE ra IS NOT NULL"), dtype=np.float64)
    return _vectors(*np.radians(degrees).T)


def _vectors(ra: np.ndarray, dec: np.ndarray) -> np.ndarray:
    return np.stack((np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)), axis=-1)


def _within(points: np.ndarray, degrees: float) -> np.ndarray:
    """Return the points of the field, whose radius is as said."""
    centre = _vectors(*np.radians([RA, DEC]))
    found: np.ndarray = points[np.linalg.norm(points - centre, axis=1) < _chord(degrees)]
    return found


def _chord(degrees: float) -> float:
    return 2 * math.sin(math.radians(degrees) / 2)


def _check(who: str, found: int, expected: int) -> None:
    if abs(found - expected) > max(2, expected * 1e-6):
        msg = f"{who} finds {found} pairs, the archive {expected}"
        raise RuntimeError(msg)
