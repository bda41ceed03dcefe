"""Values as text, by column."""

import pyarrow as pa
import pyarrow.compute as pc

from schema.array_text import array_text


def as_text(column: pa.Array) -> pa.Array:
    """Return the values of a column as texts (``large_string``); NULL stays NULL.

    Times are written as DALI 1.1 (section 3.3.3) has them, infinities and NaN as VOTable 1.4 (section 2.1) does, bytes in
    hexadecimal, arrays as PostgreSQL does.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return timestamp_text(column)
    if pa.types.is_floating(kind):
        return float_text(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.array([None if value is None else value.hex() for value in column.to_pylist()], pa.large_string())
    if pa.types.is_list(kind):
        return array_text(column, as_text)
    return column.cast(pa.large_string())


def timestamp_text(column: pa.Array) -> pa.Array:
    """Return times as ``YYYY-MM-DDThh:mm:ss[.ffffff]``, without zeros at the end of the fraction."""
    texts = column.cast(pa.timestamp("us")).cast(pa.large_string())
    texts = pc.replace_substring(texts, " ", "T")
    return pc.replace_substring(texts, ".000000", "") if _whole(texts) else _trimmed(texts)


def _whole(texts: pa.Array) -> bool:
    """Whether all fractions are zero."""
    return bool(pc.all(pc.ends_with(texts, ".000000")).as_py())


def _trimmed(texts: pa.Array) -> pa.Array:
    """Cut zeros off the end of fractions, and the point where nothing is left behind it."""
    return pc.replace_substring_regex(pc.replace_substring_regex(texts, r"(\.\d*?)0+$", r"\1"), r"\.$", "")


def float_text(column: pa.Array) -> pa.Array:
    """Return the shortest texts that read back as the same numbers."""
    texts = column.cast(pa.large_string())
    if pc.all(pc.is_finite(column)).as_py() is False:
        texts = pc.if_else(pc.is_nan(column), "NaN", texts)
        texts = pc.if_else(pc.is_inf(column), pc.if_else(pc.greater(column, 0), "+Inf", "-Inf"), texts)
    return texts
