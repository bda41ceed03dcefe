"""Random queries over the tables of the tests. Each is a value made of parts, so that one that fails can be made smaller.

Every part is a pair of texts: what the engine is asked, and what plain PostgreSQL is asked. They differ in geometry alone.
"""

import dataclasses
from dataclasses import dataclass

from tests.oracle.regions import PLACES, random_region

CHANCE_OF_LIMIT = 0.3
DEEPEST = 3
"""Levels of AND, OR and NOT."""

NUMBERS = {"integer", "float", "real"}

RADII_DEG = (0.0003, 0.001, 0.0203, 0.0497, 0.2003, 1.0007)
"""Distances of neighbours. No distance of the special positions is one of them: then rounding would decide."""


@dataclass(frozen=True)
class Pair:
    """The same in two spellings."""

    ours: str
    plain: str

    @classmethod
    def same(cls, text):
        return cls(text, text)

    def __str__(self):
        return self.ours

    @classmethod
    def joined(cls, word, parts):
        return cls(word.join(part.ours for part in parts), word.join(part.plain for part in parts))


@dataclass(frozen=True)
class Condition:
    """A tree of conditions: a leaf, or ``word`` (AND, OR, NOT) over others."""

    leaf: Pair | None = None
    word: str = ""
    parts: tuple["Condition", ...] = ()

    @property
    def text(self):
        if self.leaf:
            return self.leaf
        parts = [part.text for part in self.parts]
        if self.word == "NOT":
            return Pair(f"NOT ({parts[0].ours})", f"NOT ({parts[0].plain})")
        return Pair.joined(f" {self.word} ", [Pair(f"({part.ours})", f"({part.plain})") for part in parts])

    def smaller(self):
        """Yield conditions with less in them."""
        yield from self.parts
        for place, part in enumerate(self.parts):
            for less in part.smaller():
                yield dataclasses.replace(self, parts=(*self.parts[:place], less, *self.parts[place + 1 :]))


@dataclass(frozen=True)
class Generated:
    """A SELECT in parts."""

    items: tuple[Pair, ...]
    tables: Pair
    where: Condition | None = None
    group: tuple[str, ...] = ()
    having: Pair | None = None
    order: tuple[str, ...] = ()
    limit: int | None = None
    offset: int | None = None
    distinct: bool = False
    head: Pair = Pair("", "")
    """WITH and what it names."""

    @property
    def text(self):
        """The query in both spellings."""
        parts = [
            self.head,
            Pair.same("SELECT DISTINCT " if self.distinct else "SELECT "),
            Pair.joined(", ", self.items),
            Pair.same(" FROM "),
            self.tables,
        ]
        if self.where:
            parts += [Pair.same(" WHERE "), self.where.text]
        if self.group:
            parts.append(Pair.same(f" GROUP BY {', '.join(self.group)}"))
        if self.having:
            parts += [Pair.same(" HAVING "), self.having]
        if self.order:
            parts.append(Pair.same(f" ORDER BY {', '.join(self.order)}"))
        if self.limit is not None:
            parts.append(Pair.same(f" LIMIT {self.limit}"))
        if self.offset is not None:
            parts.append(Pair.same(f" OFFSET {self.offset}"))
        return Pair.joined("", parts)

    def smaller(self):
        """Yield queries with less in them."""
        for name, without in (
            ("where", None),
            ("having", None),
            ("order", ()),
            ("limit", None),
            ("offset", None),
            ("distinct", False),
        ):
            if getattr(self, name) != without:
                yield dataclasses.replace(self, **{name: without})
        if self.where:
            for less in self.where.smaller():
                yield dataclasses.replace(self, where=less)
        if not self.group and not self.order and len(self.items) > 1:
            for place in range(len(self.items)):
                yield dataclasses.replace(self, items=self.items[:place] + self.items[place + 1 :])


@dataclass(frozen=True)
class Column:
    """A column under its alias: what kind of values it has, and constants that it is compared with."""

    name: str
    kind: str
    constants: tuple[str, ...]
    summable: bool = True


@dataclass(frozen=True)
class Source:
    """Tables of FROM, their columns, and the positions among them."""

    tables: str
    columns: tuple[Column, ...]
    positions: tuple[tuple[str, str], ...]
    grouping: tuple[str, ...]
    """Expressions of few values."""


