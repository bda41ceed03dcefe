"""A qualified tree -> the text of a chunk query, with slots for physical relations."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from sqlglot import exp

from czar.analyse.nesting import parts
from czar.analyse.query import OF_CHUNK, Source, opaque
from czar.dialects.number_lists import lists_numbers
from czar.plan.members import excluded_by_joins
from czar.plan.model import Slot
from czar.plan.near_joins import with_cells
from czar.steps.intermediate import Intermediate
from schema.physical import column_list, together, words_of
from workers.template import KEYS

COLUMNS: Final = "\0columns {}\0"
"""Stands for the columns of a slot until all of the text is there. No text of a user has a NUL."""


def chunk_query(tree: exp.Select, tables: Mapping[str, Source]) -> tuple[str, tuple[Slot, ...]]:
    """Return the SQL text with ``{slot}`` in place of every table, and the slots. The tree is used up.

    Braces in names and texts of the user are doubled, so that only ours are slots.
    """
    excluded_by_joins(tree, tables)
    named, listed = [], []
    for part in parts(tree):
        if isinstance(part, exp.Table):
            if part.alias in tables:
                named.append((part, tables[part.alias]))
        elif OF_CHUNK in part.meta or lists_numbers(part):
            listed.append(part)
        else:
            _double_braces(part)
    slots: list[Slot] = []
    texts = {}
    for node, source in named:
        if isinstance(source.entry, Intermediate):
            texts[node.alias] = source.entry.sql.replace("{", "{{").replace("}", "}}")
            continue
        own = _slots(slots, source)
        texts[node.alias] = together([f"{{{slot.name}}}" for slot in own], own[0].columns)
        slots += own
    lists = _without_keys(listed)
    tables = {node.alias: source for node, source in named}
    texts = with_cells(tree, texts, tables) if len(texts) > 1 else texts
    for node, _ in named:
        node.replace(exp.alias_(exp.Table(this=exp.Var(this=texts[node.alias])), node.args["alias"].this, table=True))
    for part in lists:
        _write_as_array(part, tables)
    return _with_columns(tree.sql("postgres", comments=False, copy=False), slots)


def _with_columns(sql: str, slots: list[Slot]) -> tuple[str, tuple[Slot, ...]]:
    """Return a text and its slots with the columns of each: those of its table that are among the words of the text.

    They are not needed where each slot is one table.
    """
    if not any(slot.overlap or slot.entry.segments for slot in slots):
        return sql, tuple(slots)
    words = words_of(sql)
    found = []
    for slot in slots:
        table = slot.entry.table
        columns = column_list(column.name for column in (*table.columns, *table.hidden) if column.name in words)
        found.append(replace(slot, columns=columns))
        sql = sql.replace(slot.columns, columns)
    return sql, tuple(found)


def _without_keys(listed: list[exp.Expr]) -> list[exp.Expr]:
    """Let PostgreSQL read the keys of a chunk in their slot; return what else is listed."""
    others = []
    for member in listed:
        if OF_CHUNK in member.meta:
            column = member.expression if isinstance(member.args.get("expression"), exp.Column) else member.this
            member.replace(opaque(f"({column.sql('postgres')} = ANY({{{KEYS}}}))"))
        else:
            others.append(member)
    return others


def _write_as_array(member: exp.Expr, tables: Mapping[str, Source]) -> None:
    """Let PostgreSQL read a long list as one constant.

    Other columns than those of whole numbers would be compared in another type then.
    """
    column = member.this
    source = tables.get(column.table) if isinstance(column, exp.Column) else None
    if source is not None and source.entry.is_whole(column.name):
        array = opaque(f"ANY(CAST('{{{{{member.expressions[0].name}}}}}' AS BIGINT[]))")
        member.replace(exp.Paren(this=exp.EQ(this=column, expression=array)))


def _double_braces(part: exp.Expr) -> None:
    """Double the braces in a name or a text, or the names of a column."""
    if isinstance(part, exp.Column):
        for name in part.parts:
            _double_braces(name)
    elif isinstance(part, exp.Literal | exp.Identifier | exp.Var):
        text = part.this
        if "{" in text or "}" in text:
            part.set("this", text.replace("{", "{{").replace("}", "}}"))


def _slots(before: list[Slot], source: Source) -> list[Slot]:
    """Return the slots of a table: one, or another one for its overlap."""
    place = len(before)
    first = Slot(f"t{place}", source.entry, COLUMNS.format(place))
    return [first, replace(first, name=f"t{place + 1}", overlap=True)] if source.overlap else [first]
