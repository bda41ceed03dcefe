"""Schemas, rows and queries that Hypothesis draws, against plain PostgreSQL. What fails is kept with its tables."""

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings

from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.conftest import Loaded
from tests.oracle.drawing_queries import Asked, queries
from tests.oracle.drawing_schemas import Catalogue, catalogues
from tests.oracle.judging import SLOWEST_S, Tally, judged, outcome, smallest
from tests.oracle.keeping import WITH_TABLES, keep_with_tables, read_kept
from tests.oracle.loading import present

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr:hypothesis.errors.HypothesisWarning")
"""Of the catalogue at which a run ends, which Hypothesis takes for one that fails."""

MOST_FAILURES = 10
"""Then the run ends: more of them say nothing more."""

SHRINKING_S = 20
"""How long a failure is made smaller: half for the query, half for the rows."""

QUERIES_EACH = 200
"""Of a catalogue: loading one takes as long as asking 20 to 50."""

SEED = 20261121
"""Of the catalogues of `make test`."""

CATALOGUES, QUERIES = 5, 60
"""Of `make test`."""

DATABASES = ("drawn", "Select", "g")
"""Names in turn: tables of one are loaded while another one is asked."""

DRAWN = {
    "database": None,
    "deadline": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
    "verbosity": Verbosity.quiet,
}
"""Hypothesis draws; what fails is made smaller here, with the parts of a query in mind."""


class Enough(Exception):  # noqa: N818 (no error: it ends Hypothesis' drawing)
    """Time is up, or nothing more can be learnt."""


@dataclass
class Run:
    """Catalogues one after another: the next is loaded while one is asked."""

    loaded: Loaded
    directory: Path
    seed: int
    queries_each: int
    say: Callable[..., None]
    tally: Tally = field(default_factory=Tally)
    kept: list[str] = field(default_factory=list)
    catalogues: int = 0
    _names: itertools.cycle = field(default_factory=lambda: itertools.cycle(DATABASES))
    _waiting: tuple | None = None
    _known: list[Catalogue] = field(default_factory=list)

    def ask_all(self, most, until=float("inf")):
        """Draw catalogues until there are as many, or time is up, and judge what became of all queries."""

        @seed(self.seed)
        @settings(max_examples=10 * most, **DRAWN)
        @given(catalogues())
        def take(catalogue):
            if time.monotonic() > until or len(self.kept) >= MOST_FAILURES or len(self._known) >= most:
                raise Enough
            # Hypothesis draws some twice.
            if catalogue not in self._known:
                self._known.append(catalogue)
                self.loaded.runner.run(self._take(catalogue))

        try:
            with contextlib.suppress(Enough):
                take()
            self.loaded.runner.run(self._take(None))
        finally:
            self.loaded.runner.run(self._close())
        self.say(f"generated catalogues: {self.catalogues}, queries: {self.tally}, --seed {self.seed}")
        assert not self.kept
        self.tally.check()

    async def _take(self, catalogue):
        """Load a catalogue, and meanwhile ask the one before it."""
        before, self._waiting = self._waiting, None
        async with asyncio.TaskGroup() as both:
            if catalogue:
                both.create_task(self._load(catalogue))
            if before:
                both.create_task(self._ask(*before))

    async def _load(self, catalogue):
        tables = catalogue.tables.named(next(self._names))
        stack = contextlib.AsyncExitStack()
        try:
            await stack.enter_async_context(present(self.loaded, tables, self.directory))
        except Exception as failure:  # noqa: BLE001 (any is a failure of the load; it is kept, and makes the run fail)
            self.say(f"not loaded: {type(failure).__name__}: {failure}")
            self._keep(tables, None)
        else:
            self._waiting = catalogue, tables, stack

    async def _close(self):
        if self._waiting:
            await self._waiting[-1].aclose()

    async def _ask(self, catalogue: Catalogue, tables, stack):
        failures = []
        async with stack:
            self.catalogues += 1
            found = await asyncio.to_thread(
                _drawn, Asked.of(tables, catalogue.plan), f"{self.seed} {self.catalogues}", self.queries_each
            )
            for query, (became, wrong) in zip(found, await judged(self.loaded, found), strict=True):
                self.tally.add(query, became, wrong)
                if became == "wrong" and len(self.kept) + len(failures) < MOST_FAILURES:
                    failures.append(await smallest(self.loaded, query, time.monotonic() + SHRINKING_S / 2))
                    self.say(f"wrong: {failures[-1].text}", *wrong)
        for query in failures:
            self._keep(await self._fewer(tables.needed_by(query.text.ours), query), query)

    async def _fewer(self, tables, query):
        """Return tables with as few rows as possible on which a query still fails."""
        until = time.monotonic() + SHRINKING_S / 2
        fewer = iter(tables.smaller())
        while time.monotonic() < until and (candidate := next(fewer, None)) is not None:
            if await self._fails(candidate, query):
                tables, fewer = candidate, iter(candidate.smaller())
        return tables

    async def _fails(self, tables, query):
        async with present(self.loaded, tables, self.directory):
            became, _ = await outcome(self.loaded, self.loaded.plain, query)
        return became == "wrong"

    def _keep(self, tables, query):
        path = keep_with_tables(tables, query, f"seed_{self.seed}_{self.tally.asked}_{len(self.kept)}")
        self.kept.append(path.name)
        self.say(f"kept as {path.name}")


def _drawn(asked, chance, count):
    """Return different queries over a catalogue."""
    found = {}

    @seed(chance)
    @settings(max_examples=count, **DRAWN)
    @given(queries(asked))
    def draw(some):
        if len(found) >= count:
            raise Enough
        found.update((query.text.ours, query) for query in some)

    with contextlib.suppress(Enough):
        draw()
    return list(found.values())[:count]


@pytest.fixture
def run(unloaded, tmp_path):
    """Make a run; queries that the oracle answers slowly are left out."""
    for plain in unloaded.plains:
        plain.execute(f"SET statement_timeout = '{SLOWEST_S}s'")
    yield lambda *arguments: Run(unloaded, tmp_path, *arguments)
    for plain in unloaded.plains:
        plain.execute("RESET statement_timeout")


@pytest.mark.timeout(600)
def test_some_generated_catalogues_are_answered_as_the_oracle_answers(run):
    generated = run(SEED, QUERIES, lambda *lines: sys.stdout.write("\n".join(["", *lines])))
    generated.ask_all(CATALOGUES)
    assert generated.tally.asked == CATALOGUES * QUERIES


@pytest.mark.nightly(share=55)
@pytest.mark.timeout(0)
def test_generated_catalogues_are_answered_as_the_oracle_answers(run, night, record_testsuite_property):
    generated = run(night.seed, QUERIES_EACH, night.say)
    try:
        generated.ask_all(10**6, time.monotonic() + night.seconds)
    finally:
        record_testsuite_property("generated queries", generated.tally.asked)


@pytest.mark.parametrize("path", sorted(WITH_TABLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_kept_tables_are_answered_as_the_oracle_answers(path, unloaded, tmp_path):
    kept = read_kept(path)

    async def wrong():
        async with present(unloaded, kept.tables, tmp_path):
            if kept.query is None:
                return []
            oracle = ask_plain(unloaded.plain, kept.oracle)
            return differences(*await unloaded.read(kept.query), oracle)

    assert not unloaded.runner.run(wrong())
