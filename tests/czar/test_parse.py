"""Texts that no query can be."""

import pytest

from czar.parse import parse
from qserv.errors import QueryLimitError, QuerySyntaxError


def test_a_text_with_nul_is_refused():
    # PostgreSQL would read the query up to it.
    with pytest.raises(QuerySyntaxError, match="NUL"):
        parse("SELECT 'a\0b' FROM hipparcos")


def test_deep_nesting_is_refused():
    with pytest.raises(QueryLimitError, match="nested too deeply"):
        parse("SELECT " + "(" * 5000 + "1" + ")" * 5000 + " FROM hipparcos")
