"""What analysis knows of a query. Each rule takes one of these and returns a richer one."""

from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from czar.analyse.kinds import Kind
from czar.analyse.nesting import body, joins, own, relations, selects
from czar.catalogue import Catalogue, TableEntry, are_among


@dataclass(frozen=True, eq=False)
class Source:
    """One table of FROM under its alias."""

    alias: str
    entry: TableEntry
    outer: bool = False
    """On the right of a LEFT JOIN: its columns may be NULL where the table's are not."""
    overlap: bool = False
    """Read with the overlap rows of the chunk: a partner of the home tables, not a home table."""

    @property
    def home(self) -> bool:
        """Whether each of its rows is read in exactly one chunk."""
        return self.entry.table.partitioned and not self.overlap


@dataclass(frozen=True)
class Output:
    """One column of the answer. ``source`` and ``column`` name the table column that it shows unchanged, if it does."""

    name: str
    source: Source | None = None
    column: str | None = None
    kind: Kind = Kind.OTHER
    """What its values are; only of the columns of a step."""
    is_sum: bool = False
    """Whether it is a sum of integers; only of the columns of a step."""

    def shows_the_same(self, other: "Output") -> bool:
        """Whether both show the same column of the same table."""
        if self.source is None or other.source is None:
            return False
        return self.source.entry is other.source.entry and self.column == other.column


class Access(IntEnum):
    """How the rows of a query are found in their chunks, the most selective way last."""

    SCAN = 0
    REGION = 1
    """By the pixels of a region."""
    SPOT = 2
    """By the pixels of a region so small that few rows are in it."""
    KEYS = 3
    """By keys of a director."""

    @property
    def shown(self) -> str:
        """What the query log calls it."""
        return "region" if self is Access.SPOT else self.name.lower()


@dataclass(frozen=True)
class KeyRestriction:
    """Only rows of these director keys can match; the director index says in which chunks they are."""

    database: str
    director: str
    keys: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Query:
    """A query between parse and plan. ``tree`` is the query's own: rules rewrite it in place, because copying it costs more than
    all rules together.
    """

    text: str
    tree: exp.Select
    catalogue: Catalogue
    sources: tuple[Source, ...] = ()
    """The tables of the query and of the queries inside it; no alias is there twice."""
    outputs: tuple[Output, ...] = ()
    keys: tuple[KeyRestriction, ...] = ()
    chunks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Chunks that can hold matching rows; empty for a query over replicated tables alone."""
    notes: tuple[str, ...] = ()
    """Why the chunks are these, in the words of `explain`."""
    access: Access = Access.SCAN
    is_step: bool = False
    """Whether its rows are read by another part of a query: in an answer, no number is numeric, and in a step it is."""

    @cached_property
    def tables(self) -> dict[str, Source]:
        """The sources by alias."""
        return {source.alias: source for source in self.sources}

    @property
    def partitioned(self) -> bool:
        """Whether any of its tables lies on chunks."""
        return any(source.entry.table.partitioned for source in self.sources)

    def over(self, sources: tuple[Source, ...]) -> Self:
        """Return the query with these sources, on all their chunks."""
        present = [source.entry.chunks for source in sources if source.entry.table.partitioned]
        chunks = np.unique(np.concatenate(present)) if present else np.empty(0, dtype=np.int64)
        return replace(self, sources=sources, chunks=chunks)

    def narrowed(self, chunks: NDArray[np.int64], reason: str, access: Access = Access.SCAN) -> Self:
        """Return the query restricted to those of its chunks that are in ``chunks``, which are sorted."""
        kept = self.chunks[are_among(self.chunks, chunks)]
        note = f"{reason}: {len(kept):,} of {len(self.chunks):,} chunks"
        found = replace(self, chunks=kept, notes=(*self.notes, note), access=max(self.access, access))
        found.__dict__["blocks"] = self.blocks  # of the same tree and sources; finding them takes a walk through the tree
        return found

    @cached_property
    def blocks(self) -> "tuple[Block, ...]":
        """Every SELECT of the query, the outermost first."""
        needed = _needed(self.tree)
        found = []
        for select in selects(self.tree):
            aliases = [relation.alias_or_name for relation in relations(select) if isinstance(relation, exp.Table)]
            own = tuple(self.tables[alias] for alias in aliases if alias in self.tables)
            found.append(Block(select, own, id(select) in needed))
        return tuple(found)


def opaque(sql: str) -> exp.Expr:
    """Return PostgreSQL text of ours as one part of a tree, which no rule looks into."""
    return exp.Var(this=sql)


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """Return the parts that all must hold: the operands of the outermost ANDs, without their parentheses."""
    return [] if condition is None else _operands(exp.And, condition)


def disjuncts(condition: exp.Or) -> list[exp.Expr]:
    """Return the parts of which one must hold: the operands of the outermost ORs, without their parentheses."""
    return _operands(exp.Or, condition)


def _operands(connector: type[exp.Connector], condition: exp.Expr) -> list[exp.Expr]:
    """Take a tree of one connector apart, without recursion: a list of 10,000 operands is as deep."""
    found: list[exp.Expr] = []
    waiting = [condition]
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Paren):
            waiting.append(part.this)
        elif isinstance(part, connector):
            waiting += [part.expression, part.this]
        else:
            found.append(part)
    return found


@dataclass(frozen=True, eq=False)
class Block:
    """One SELECT of a query, and the tables of its FROM."""

    select: exp.Select
    sources: tuple[Source, ...]
    necessary: bool
    """Whether each row of the answer needs a row of it: then chunks where it has none can be left out."""

    @property
    def homes(self) -> tuple[Source, ...]:
        """Sources whose rows are read in their own chunk."""
        return tuple(source for source in self.sources if source.home)

    def restrictions(self) -> list[exp.Expr]:
        """Return the conditions that every row meets: conjuncts of WHERE and of the ON of inner joins."""
        where = self.select.args.get("where")
        found = conjuncts(where.this if where else None)
        for join in joins(self.select):
            if not join.side:
                found += conjuncts(join.args.get("on"))
        return found


def _needed(select: exp.Select) -> set[int]:
    """Return the SELECTs, this one and those that are inner-joined, IN or EXISTS, of which each row of the answer needs a row."""
    found = {id(select)}
    optional = [join.side for join in joins(select)]
    for place, relation in enumerate(relations(select)):
        kept = not (place and optional[place - 1] in {"LEFT", "FULL"}) and not {"RIGHT", "FULL"} & set(optional[place:])
        inner = body(relation)
        if kept and isinstance(relation, exp.Subquery) and isinstance(inner, exp.Select):
            found |= _needed(inner)
    where = select.args.get("where")
    for condition in conjuncts(where.this if where else None):
        asked = _asked(condition)
        if isinstance(asked, exp.Select) and _has_no_row_of_none(asked):
            found |= _needed(asked)
    return found


def _asked(condition: exp.Expr) -> exp.Expr | None:
    """Return the query that must give a row for a condition to be true, if there is one."""
    found = (
        condition.args.get("query")
        if isinstance(condition, exp.In)
        else condition.this
        if isinstance(condition, exp.Exists)
        else None
    )
    return None if found is None else body(found)


def _has_no_row_of_none(select: exp.Select) -> bool:
    """Whether a SELECT gives no row where its tables have none: an aggregate without GROUP BY gives one."""
    aggregated = select.args.get("having") or any(own(item, exp.AggFunc) for item in select.expressions)
    return bool(select.args.get("group")) or not aggregated
