"""Random queries over the tables of the tests against plain PostgreSQL: some always, many at night. What fails is kept."""

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.oracle.composing import Composer
from tests.oracle.conftest import Loaded
from tests.oracle.generating import Generator, Source
from tests.oracle.judging import SLOWEST_S, Tally, judged, smallest
from tests.oracle.keeping import keep
from tests.oracle.sources import LINKS, SMALL, SMALL_JOINS, SOURCES, WITH_BIGSKY

MOST_FAILURES = 10
"""Then the run ends: more of them say nothing more."""

SHRINKING_S = 30
"""How long a failure is made smaller."""

SEED = 3
"""Of the queries of `make test`."""

BATCH = 20
"""Queries drawn, then asked together."""


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
    "local": Kind(Generator, (*SMALL, *SMALL_JOINS), SOURCES + WITH_BIGSKY, 60),
    "composed": Kind(Composer, SMALL, (), 60),
}


@dataclass
class Run:
    """Random queries, a batch after another, and what became of them."""

    loaded: Loaded
    kind: Kind
    seed: int
    say: Callable[..., None]
    tally: Tally = field(default_factory=Tally)
    kept: list[str] = field(default_factory=list)

    def ask(self, sources, again):
        """Ask queries while ``again`` says so of their number, and judge what became of them all."""
        chance = random.Random(self.seed)  # noqa: S311 (the same seed must give the same queries)
        known = tuple(source for source in sources if self.loaded.has_bigsky or "bigsky" not in source.tables)
        generator = self.kind.generator(chance, known, LINKS)
        for plain in self.loaded.plains:
            plain.execute(f"SET statement_timeout = '{SLOWEST_S}s'")
        while again(self.tally.asked) and len(self.kept) < MOST_FAILURES:
            self._batch([generator.query() for _ in range(BATCH)])
        for plain in self.loaded.plains:
            plain.execute("RESET statement_timeout")
        self.say(f"random queries: {self.tally}, --seed {self.seed}")
        assert not self.kept
        self.tally.check()

    def _batch(self, queries):
        answers = self.loaded.runner.run(judged(self.loaded, queries))
        for query, (became, wrong) in zip(queries, answers, strict=True):
            self.tally.add(query, became, wrong)
            if became == "wrong":
                less = self.loaded.runner.run(smallest(self.loaded, query, time.monotonic() + SHRINKING_S))
                path = keep(less, f"seed_{self.seed}_{self.tally.asked}")
                self.kept.append(path.name)
                self.say(f"wrong, kept as {path.name}: {less.text}", *wrong)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_some_random_queries_are_answered_as_the_oracle_answers(kind, loaded):
    of_kind = KINDS[kind]
    run = Run(loaded, of_kind, SEED, lambda *lines: sys.stdout.write("\n".join(["", *lines])))
    run.ask(of_kind.sources, lambda asked: asked < of_kind.examples)


@pytest.mark.nightly(share=5)
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_random_queries_are_answered_as_the_oracle_answers(kind, loaded, night, record_testsuite_property):
    until = time.monotonic() + night.seconds
    run = Run(loaded, KINDS[kind], night.seed, night.say)
    run.ask(KINDS[kind].sources + KINDS[kind].large, lambda _: time.monotonic() < until)
    record_testsuite_property("random queries over the fixed tables", run.tally.asked)
