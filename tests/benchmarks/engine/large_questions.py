"""Questions that read whole tables: aggregates, groups, the first rows of an order, a join, and a stream of rows."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
from adbc_driver_postgresql import dbapi
from measurement import Result, in_turn, seconds
from sides import Archive, Plain


@dataclass(frozen=True)
class Question:
    """One that both sides understand. ``goal`` is the least ratio of plain PostgreSQL's time to the archive's."""

    subject: str
    sql: str
    goal: float


QUESTIONS = (
    Question(
        "aggregate over Object",
        "SELECT COUNT(*) AS n, AVG(magnitude) AS mean, MIN(parallax) AS low, MAX(r_flux) AS high FROM survey.object"
        " WHERE g_flux > 100",
        1,
    ),
    Question(
        "aggregate over Source",
        "SELECT COUNT(*) AS n, AVG(ap_flux) AS mean, MIN(snr) AS low, MAX(fwhm) AS high FROM survey.source WHERE flux > 100",
        1,
    ),
    Question(
        "GROUP BY over Source",
        "SELECT band, quality, COUNT(*) AS n, AVG(flux) AS mean FROM survey.source GROUP BY band, quality ORDER BY band, quality",
        1,
    ),
    Question(
        "top 100 of Object",
        "SELECT object_id, r_flux FROM survey.object WHERE is_primary ORDER BY r_flux DESC NULLS LAST, object_id LIMIT 100",
        1,
    ),
    Question(
        "Object x Source by object",
        "SELECT o.object_id, COUNT(*) AS n, AVG(s.ap_flux) AS mean FROM survey.object AS o JOIN survey.source AS s"
        " ON o.object_id = s.object_id WHERE o.magnitude < 26 AND s.snr > 1 GROUP BY o.object_id"
        " ORDER BY mean DESC, o.object_id LIMIT 100",
        1.5,
    ),
)

STREAMED = "SELECT object_id, ra, dec, visit_id, flux, flux_err, ap_flux, snr, x, y, flags, taken FROM survey.source"
STREAM_GOAL = 0.5


def large_questions(archive: Archive, plain: Plain, repetitions: int) -> list[Result]:
    """Ask them in turn."""
    results = []
    for question in QUESTIONS:

        def ours(question: Question = question) -> float:
            return 1000 * seconds(lambda: archive.ask(question.sql))

        def theirs(question: Question = question) -> float:
            return 1000 * seconds(lambda: plain.ask(question.sql))

        in_turn(1, ours, theirs)
        spent, bare = in_turn(repetitions, ours, theirs)
        ratio = bare.median / spent.median
        goal = f"{question.goal:g} x as fast"
        results.append(Result(question.subject, "ms", spent, bare, ratio, goal, ratio >= question.goal))
    return results


def stream(archive: Archive, plain: Plain, repetitions: int) -> list[Result]:
    """Read all rows of Source as Arrow: from the czar's API, and by ADBC in this process. Bytes are those of Arrow's memory."""
    with dbapi.connect(plain.conninfo) as connection, connection.cursor() as cursor:

        def ours() -> float:
            started = time.perf_counter()
            with archive.czar.answer(STREAMED) as rows:
                return _rate(rows, started)

        def theirs() -> float:
            started = time.perf_counter()
            cursor.execute(STREAMED)
            return _rate(cursor.fetch_record_batch(), started)

        in_turn(1, ours, theirs)
        spent, bare = in_turn(repetitions, ours, theirs)
    ratio = spent.median / bare.median
    how = "Arrow IPC over HTTP; plain: ADBC, one process"
    return [Result("rows of Source to Arrow", "MB/s", spent, bare, ratio, f"at least {STREAM_GOAL}", ratio >= STREAM_GOAL, how)]


def _rate(batches: Iterable[pa.RecordBatch], started: float) -> float:
    size_bytes = sum(batch.nbytes for batch in batches)
    return size_bytes / 1e6 / (time.perf_counter() - started)
