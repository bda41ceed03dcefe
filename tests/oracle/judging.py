"""Asks random queries, several at a time, and judges what became of them; one that fails is made smaller."""

import asyncio
import itertools
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial

import psycopg
import pyarrow as pa

from qserv.errors import NotYetSupportedError, QservError, QueryEvaluationError
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.fingerprint import rough_form

LARGEST_ROWS = 60_000
"""Larger answers are not compared: reading them takes longer than ten other queries."""

SLOWEST_S = 20
"""Queries that the oracle answers more slowly are left out."""

REFUSED_AT_MOST = 0.02
"""The generators make what the engine can answer; more refusals than these would hide what it cannot."""

BIGINT = range(-(2**63), 2**63)

WHERE = re.compile(r" \(line \d+, column \d+\)")
"""What reasons of refusals are counted without."""


@dataclass
class Tally:
    """What became of queries: how many of each, how many forms, and why some were refused."""

    counts: Counter = field(default_factory=Counter)
    forms: set = field(default_factory=set)
    refusals: Counter = field(default_factory=Counter)

    @property
    def asked(self):
        return sum(self.counts.values())

    def add(self, query, became, wrong):
        self.counts[became] += 1
        self.forms.add(rough_form(query.text.ours))
        if became == "refused":
            self.refusals[WHERE.sub("", wrong[0])] += 1

    def check(self):
        """Fail where too little was answered for the rest to mean anything."""
        assert self.counts["refused"] <= REFUSED_AT_MOST * self.asked, self
        assert self.counts["right with rows"] > 0, self

    def __str__(self):
        refused = "".join(f"\n  refused {count} times: {reason}" for reason, count in self.refusals.most_common())
        return f"{self.asked} in all, {len(self.forms)} distinct forms, {dict(self.counts)}{refused}"


async def judged(loaded, queries):
    """Return what became of each query, and what is wrong with its answer, in their order."""
    return await together(loaded, [partial(outcome, query=query) for query in queries])


async def together(loaded, asking):
    """Return what functions of (loaded, connection to the oracle) give, as many at a time as there are connections."""
    free = asyncio.Queue()
    for connection in loaded.plains:
        free.put_nowait(connection)

    async def ask(function):
        plain = await free.get()
        try:
            return await function(loaded, plain)
        finally:
            free.put_nowait(plain)

    return await asyncio.gather(*map(ask, asking))


async def outcome(loaded, plain, query):
    """Return what became of a query, and what is wrong with its answer."""
    text = query.text
    try:
        oracle = await asyncio.to_thread(ask_plain, plain, text.plain)
    except psycopg.DataError:
        return "no answer", []
    except psycopg.errors.QueryCanceled:
        return "too slow", []
    except psycopg.Error as failure:
        failure.add_note(text.plain)
        raise
    if len(oracle.rows) > LARGEST_ROWS:
        return "too large", []
    try:
        wrong = differences(*await loaded.read(text.ours), oracle)
    except NotYetSupportedError as refusal:
        return "refused", [str(refusal)]
    except QueryEvaluationError as failure:
        if "bigint" in str(failure) and beyond_bigint(oracle):
            # An error, because no answer is numeric (docs/decisions/first-light.md).
            return "sum beyond bigint", []
        wrong = [f"{type(failure).__name__}, but the oracle has an answer: {failure}"]
    except (QservError, pa.ArrowException, OSError) as failure:
        wrong = [f"{type(failure).__name__}, but the oracle has an answer: {failure}"]
    right = "right with rows" if oracle.rows else "right without rows"
    return "wrong" if wrong else right, wrong


def beyond_bigint(oracle):
    """Whether an exact sum of the oracle's answer is out of the range of bigint."""
    found = itertools.chain.from_iterable(row.values for row in oracle.rows)
    return any(isinstance(total, int | Decimal) and not BIGINT.start <= total < BIGINT.stop for total in found)


async def smallest(loaded, query, until):
    """Return a query with as little in it as possible that still fails."""
    less = iter(query.smaller())
    while time.monotonic() < until and (candidate := next(less, None)) is not None:
        try:
            became, _ = await outcome(loaded, loaded.plain, candidate)
        except psycopg.Error:
            continue
        if became == "wrong":
            query, less = candidate, iter(candidate.smaller())
    return query
