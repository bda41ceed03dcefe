"""Columns of an answer by the types of their values."""

import pyarrow as pa
import pytest

from czar.result import result_column
from qserv.errors import NotYetSupportedError
from schema.model import ColumnType


@pytest.mark.parametrize(("found", "expected"), [(pa.int16(), ColumnType.SHORT), (pa.string(), ColumnType.TEXT)])
def test_an_expression_is_declared_by_its_values(found, expected):
    assert result_column("x", None, None, found).column.datatype is expected


@pytest.mark.parametrize(("found", "expected"), [(pa.int16(), ColumnType.SHORT), (pa.date32(), ColumnType.TIMESTAMP)])
def test_an_array_is_declared_by_its_elements(found, expected):
    declared = result_column("x", None, None, pa.list_(found))
    assert (declared.column.datatype, declared.is_array) == (expected, True)


@pytest.mark.parametrize("found", [pa.duration("us"), pa.list_(pa.struct([]))], ids=str)
def test_a_type_that_no_column_has_is_refused_with_what_to_write(found):
    with pytest.raises(NotYetSupportedError, match=r"column age of type .*; cast it to a number or a text"):
        result_column("age", None, None, found)
