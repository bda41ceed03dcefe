"""Columns of arrays (VOTable 1.4, sections 2.2 and 5.5): of numbers and booleans as VOTable's own, of anything else as texts.

VOTable has no array of texts whose lengths differ. Single elements that are NULL are NaN, or ``?``, or for integers a number that
stands for it and that the field names.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schema.array_text import array_text, joined_elements
from tap.formats.fields import Field
from tap.formats.text import as_text


def is_array(kind: pa.DataType) -> bool:
    """Whether values of a type are arrays."""
    return bool(pa.types.is_list(kind))


def filled_elements(column: pa.Array, field: Field) -> pa.Array:
    """Return the elements of all arrays, those that are NULL by what stands for it; of booleans as they are."""
    elements = column.flatten()
    if not elements.null_count or pa.types.is_boolean(elements.type):
        return elements
    return pc.fill_null(elements, float("nan") if field.null is None else field.null)


def array_cells(column: pa.Array, field: Field) -> pa.Array:
    """Return arrays of numbers or booleans as cells of TABLEDATA: with blanks between the elements."""
    return joined_elements(pc.fill_null(as_text(filled_elements(column, field)), "?"), column, " ")


def array_bytes(elements: "np.ndarray[tuple[int], np.dtype[np.generic]]", column: pa.Array) -> pa.Array:
    """Return the elements of all arrays, as they are sent, as the bytes of each array (``large_binary``)."""
    data = np.ascontiguousarray(elements)
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]) * data.itemsize
    return pa.Array.from_buffers(pa.large_binary(), len(column), [None, pa.py_buffer(ends), pa.py_buffer(data)])


class ArrayWatch:
    """Turns arrays that VOTable does not have into texts, and notes elements that read as NULL and are not."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = {index: field for index, field in enumerate(fields) if is_array(field.arrow)}
        self._mistaken: set[int] = set()

    def watch(self, columns: Sequence[pa.Array]) -> list[pa.Array]:
        """Return the columns of a batch."""
        watched = list(columns)
        for index, field in self._fields.items():
            if field.votable.datatype == "char":
                watched[index] = array_text(columns[index], as_text)
            elif field.null is not None and pc.any(pc.equal(columns[index].flatten(), field.null)).as_py():
                self._mistaken.add(index)
        return watched

    def warnings(self) -> tuple[str, ...]:
        """Say which columns have such elements."""
        fields = [self._fields[index] for index in sorted(self._mistaken)]
        return tuple(
            f"elements of column {field.name} that are {field.null} read as NULL: ask for CSV or Parquet to tell them apart"
            for field in fields
        )
