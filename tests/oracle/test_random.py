"""Random queries against plain PostgreSQL, for as long as `--seconds` says. What fails is kept in ``regressions/``."""

import dataclasses
import itertools
import random
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import yaml

from qserv.errors import NotYetSupportedError, QservError, QueryEvaluationError
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.generating import Generator
from tests.oracle.sources import SOURCES, WITH_BIGSKY

REGRESSIONS = Path(__file__).parent / "regressions"

MOST_FAILURES = 10
"""Then the run ends: more of them say nothing more."""

LARGEST_ROWS = 60_000
"""Larger answers are not compared: reading them takes longer than ten other queries."""

SHRINKING_S = 30
"""How long a failure is made smaller."""

REFUSED_AT_MOST = 0.02
"""The generator makes what the engine can answer; more refusals than these would hide what it cannot."""

BIGINT = range(-(2**63), 2**63)


def outcome(loaded, query):
    """Return what became of a query, and what is wrong with its answer."""
    text = query.text
    try:
        oracle = ask_plain(loaded.plain, text.plain)
    except psycopg.DataError:
        return "no answer", []
    except psycopg.errors.QueryCanceled:
        return "too slow", []
    if len(oracle.rows) > LARGEST_ROWS:
        return "too large", []
    try:
        wrong = differences(*loaded.ask(text.ours), oracle)
    except NotYetSupportedError as refusal:
        return "refused", [str(refusal)]
    except QueryEvaluationError as failure:
        if "bigint" in str(failure) and beyond_bigint(loaded.plain, query):
            # An error, as docs/adql.md says.
            return "sum beyond bigint", []
        wrong = [f"{type(failure).__name__}, but the oracle has an answer: {failure}"]
    except (QservError, pa.ArrowException, OSError) as failure:
        wrong = [f"{type(failure).__name__}, but the oracle has an answer: {failure}"]
    right = "right with rows" if oracle.rows else "right without rows"
    return "wrong" if wrong else right, wrong


def beyond_bigint(plain, query):
    """Whether the oracle's exact sum (numeric) of any group is out of the range of bigint, one that HAVING or LIMIT cut off too."""
    sums = tuple(item for item in query.items if item.plain.startswith("SUM("))
    if not sums:
        return False
    whole = dataclasses.replace(query, items=sums, having=None, order=(), limit=None, offset=None, distinct=False)
    found = itertools.chain.from_iterable(plain.execute(whole.text.plain, prepare=False))
    return any(isinstance(total, int | Decimal) and not BIGINT.start <= total < BIGINT.stop for total in found)


def smallest(loaded, query, until):
    """Return a query with as little in it as possible that still fails."""
    less = iter(query.smaller())
    while time.monotonic() < until and (candidate := next(less, None)) is not None:
        try:
            failed = outcome(loaded, candidate)[0] == "wrong"
        except psycopg.Error:
            continue
        if failed:
            query, less = candidate, iter(candidate.smaller())
    return query


def keep(query, seed, number):
    name = f"seed_{seed}_{number}"
    text = query.text
    entry = {"name": name, "query": text.ours} | ({"oracle": text.plain} if text.plain != text.ours else {})
    path = REGRESSIONS / f"{name}.yaml"
    path.write_text(yaml.safe_dump([entry], allow_unicode=True, sort_keys=False, width=130), encoding="utf-8")
    return path


@pytest.mark.nightly
@pytest.mark.timeout(0)
def test_random_queries_are_answered_as_the_oracle_answers(loaded, request, capsys):
    seed = request.config.getoption("--seed")
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    until = time.monotonic() + request.config.getoption("--seconds")

    def say(*lines):
        with capsys.disabled():
            sys.stdout.write("\n".join(["", *lines]))
            sys.stdout.flush()

    say(f"random queries: --seed {seed}")
    chance = random.Random(seed)  # noqa: S311 (the same seed must give the same queries)
    generator = Generator(chance, SOURCES + (WITH_BIGSKY if loaded.has_bigsky else ()))
    counts, kept = Counter(), []
    loaded.plain.execute("SET statement_timeout = '20s'")
    while time.monotonic() < until and len(kept) < MOST_FAILURES:
        query = generator.query()
        became, wrong = outcome(loaded, query)
        counts[became] += 1
        if became == "wrong":
            less = smallest(loaded, query, time.monotonic() + SHRINKING_S)
            path = keep(less, seed, sum(counts.values()))
            kept.append(path.name)
            say(f"wrong, kept as {path.name}: {less.text}", *wrong)
        elif became == "refused" and counts[became] <= MOST_FAILURES:
            say(f"{wrong[0]}: {query.text}")
    loaded.plain.execute("RESET statement_timeout")
    say(f"random queries: {sum(counts.values())} in all, {dict(counts)}, --seed {seed}", "")
    assert not kept
    assert counts["right with rows"] > 0
    assert counts["refused"] <= REFUSED_AT_MOST * sum(counts.values())
