"""Statements and sizes as `explain` shows them to people."""

import re

from sqlglot import exp, parse_one

SHOWN_VALUES = 10
"""Values of a longer list that are shown; the others are counted."""

PIXEL_RANGES = re.compile(
    r"""\(("[^"]*"\."_healpix_29") BETWEEN \d+ AND \d+(?: OR "[^"]*"\."_healpix_29" BETWEEN \d+ AND \d+)*\)"""
)
"""The condition on the pixel column, as rule `find_regions` writes it."""

NUMBERS = re.compile(rf"(?<='{{{{)((?:-?\d+, ){{{SHOWN_VALUES}}})((?:-?\d+, )*+-?\d+)(?=}}}}' AS BIGINT)")
"""A longer list of numbers, as `czar.plan.template` writes it."""


def indented(sql: str, dialect: str) -> list[str]:
    """Return a statement over several lines; ranges of pixels as their number, long lists shortened."""
    tree = statement(sql, dialect)
    for listed in tree.find_all(exp.In):
        values = listed.expressions
        if len(values) > SHOWN_VALUES + 1:
            more = exp.Var(this=f"... {len(values) - SHOWN_VALUES:,} more")
            listed.set("expressions", [*values[:SHOWN_VALUES], more])
    pretty = tree.sql(dialect, pretty=True)
    pretty = pretty.replace("slot_", "{").replace("_slot", "}").replace("\0", "{").replace("\1", "}")
    return [f"  {line}" for line in pretty.splitlines()]


def statement(sql: str, dialect: str) -> exp.Expr:
    """Return the tree of a statement: slots as plain names, ranges of pixels as their number, long lists of numbers shortened."""
    sql = PIXEL_RANGES.sub(lambda found: f"in_pixel_ranges({found[1]}, {found[0].count(' BETWEEN ')})", sql)
    sql = NUMBERS.sub(lambda found: f"{found[1]}... {found[2].count(',') + 1:,} more", sql)
    named = sql.replace("{{", "\0").replace("}}", "\1").replace("{", "slot_").replace("}", "_slot")
    return parse_one(named, read=dialect)


def amount(size_bytes: float) -> str:
    """Return a number of bytes in the unit that people would use."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000:  # noqa: PLR2004 (from one unit to the next)
            return f"{size_bytes:,.0f} {unit}" if unit == "bytes" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"  # noqa: PLR2004
        size_bytes /= 1000
    return f"{size_bytes:,.1f} TB"
