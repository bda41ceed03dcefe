"""Keys and small cones through the czar's API: what they cost is the way to the rows."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from measurement import Result, Sample, each_in_turn
from sides import Archive, Plain

from partitioner.regions import Circle

RADIUS_DEG = 1 / 60
GOAL_MS, FANOUT_MS, FANOUT_CHUNKS = 15, 5, 10


def small_questions(archive: Archive, plain: Plain, questions: int, seed: int) -> list[Result]:
    """Ask for objects by key, for cones of 1 arcmin, and for ten keys in one chunk and in ten.

    Warm: before the clock runs, both sides are asked each of these questions, and for an object of every chunk in the same way. The
    pages are in memory then; no side keeps answers.
    """
    random = np.random.default_rng(seed)
    chosen = plain.ask(f"SELECT object_id, ra, dec FROM survey.object WHERE ra IS NOT NULL ORDER BY random() LIMIT {questions}")
    found = [*_one_of_each_chunk(archive), *chosen]
    ours, theirs = _timed(
        [partial(archive.ask, _by_key("survey.object", key)) for key, _, _ in found],
        [partial(plain.ask, _by_key("survey.object", key)) for key, _, _ in found],
        questions,
    )
    our_cones, their_cones = _timed(
        [
            partial(archive.ask, f"SELECT * FROM survey.object WHERE DISTANCE(ra, dec, {ra}, {dec}) < {RADIUS_DEG}")
            for _, ra, dec in found
        ],
        [partial(plain.ask, _cone(ra, dec)) for _, ra, dec in found],
        questions,
    )
    one_chunk, ten_chunks = _fans(archive, random, len(found))
    near, far = _timed(*[[partial(archive.ask, each) for each in asked] for asked in (one_chunk, ten_chunks)], questions)
    added = far.median - near.median
    how = "czar's API, Arrow, all 66 columns; plain: psycopg, one open connection"
    return [
        _result("object by its key", ours, theirs, how),
        _result("cone of 1 arcmin", our_cones, their_cones, how),
        Result(f"{FANOUT_CHUNKS} keys in one chunk", "ms", near),
        Result(
            f"{FANOUT_CHUNKS} keys in {FANOUT_CHUNKS} chunks",
            "ms",
            far,
            goal=f"{FANOUT_MS} ms more",
            reached=added < FANOUT_MS,
            note=f"{added:+.1f} ms",
        ),
    ]


def _one_of_each_chunk(archive: Archive) -> list[tuple[object, ...]]:
    """Return key, right ascension and declination of an object of each chunk."""
    return [
        row
        for _, node, chunk in archive.chunks("object")
        for row in node.execute(f"SELECT object_id, ra, dec FROM {chunk} WHERE ra IS NOT NULL LIMIT 1").fetchall()
    ]


def _by_key(table: str, key: object) -> str:
    return f"SELECT * FROM {table} WHERE object_id = {key}"


def _cone(ra: float, dec: float) -> str:
    """Return the statement with which plain PostgreSQL is fastest: pixel ranges from an index, then the exact test."""
    ranges = " OR ".join(f"_healpix_29 BETWEEN {low} AND {end - 1}" for low, end in Circle(ra, dec, RADIUS_DEG).ranges().array)
    return f"SELECT * FROM survey.object WHERE qserv.in_circle(ra, dec, {ra}, {dec}, {RADIUS_DEG}) AND ({ranges})"


def _fans(archive: Archive, random: np.random.Generator, count: int) -> tuple[list[str], list[str]]:
    """Return questions for as many keys of one chunk, and of as many chunks."""
    keys = []
    for _, node, chunk in archive.chunks("object"):
        found = [key for (key,) in node.execute(f"SELECT object_id FROM {chunk} LIMIT 200").fetchall()]
        if len(found) >= FANOUT_CHUNKS:
            keys.append(found)
    wide = min(FANOUT_CHUNKS, len(keys))

    def question(chosen: Sequence[int]) -> str:
        return f"SELECT * FROM survey.object WHERE object_id IN ({', '.join(map(str, chosen))})"

    one = [question(random.choice(keys[random.integers(len(keys))], FANOUT_CHUNKS, replace=False).tolist()) for _ in range(count)]
    ten = [question([random.choice(keys[place]) for place in random.permutation(len(keys))[:wide]]) for _ in range(count)]
    return one, ten


def _timed(ours: Sequence[Callable[[], object]], theirs: Sequence[Callable[[], object]], count: int) -> tuple[Sample, Sample]:
    """Time the last questions, once all have been asked, to warm up."""
    each_in_turn(ours, theirs)
    first, second = each_in_turn(ours[-count:], theirs[-count:])
    return first, second


def _result(subject: str, ours: Sample, theirs: Sample, how: str) -> Result:
    return Result(subject, "ms", ours, theirs, ours.median / theirs.median, f"< {GOAL_MS} ms", ours.median < GOAL_MS, how)