class Generator:
    """Makes queries from random numbers alone: the same seed gives the same queries."""

    def __init__(self, random, sources, links=(), places=PLACES, radii=RADII_DEG):
        self.random, self.sources, self.links, self.places, self.radii = random, sources, links, places, radii

    def query(self, source=None):
        source = source or self.random.choice(self.sources)
        where = self.condition(source, self.random.randint(1, DEEPEST)) if self.random.random() < 0.85 else None
        form = self.random.choice(("rows", "rows", "aggregates", "groups", "groups", "distinct"))
        return getattr(self, f"_{form}")(source, where)

    def condition(self, source, depth):
        if depth == 0 or self.random.random() < 0.3:
            return Condition(self.leaf(source))
        word = self.random.choice(("AND", "AND", "OR", "OR", "NOT"))
        count = 1 if word == "NOT" else self.random.randint(2, 3)
        return Condition(word=word, parts=tuple(self.condition(source, depth - 1) for _ in range(count)))

    def leaf(self, source):
        if source.positions and self.random.random() < 0.4:
            ra, dec = self.random.choice(source.positions)
            return Pair(*random_region(self.random, ra, dec, self.places))
        column = self.random.choice(source.columns)
        if column.kind == "boolean":
            return Pair.same(
                self.random.choice(("{}", "NOT {}", "{} IS TRUE", "{} IS NOT FALSE", "{} IS NULL")).format(column.name)
            )
        one, other = self.random.choice(column.constants), self.random.choice(column.constants)
        forms = [f"{column.name} {self.random.choice(('<', '<=', '>', '>=', '=', '<>'))} {one}"] * 4
        forms += [f"{one} {self.random.choice(('<', '>=', '='))} {column.name}", f"{column.name} BETWEEN {one} AND {other}"]
        forms += [f"{column.name} IN ({one}, {other})", f"{column.name} NOT IN ({one}, {other})"]
        if column.kind != "time":  # constants of an array are texts, which PostgreSQL does not compare with times
            forms += [f"{column.name} = ANY (ARRAY[{one}, {other}])", f"{column.name} <> ALL (ARRAY[{one}, {other}])"]
        forms += [f"{column.name} IS NULL", f"{column.name} IS NOT NULL", f"COALESCE({column.name}, {one}) > {other}"]
        if column.kind == "text":
            forms += [
                f"{column.name} LIKE '%{self.random.choice('aeZ{')}%'",
                f"LENGTH({column.name}) > {self.random.randint(0, 6)}",
            ]
        return Pair.same(self.random.choice(forms))

    def _value(self, source):
        column = self.random.choice(source.columns)
        forms = ["{}"] * 3 + ["{} IS NULL", "ARRAY[{0}, {0}, NULL]"]
        if column.kind in NUMBERS and column.summable:
            forms += ["{} + 1", "-{}", "ABS({})", "CASE WHEN {0} > 3 THEN {0} END", "COALESCE({}, 0) * 2"]
        if column.kind == "text":
            forms += ["UPPER({})", "{} || '{{x}}'", "LENGTH({})"]
        return Pair.same(self.random.choice(forms).format(column.name))

    def _aggregate(self, source):
        column = self.random.choice(source.columns)
        if column.kind == "boolean" or self.random.random() < 0.2:
            return Pair.same("COUNT(*)")
        forms = ["COUNT", "MIN", "MAX"]
        if column.kind in NUMBERS and column.summable:
            forms += ["SUM", "AVG", "STDDEV", "VAR_POP"]
        form = self.random.choice(forms)
        # REAL is summed in double precision (DESIGN, section 4), which PostgreSQL does when it is told to.
        widened = column.kind == "real" and form not in {"MIN", "MAX"}
        return Pair(f"{form}({column.name})", f"{form}({column.name}{'::double precision' if widened else ''})")

    def _window(self):
        limit = self.random.choice((0, 1, 5, 30, 1000)) if self.random.random() < CHANCE_OF_LIMIT else None
        offset = self.random.choice((1, 7, 400)) if self.random.random() < CHANCE_OF_LIMIT / 3 else None
        return {"limit": limit, "offset": offset}

    def _direction(self):
        return self.random.choice(("", "", " DESC", " NULLS FIRST", " DESC NULLS LAST"))

    def _rows(self, source, where):
        items = tuple(self._value(source) for _ in range(self.random.randint(1, 4)))
        order = ()
        if self.random.random() < 0.4:
            columns = self.random.sample(source.columns, k=min(2, len(source.columns)))
            order = tuple(f"{column.name}{self._direction()}" for column in columns)
        return Generated(items, Pair.same(source.tables), where, order=order, **self._window())

    def _aggregates(self, source, where):
        items = tuple(self._aggregate(source) for _ in range(self.random.randint(1, 4)))
        return Generated(items, Pair.same(source.tables), where)

    def _groups(self, source, where):
        group = tuple(self.random.sample(source.grouping, k=self.random.randint(1, min(2, len(source.grouping)))))
        items = (*map(Pair.same, group), *(self._aggregate(source) for _ in range(self.random.randint(1, 3))))
        having = None
        if self.random.random() < 0.3:
            having = Pair.same(self.random.choice(("COUNT(*) > 3", "COUNT(*) % 2 = 1", f"{group[0]} IS NOT NULL")))
        order = (f"{self.random.randint(1, len(group))}{self._direction()}",) if self.random.random() < 0.4 else ()
        return Generated(items, Pair.same(source.tables), where, group, having, order, **self._window())

    def _distinct(self, source, where):
        items = tuple(map(Pair.same, self.random.sample(source.grouping, k=self.random.randint(1, min(2, len(source.grouping))))))
        order = (f"1{self._direction()}",) if self.random.random() < 0.4 else ()
        return Generated(items, Pair.same(source.tables), where, order=order, distinct=True, **self._window())
