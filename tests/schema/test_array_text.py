import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.array_text import TEXT, array_text

texts = st.one_of(st.none(), st.text(st.sampled_from('aN"\\{}, \t\nüull'), max_size=5), st.sampled_from(["NULL", "null", "nUlL"]))


def read(text):
    """Read an array of texts as PostgreSQL does."""
    found, element, quoted, in_quotes = [], "", False, False
    letters = iter(text[1:-1])
    for letter in letters:
        if letter == "\\":
            element += next(letters)
        elif letter == '"':
            in_quotes, quoted = not in_quotes, True
        elif letter == "," and not in_quotes:
            found.append(element if quoted or element.upper() != "NULL" else None)
            element, quoted = "", False
        else:
            element += letter
    if text != "{}":
        found.append(element if quoted or element.upper() != "NULL" else None)
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), st.lists(texts, max_size=4)), max_size=5), st.integers(0, 3))
def test_texts_come_back(rows, start):
    column = pa.array(rows, pa.list_(pa.string())).slice(start)
    found = array_text(column, lambda values: values.cast(TEXT)).to_pylist()
    assert [text if text is None else read(text) for text in found] == rows[start:]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [(pa.int64(), [1, None, -(2**63)], "{1,NULL,-9223372036854775808}"), (pa.string(), ["plain", "a b", ""], '{plain,"a b",""}')],
)
def test_only_what_needs_it_stands_in_quotes(kind, values, expected):
    assert array_text(pa.array([values], pa.list_(kind)), lambda found: found.cast(TEXT)).to_pylist() == [expected]
