"""Columns of an answer by the types of their values."""

import pyarrow as pa
import pytest

from czar.analyse.query import Output
from czar.result import result_column
from qserv.errors import NotYetSupportedError
from schema.model import ColumnType


@pytest.mark.parametrize(("found", "expected"), [(pa.int16(), ColumnType.SHORT), (pa.string(), ColumnType.TEXT)])
def test_an_expression_is_declared_by_its_values(found, expected):
    assert result_column(Output("x"), found).column.datatype is expected


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        (pa.month_day_nano_interval(), "EXTRACT"),
        (pa.duration("us"), "EXTRACT"),
        (pa.list_(pa.int32()), "ARRAY_TO_STRING makes a text of an array"),
    ],
)
def test_a_type_that_no_column_has_is_refused_with_what_to_write(found, instead):
    with pytest.raises(NotYetSupportedError, match=f"column age of type .*; .*{instead}"):
        result_column(Output("age"), found)
