"""A qualified tree -> the text of a chunk query, with slots for physical relations."""

from collections.abc import Mapping

from sqlglot import exp

from czar.analyse.query import Source
from czar.plan.model import Slot
from czar.steps.intermediate import Intermediate


def chunk_query(tree: exp.Select, tables: Mapping[str, Source]) -> tuple[str, tuple[Slot, ...]]:
    """Return the SQL text with ``{slot}`` in place of every table, and the slots. The tree is used up.

    Braces in names and texts of the user are doubled, so that only ours are slots.
    """
    named = [(node, tables[node.alias]) for node in tree.find_all(exp.Table) if node.alias in tables]
    for part in list(tree.find_all(exp.Literal, exp.Identifier, exp.Var)):
        if isinstance(part.this, str) and ("{" in part.this or "}" in part.this):
            part.set("this", part.this.replace("{", "{{").replace("}", "}}"))
    slots: list[Slot] = []
    for node, source in named:
        alias = node.args["alias"].this
        if isinstance(source.entry, Intermediate):
            rows = source.entry.sql.replace("{", "{{").replace("}", "}}")
            node.replace(exp.alias_(exp.Table(this=exp.Var(this=rows)), alias, table=True))
            continue
        slot = Slot(f"t{len(slots)}", source.entry)
        slots.append(slot)
        if not source.overlap:
            node.replace(exp.alias_(_slot_table(slot), alias, table=True))
            continue
        beyond = Slot(f"t{len(slots)}", source.entry, overlap=True)
        slots.append(beyond)
        both = exp.union(exp.select("*").from_(_slot_table(slot)), exp.select("*").from_(_slot_table(beyond)), distinct=False)
        node.replace(exp.Subquery(this=both, alias=exp.TableAlias(this=alias)))
    return tree.sql("postgres", comments=False), tuple(slots)


def _slot_table(slot: Slot) -> exp.Table:
    return exp.Table(this=exp.Identifier(this=f"{{{slot.name}}}", quoted=False))
