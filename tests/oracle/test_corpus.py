"""Every query of the corpus is answered as plain PostgreSQL answers it."""

import pytest

from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries

CORPUS = read_entries("corpus") | read_entries("regressions")


@pytest.mark.parametrize("name", CORPUS)
def test_answer_is_the_oracles(name, loaded):
    entry = CORPUS[name]
    if entry.needs_bigsky and not loaded.has_bigsky:
        pytest.skip("shared/data/stars/bigsky_mag11.parquet is not there")
    oracle = ask_plain(loaded.plain, entry.oracle or entry.query)
    answer, batches = loaded.ask(entry.statement, text=entry.query)
    wrong = differences(answer, batches, oracle)
    assert not wrong, "\n".join([entry.query, *wrong])
    assert entry.empty == (sum(batch.num_rows for batch in batches) == 0), (
        "an empty answer shows nothing; say `empty: true` if it is meant"
    )
