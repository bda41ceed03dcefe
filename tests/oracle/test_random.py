"""Random queries against plain PostgreSQL: some always, many at night. What fails is kept in ``regressions/``."""

import dataclasses
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import yaml

from qserv.errors import NotYetSupportedError, QservError, QueryEvaluationError
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.composing import Composer
from tests.oracle.conftest import Loaded
from tests.oracle.generating import Generator, Source
from tests.oracle.sources import SMALL, SMALL_JOINS, SOURCES, WITH_BIGSKY

REGRESSIONS = Path(__file__).parent / "regressions"

MOST_FAILURES = 10
"""Then the run ends: more of them say nothing more."""

LARGEST_ROWS = 60_000
"""Larger answers are not compared: reading them takes longer than ten other queries."""

SHRINKING_S = 30
"""How long a failure is made smaller."""

REFUSED_AT_MOST = 0.02
"""The generators make what the engine can answer; more refusals than these would hide what it cannot."""

SLOWEST_S = 20
"""Queries that the oracle answers more slowly are left out."""

SEED = 3
"""Of the queries of `make test`."""

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


@dataclass(frozen=True)
class Kind:
    """A kind of random queries."""

    generator: type[Generator]
    sources: tuple[Source, ...]
    large: tuple[Source, ...]
    """Asked at night only."""
    examples: int
    """Of `make test`."""


KINDS = {
    "local": Kind(Generator, (*SMALL, *SMALL_JOINS), SOURCES + WITH_BIGSKY, 200),
    "composed": Kind(Composer, SMALL, (), 100),
}


@dataclass
class Run:
    """Random queries one after another, and what became of them."""

    loaded: Loaded
    kind: Kind
    seed: int
    say: Callable[..., None]
    counts: Counter = field(default_factory=Counter)
    kept: list[str] = field(default_factory=list)

    def ask(self, sources, again):
        """Ask queries while ``again`` says so of their number, and judge what became of them all."""
        self.say(f"random queries: --seed {self.seed}")
        chance = random.Random(self.seed)  # noqa: S311 (the same seed must give the same queries)
        known = tuple(source for source in sources if self.loaded.has_bigsky or "bigsky" not in source.tables)
        generator = self.kind.generator(chance, known)
        self.loaded.plain.execute(f"SET statement_timeout = '{SLOWEST_S}s'")
        while again(sum(self.counts.values())) and len(self.kept) < MOST_FAILURES:
            self._one(generator.query())
        self.loaded.plain.execute("RESET statement_timeout")
        asked = sum(self.counts.values())
        self.say(f"random queries: {asked} in all, {dict(self.counts)}, --seed {self.seed}", "")
        assert not self.kept
        assert self.counts["refused"] <= REFUSED_AT_MOST * asked
        assert self.counts["right with rows"] > 0

    def _one(self, query):
        became, wrong = outcome(self.loaded, query)
        self.counts[became] += 1
        if became == "wrong":
            less = smallest(self.loaded, query, time.monotonic() + SHRINKING_S)
            path = keep(less, self.seed, sum(self.counts.values()))
            self.kept.append(path.name)
            self.say(f"wrong, kept as {path.name}: {less.text}", *wrong)
        elif became == "refused" and self.counts[became] <= MOST_FAILURES:
            self.say(f"{wrong[0]}: {query.text}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_some_random_queries_are_answered_as_the_oracle_answers(kind, loaded):
    of_kind = KINDS[kind]
    run = Run(loaded, of_kind, SEED, lambda *lines: sys.stdout.write("\n".join(["", *lines])))
    run.ask(of_kind.sources, lambda asked: asked < of_kind.examples)


@pytest.mark.nightly
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_random_queries_are_answered_as_the_oracle_answers(kind, loaded, request, capsys):
    seed = request.config.getoption("--seed")
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    until = time.monotonic() + request.config.getoption("--seconds") / len(KINDS)

    def say(*lines):
        with capsys.disabled():
            sys.stdout.write("\n".join(["", *lines]))
            sys.stdout.flush()

    Run(loaded, KINDS[kind], seed, say).ask(KINDS[kind].sources + KINDS[kind].large, lambda _: time.monotonic() < until)
