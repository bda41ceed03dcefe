"""The plain functions of PostgreSQL that a query may call, by name.

Each is immutable or stable, gives one value for its arguments, and is in PostgreSQL 15 already. Functions that read files, sleep,
or ask the system are unknown. ``random`` alone is volatile: it is evaluated where the row is, anew for each.
"""

from typing import Final

TEXT: Final = frozenset(
    {
        *("ascii", "bit_length", "btrim", "char_length", "character_length", "chr", "concat", "concat_ws", "format", "initcap"),
        *("left", "length", "lower", "lpad", "ltrim", "md5", "normalize", "octet_length", "regexp_count", "regexp_instr"),
        *("regexp_like", "regexp_match", "regexp_replace", "regexp_split_to_array", "regexp_substr", "repeat", "replace"),
        *("reverse", "right", "rpad", "rtrim", "split_part", "starts_with", "string_to_array", "strpos", "substr", "to_hex"),
        *("translate", "unistr", "upper", "encode", "decode", "to_char", "to_number", "quote_ident", "quote_literal"),
        *("quote_nullable", "sha224", "sha256", "sha384", "sha512"),
    },
)

MATHS: Final = frozenset(
    {
        *("abs", "cbrt", "ceil", "ceiling", "degrees", "div", "exp", "factorial", "floor", "gcd", "lcm", "ln", "log", "log10"),
        *("min_scale", "mod", "pi", "pow", "power", "radians", "random", "round", "scale", "sign", "sqrt", "trim_scale", "trunc"),
        *("width_bucket", "acos", "acosd", "asin", "asind", "atan", "atand", "atan2", "atan2d", "cos", "cosd", "cot", "cotd"),
        *("sin", "sind", "tan", "tand", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh"),
    },
)

TIMES: Final = frozenset(
    {
        *("age", "date", "date_part", "date_trunc", "date_bin", "isfinite", "justify_days", "justify_hours", "justify_interval"),
        *("make_date", "make_interval", "make_time", "make_timestamp", "make_timestamptz", "timezone", "to_date", "to_timestamp"),
    },
)

ARRAYS: Final = frozenset(
    {
        *("array_append", "array_cat", "array_dims", "array_fill", "array_length", "array_lower", "array_ndims"),
        *("array_position", "array_positions"),
        *("array_prepend", "array_remove", "array_replace", "array_to_string", "array_upper", "cardinality", "trim_array"),
    },
)

CONDITIONS: Final = frozenset({"num_nulls", "num_nonnulls"})

SYNTAX: Final = frozenset({"row", "grouping"})
"""Not functions, but written as one: ``ROW(1, 2) = ...``, and ``GROUPING(a, b)`` of GROUP BY."""

NAMES: Final = TEXT | MATHS | TIMES | ARRAYS | CONDITIONS | SYNTAX

ROWS: Final = frozenset({"generate_subscripts", "regexp_matches", "regexp_split_to_table", "string_to_table"})
"""Functions that make rows: they stand in FROM alone, as GENERATE_SERIES and UNNEST do."""

NUMERIC_ONLY: Final = frozenset({"min_scale", "scale", "trim_scale"})
"""Functions about the digits of a numeric: their arguments stay what they are written as."""
