"""Compares an answer of the cluster with the oracle's: row for row, type for type, in order where the query orders."""

import dataclasses
import itertools
import math
from collections import defaultdict

import pyarrow as pa
from pyarrow import types

from schema.types import arrow_type
from tests.oracle.asking import RELATIVE

SHOWN_ROWS = 5

NUMBER = "number"
"""The family of numeric, which no answer has: it is an integer or a float there."""


def families(schema):
    """Return the family of each field's type."""
    return tuple(_family(field.type) for field in schema)


def _family(kind):
    if types.is_list(kind):
        return f"array of {_family(kind.value_type)}"
    tests = {
        "boolean": types.is_boolean,
        "integer": types.is_integer,
        "float": types.is_floating,
        "text": types.is_string,
        "date": types.is_date,
        "timestamp": types.is_timestamp,
        "binary": types.is_binary,
    }
    return next((name for name, test in tests.items() if test(kind)), str(kind))


def differences(answer, batches, oracle, within=RELATIVE):
    """Return what is wrong with an answer, in sentences; none if it is right. Doubles may be off by ``within`` of themselves."""
    found = []
    if not all(map(_same_family, families(answer.schema), oracle.families)):
        found.append(f"types {families(answer.schema)}, the oracle's are {oracle.families}")
    for result, field in zip(answer.columns, answer.schema, strict=bool(answer.columns)):
        kind = field.type.value_type if result.is_array else field.type
        if arrow_type(result.column) != kind and not types.is_date(kind):
            found.append(f"column {result.name} says {result.column.datatype}, its values are {field.type}")
    if any(batch.schema != answer.schema for batch in batches):
        found.append("a batch has another schema than the answer")
    if found:
        return found
    table = pa.Table.from_batches(batches, answer.schema)
    ours = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    if any(family.endswith(NUMBER) for family in oracle.families):
        oracle = dataclasses.replace(oracle, rows=list(_read_numbers(oracle, families(answer.schema))))
    return list(itertools.islice(_wrong_rows(ours, oracle, within), SHOWN_ROWS))


def _same_family(ours, theirs):
    return ours == theirs or (theirs.endswith(NUMBER) and ours in {theirs.replace(NUMBER, kind) for kind in ("integer", "float")})


def _read_numbers(oracle, ours):
    """Yield the oracle's rows, numeric read as what the column is in our answer: a fraction is never an integer."""
    places = [place for place, family in enumerate(oracle.families) if family.endswith(NUMBER)]
    for row in oracle.rows:
        values = list(row.values)
        for place in places:
            values[place] = _read_number(values[place], ours[place])
        yield dataclasses.replace(row, values=tuple(values))


def _read_number(value, family):
    if value is None:
        return None
    if isinstance(value, list):
        return [_read_number(each, family.removeprefix("array of ")) for each in value]
    return int(value) if family == "integer" and value == value.to_integral_value() else float(value)


def _wrong_rows(ours, oracle, within):
    first, last = oracle.window
    if len(ours) != last - first:
        yield f"{len(ours)} rows, the oracle has {last - first}"
    done = 0
    place = 0
    # Rows of equal order are a set; where LIMIT or OFFSET cuts one, any part of it is right.
    for _, tied in itertools.groupby(oracle.rows, key=lambda row: tuple(map(_marked, row.order))):
        rows = list(tied)
        taken = min(last, place + len(rows)) - max(first, place)
        place += len(rows)
        if taken > 0:
            yield from _unmatched(ours[done : done + taken], rows, within)
            done += taken


def _unmatched(ours, rows, within):
    """Match each of our rows with a row of the oracle that no other took."""
    exactly, closely = defaultdict(list), defaultdict(list)
    for row in rows:
        exactly[_marked_row(row.values)].append(row)
    left = []
    for values in ours:
        same = exactly.get(_marked_row(values))
        if same:
            same.pop()
        else:
            left.append(values)
    if not left:
        return
    for row in itertools.chain.from_iterable(exactly.values()):
        closely[_exact_part(row.values)].append(row)
    for values in left:
        candidates = closely.get(_exact_part(values), [])
        match = next((row for row in candidates if _close(values, row, within)), None)
        if match is not None:
            candidates.remove(match)
            continue
        near = f"; the nearest are {[row.values for row in candidates[:2]]}" if candidates else ""
        yield f"row {values} is not the oracle's{near}"


def _marked(value):
    """Return a value that equals itself and can be a key. Types are compared by column."""
    if isinstance(value, list):
        return tuple(map(_marked, value))
    return value if value == value else "NaN"  # noqa: PLR0124 (NaN alone does not equal itself)


def _marked_row(values):
    return tuple([_marked(value) for value in values])


def _exact_part(values):
    return tuple(_without_float(value) for value in values)


def _without_float(value):
    if isinstance(value, list):
        return tuple(map(_without_float, value))
    return "float" if isinstance(value, float) else _marked(value)


def _close(values, row, within):
    return all(
        _close_value(value, expected, within, tolerance or 0.0)
        for value, expected, tolerance in zip(values, row.values, row.tolerances, strict=True)
    )


def _close_value(value, expected, within, tolerance):
    if isinstance(value, list):
        # Of the same length, and without NULL in another place, because their exact parts are the same.
        return all(_close_value(*pair, within, tolerance) for pair in zip(value, expected, strict=True))
    return _marked(value) == _marked(expected) or (
        isinstance(value, float) and _within(value, expected, max(within * abs(expected), tolerance))
    )


def _within(value, expected, allowed):
    return math.isfinite(value) and math.isfinite(expected) and abs(value - expected) <= allowed
