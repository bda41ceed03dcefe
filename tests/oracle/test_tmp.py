import pytest
from tests.oracle.asking import ask_plain
from tests.oracle.comparing import differences
from tests.oracle.corpora import read_entries
from tests.oracle.test_refused import Refused
REFUSED = read_entries("refused", Refused)
@pytest.mark.parametrize("name", list(REFUSED))
def test_it(name, loaded):
    entry = REFUSED[name]
    oracle = ask_plain(loaded.plain, entry.oracle or entry.query)
    answer, batches = loaded.ask(entry.statement, text=entry.query)
    wrong = differences(answer, batches, oracle)
    assert not wrong, entry.query + " ".join(wrong)[:300]
