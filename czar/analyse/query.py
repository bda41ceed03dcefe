"""What analysis knows of a query. Each rule takes one of these and returns a richer one."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from czar.analyse.kinds import Kind
from czar.analyse.necessity import Needed, branches, needed_of
from czar.analyse.nesting import conjuncts, joins, relations, selects
from czar.catalogue import Catalogue, TableEntry, are_among

MAX_ORPHAN_PLACES: Final = 1_000_000
"""Most keys times chunks that are sent to the nodes as keys of chunks: 8 MB. Beyond it each chunk is sent the list of the query."""

IN_TEXT: Final = re.compile(r'"((?:[^"]|"")*)"\."((?:[^"]|"")*)"')
"""A column in a part of a tree that is text already."""


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
    """Only rows of these director keys can match; the director index says in which chunks they are.

    Rows of keys that it does not know are in ``orphan_chunks``, which ascend, if anywhere. Of two restrictions that differ in these
    alone, each is one by itself: they are equal.
    """

    database: str
    director: str
    keys: tuple[int, ...]
    orphan_chunks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64), compare=False)
    condition: exp.Expr | None = field(default=None, compare=False)
    """What says so of a column of whole numbers, if one part of the tree does."""

    def among_orphans(self, known: NDArray[np.int64]) -> "OrphanKeys":
        """Return the keys that can be those of orphans: all but the known ones of the director, which are ascending."""
        if not len(self.orphan_chunks):
            return OrphanKeys()
        unknown = np.setdiff1d(np.array(self.keys, dtype=np.int64), known)
        return OrphanKeys(unknown, self.orphan_chunks) if len(unknown) else OrphanKeys()


@dataclass(frozen=True, eq=False)
class OrphanKeys:
    """Keys, each of which may be in any of some chunks."""

    keys: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    chunks: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def are_few(self) -> bool:
        """Whether each chunk can be told all of them."""
        return len(self.keys) * len(self.chunks) <= MAX_ORPHAN_PLACES

    def with_chunks(self, chunks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return these and other chunks, sorted, each once."""
        return np.union1d(self.chunks, chunks)

    def with_keys(self, keys: NDArray[np.int64], chunks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return keys with the chunk of each, and after them each of these keys with each of these chunks."""
        here = np.repeat(self.keys, len(self.chunks)), np.tile(self.chunks, len(self.keys))
        return np.concatenate([keys, here[0]]), np.concatenate([chunks, here[1]])


OF_CHUNK: Final = "of chunk"
"""Mark of a condition that a key is among some: each chunk is asked for those of them that it has (`Query.chunk_keys`)."""


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
    chunk_keys: Mapping[int, Sequence[int]] | None = None
    """The keys that each chunk is asked for, where a condition has the mark `OF_CHUNK`; none for a chunk that is not in it."""
    neighbours: frozenset[str] = frozenset()
    """Aliases of the sources of which those rows alone are read that have another one near: an index holds them."""
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
        return self._known(found)

    def with_keys(self, keys: tuple[KeyRestriction, ...]) -> Self:
        """Return the query with further keys to be looked up."""
        return self._known(replace(self, keys=tuple(dict.fromkeys((*self.keys, *keys))))) if keys else self

    def asked_by_chunk(self, condition: exp.Expr, keys: NDArray[np.int64], chunks: NDArray[np.int64]) -> Self:
        """Ask each chunk for its own keys, where a condition, which is marked, says that a key is among them.

        Parameters
        ----------
        condition
            Part of the tree: that a column is one of some numbers, or is one number.
        keys, chunks
            Arrays of the same length: keys among those numbers that are there at all, and the chunk of each.
        """
        condition.meta[OF_CHUNK] = True
        order = np.argsort(chunks, kind="stable")
        numbers, begins = np.unique(chunks[order], return_index=True)
        parts = np.split(keys[order], begins[1:]) if len(numbers) else ()
        found = {number: part.tolist() for number, part in zip(numbers.tolist(), parts, strict=True)}
        return self._known(replace(self, chunk_keys=found))

    def with_neighbours(self, aliases: AbstractSet[str]) -> Self:
        """Return the query with the sources of which rows with a neighbour alone are read."""
        return self._known(replace(self, neighbours=frozenset(aliases)))

    def _known(self, other: Self) -> Self:
        """Tell another one, of the same tree and sources, what is known of them: finding it takes a walk through the tree."""
        other.__dict__.update({name: self.__dict__[name] for name in ("needed", "blocks") if name in self.__dict__})
        return other

    @cached_property
    def needed(self) -> Needed:
        """The parts of which each row of the answer needs a row."""
        return needed_of(self.tree)

    @property
    def unions(self) -> tuple[exp.Union, ...]:
        """The UNIONs of which each row of the answer needs a row, of either side."""
        return self.needed.unions

    @cached_property
    def blocks(self) -> "tuple[Block, ...]":
        """Every SELECT of the query, the outermost first; but not those of `unions`."""
        inside = {id(select) for union in self.unions for side in branches(union) for select in selects(side)}
        found = []
        for select in selects(self.tree):
            if id(select) in inside:
                continue
            aliases = [relation.alias_or_name for relation in relations(select) if isinstance(relation, exp.Table)]
            own = tuple(self.tables[alias] for alias in aliases if alias in self.tables)
            found.append(Block(select, own, id(select) in self.needed.selects))
        return tuple(found)


def opaque(sql: str) -> exp.Expr:
    """Return PostgreSQL text of ours as one part of a tree, which no rule looks into."""
    return exp.Var(this=sql)


def columns_in(sql: str) -> list[tuple[str, str]]:
    """Return the columns that such a text names, as (alias, column)."""
    return [(alias.replace('""', '"'), column.replace('""', '"')) for alias, column in IN_TEXT.findall(sql)]


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
        """Return the conditions that every row meets: conjuncts of WHERE and of the ON of inner joins.

        An outer join that keeps its right side makes rows that no ON before it has seen.
        """
        where = self.select.args.get("where")
        found = conjuncts(where.this if where else None)
        for join in reversed(joins(self.select)):
            if join.side in {"RIGHT", "FULL"}:
                break
            if not join.side:
                found += conjuncts(join.args.get("on"))
        return found
