"""Every query of the corpus is answered as plain PostgreSQL answers it."""

import pytest

from qserv.errors import NotYetSupportedError
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries, read_pending

CORPUS = read_entries("corpus") | read_entries("regressions")
PENDING = read_pending()


def wrong_answer(loaded, entry):
    """Return what is wrong with the answer to an entry, in sentences; none if it is right."""
    oracle = ask_plain(loaded.plain, entry.oracle or entry.query)
    first, last = oracle.window
    assert entry.empty == (first == last), "an empty answer shows nothing; say `empty: true` if it is meant"
    answer, batches = loaded.ask(entry.statement, text=entry.query)
    return differences(answer, batches, oracle, entry.within)


@pytest.mark.parametrize("name", [name for name in CORPUS if name not in PENDING.refused and name not in PENDING.wrong])
def test_answer_is_the_oracles(name, loaded):
    entry = CORPUS[name]
    if entry.needs_bigsky and not loaded.has_bigsky:
        pytest.skip("shared/data/stars/bigsky_mag11.parquet is not there")
    wrong = wrong_answer(loaded, entry)
    assert not wrong, "\n".join([entry.query, *wrong])


@pytest.mark.parametrize("name", sorted(PENDING.refused))
def test_pending_query_is_refused(name, loaded):
    with pytest.raises(NotYetSupportedError) as refused:
        pytest.fail(f"it is answered: take {name} out of pending.yaml. Wrong is {wrong_answer(loaded, CORPUS[name])}")
    assert refused.value.place is not None


@pytest.mark.parametrize("name", sorted(PENDING.wrong))
def test_pending_query_is_answered_wrongly(name, loaded):
    entry = CORPUS[name]
    try:
        wrong = wrong_answer(loaded, entry)
    except Exception:  # noqa: BLE001 (pending.yaml says which error it is, if it is one)
        return
    assert wrong, f"it is answered rightly: take {name} out of pending.yaml"


def test_pending_queries_are_of_the_corpus():
    assert set(CORPUS) >= PENDING.refused | set(PENDING.wrong)
    assert not PENDING.refused & set(PENDING.wrong)
