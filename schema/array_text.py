"""Arrays as texts, in PostgreSQL's form: ``{1,NULL,"a b"}`` (PostgreSQL manual, section "Array Input and Output Syntax")."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.large_string()

QUOTED = r'[{}",\\\s]|^$|^(?i:null)$'
"""What a text has that stands in quotes."""


def array_text(lists: pa.Array, element_text: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Return lists as texts (``large_string``); NULL stays NULL.

    Parameters
    ----------
    lists
        A column of arrays.
    element_text
        Makes texts (``large_string``) of values of the elements' type, NULL of NULL.
    """
    texts = element_text(lists.flatten())
    quoted = pc.match_substring_regex(texts, QUOTED)
    if pc.any(quoted).as_py():
        inner = pc.replace_substring_regex(texts, r'([\\"])', r"\\\1")
        texts = pc.if_else(quoted, _joined('"', inner, '"'), texts)
    return _joined("{", joined_elements(pc.fill_null(texts, "NULL"), lists, ","), "}")


def joined_elements(texts: pa.Array, lists: pa.Array, between: str) -> pa.Array:
    """Return texts of the elements of all lists as one text for each list, NULL where it is NULL."""
    offsets = pc.cumulative_sum(pc.fill_null(pc.list_value_length(lists), 0))
    joined = pa.ListArray.from_arrays(pa.concat_arrays([pa.array([0], pa.int32()), offsets]), texts, mask=lists.is_null())
    return pc.binary_join(joined, pa.scalar(between, TEXT))


def _joined(before: str, texts: pa.Array, behind: str) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(before, TEXT), texts, pa.scalar(behind, TEXT), pa.scalar("", TEXT))
