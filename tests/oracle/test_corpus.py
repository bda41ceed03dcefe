"""Every query of the corpus is answered as plain PostgreSQL answers it."""

import asyncio
from functools import partial

import pytest

from qserv.errors import NotYetSupportedError
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries, read_pending
from tests.oracle.judging import together

CORPUS = read_entries("corpus") | read_entries("regressions")
PENDING = read_pending()


# The cluster is loaded before the first test, whose time is not for that; it asks for the ones that follow, too.
pytestmark = pytest.mark.timeout(400, func_only=True)

AHEAD = 24
"""Entries that are asked together: as one waits for its nodes, or for the oracle, another one is planned."""


async def wrong_answer(loaded, plain, *, entry):
    """Return what is wrong with the answer to an entry, in sentences; none if it is right."""
    oracle = await asyncio.to_thread(ask_plain, plain, entry.oracle or entry.query)
    first, last = oracle.window
    assert entry.empty == (first == last), "an empty answer shows nothing; say `empty: true` if it is meant"
    answer, batches = await loaded.read(entry.statement, text=entry.query)
    return differences(answer, batches, oracle, entry.within)


async def failure_of(loaded, plain, *, entry):
    """Return what is wrong, or what was raised, for later."""
    try:
        return await wrong_answer(loaded, plain, entry=entry)
    except Exception as failure:  # noqa: BLE001 (the test of this entry raises it)
        return failure


def ask_alone(loaded, entry):
    """Return what is wrong with the answer to an entry."""
    return loaded.runner.run(wrong_answer(loaded, loaded.plain, entry=entry))


@pytest.fixture(scope="module")
def ask_ahead(request, loaded):
    """A function that gives what is wrong with an entry; it asks those of the next tests, too."""
    here = [item for item in request.session.items if item.module is request.module]
    names = [item.callspec.params["name"] for item in here if item.originalname == "test_answer_is_the_oracles"]
    names = [name for name in names if loaded.has_bigsky or not CORPUS[name].needs_bigsky]
    found = {}

    def ask(name):
        if name not in found:
            place = names.index(name)
            batch = names[place : place + AHEAD]
            asking = [partial(failure_of, entry=CORPUS[each]) for each in batch]
            found.update(zip(batch, loaded.runner.run(together(loaded, asking)), strict=True))
        wrong = found.pop(name)
        if isinstance(wrong, Exception):
            raise wrong
        return wrong

    return ask


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in PENDING.refused and name not in PENDING.wrong])
def test_answer_is_the_oracles(name, loaded, ask_ahead):
    entry = CORPUS[name]
    if entry.needs_bigsky and not loaded.has_bigsky:
        pytest.skip("shared/data/stars/bigsky_mag11.parquet is not there")
    wrong = ask_ahead(name)
    assert not wrong, "\n".join([entry.query, *wrong])


@pytest.mark.parametrize("name", sorted(PENDING.refused))
def test_pending_query_is_refused(name, loaded):
    with pytest.raises(NotYetSupportedError) as refused:
        pytest.fail(f"it is answered: take {name} out of pending.yaml. Wrong is {ask_alone(loaded, CORPUS[name])}")
    assert refused.value.place is not None


@pytest.mark.parametrize("name", sorted(PENDING.wrong))
def test_pending_query_is_answered_wrongly(name, loaded):
    entry = CORPUS[name]
    try:
        wrong = ask_alone(loaded, entry)
    except Exception:  # noqa: BLE001 (pending.yaml says which error it is, if it is one)
        return
    assert wrong, f"it is answered rightly: take {name} out of pending.yaml"


def test_pending_queries_are_of_the_corpus():
    assert set(CORPUS) >= PENDING.refused | set(PENDING.wrong)
    assert not PENDING.refused & set(PENDING.wrong)
