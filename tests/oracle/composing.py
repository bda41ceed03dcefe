"""Random queries made of queries: joins of any kind, subqueries, set operations, window functions.

What stands inside of another query has one right answer: no LIMIT, and no sum that rounds.
"""

import dataclasses
from dataclasses import dataclass

from tests.oracle.generating import Column, Condition, Generated, Generator, Pair, Source

DEEPEST_JOIN = 3
"""Tables of a join at the most."""

SET_KINDS = ("integer", "text", "float")
"""Kinds of columns of set operations."""

SET_WORDS = ("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL")

CONSTANTS = {"integer": ("0", "3", "1000"), "text": ("''", "'a'", "'g'"), "float": ("0", "1.5", "100")}
"""What a column of a set operation is compared with, by its kind."""

SAME_KIND = {"real": "float"}
"""Kinds that are compared as another; all others as themselves."""


@dataclass(frozen=True)
class SetOperation:
    """Queries with the same kinds of columns, and the words between them; the first two may be in parentheses."""

    parts: tuple[Generated, ...]
    words: tuple[str, ...]
    parenthesised: bool = False
    order: str = ""
    kinds: tuple[str, ...] = ()
    """Of the columns."""

    @property
    def items(self):
        return ()

    @property
    def text(self):
        texts = [part.text for part in self.parts]
        whole = texts[0]
        for place, (word, text) in enumerate(zip(self.words, texts[1:], strict=True)):
            whole = Pair.joined(f" {word} ", [whole, text])
            if place == 0 and self.parenthesised:
                whole = _enclosed(whole)
        return Pair.joined("", [whole, Pair.same(self.order)])

    def smaller(self):
        """Yield queries with less in them."""
        yield from self.parts
        if self.order:
            yield dataclasses.replace(self, order="")
        if len(self.parts) > 2:
            yield dataclasses.replace(self, parts=self.parts[:2], words=self.words[:1], parenthesised=False)
            yield dataclasses.replace(self, parts=self.parts[1:], words=self.words[1:], parenthesised=False)
        for place, part in enumerate(self.parts):
            for less in part.smaller():
                if len(less.items) == len(part.items):
                    yield dataclasses.replace(self, parts=(*self.parts[:place], less, *self.parts[place + 1 :]))


def _enclosed(pair):
    return Pair(f"({pair.ours})", f"({pair.plain})")


class Composer(Generator):
    """Makes queries of queries."""

    def query(self, source=None):
        form = self.random.choice(
            ("joined", "joined", "nested", "derived", "set", "united", "lateral", "window", "chunked", "near", "named", "gathered")
        )
        return getattr(self, f"_{form}_query")() if source is None else super().query(source)

    def condition(self, source, depth):
        """Return a condition, with a subquery in it now and then."""
        if depth > 0 and self.random.random() < 0.25:
            return Condition(self._subquery(source))
        return super().condition(source, depth)

    def _chunked_query(self):
        return super().query(self.random.choice(self.sources))

    def _nested_query(self):
        source = self.random.choice(self.sources)
        where = Condition(
            word=self.random.choice(("AND", "OR")), parts=(Condition(self._subquery(source)), self.condition(source, 1))
        )
        return getattr(self, f"_{self.random.choice(('rows', 'aggregates', 'groups'))}")(source, where)

    def _joined_query(self):
        source = self._joined()
        where = self.condition(source, 2) if self.random.random() < 0.7 else None
        return getattr(self, f"_{self.random.choice(('rows', 'aggregates', 'groups', 'groups'))}")(source, where)

    def _joined(self):
        """Return two or three tables, joined along links in any direction; LEFT, RIGHT and FULL too."""
        by_alias = {_alias(source): source for source in self.sources}
        first = self.random.choice(
            [source for source in self.sources if any(_alias(source) in _aliases(link) for link in self.links)]
        )
        joined, text, columns = [_alias(first)], first.tables, first.columns
        positions, grouping = first.positions, first.grouping
        for _ in range(self.random.randint(1, DEEPEST_JOIN - 1)):
            links = [
                link
                for link in self.links
                if sum(alias in joined for alias in _aliases(link)) == 1 and _aliases(link) <= by_alias.keys()
            ]
            if not links:
                break
            link = self.random.choice(links)
            (new,) = _aliases(link) - set(joined)
            kind = self.random.choice(("JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
            source = by_alias[new]
            text = f"{text} {kind} {source.tables} ON {link[0]} = {link[1]}"
            joined.append(new)
            columns, positions, grouping = columns + source.columns, positions + source.positions, grouping + source.grouping
        return Source(text, columns, positions, grouping)

    def _subquery(self, source):
        """Return a condition on a subquery: IN, EXISTS, or a comparison with one value."""
        others = [each for each in self.sources if _alias(each) not in source.tables.split()]
        if not others:
            return self.leaf(source)
        inner = self.random.choice(others)
        where = Generator.condition(self, inner, 1)
        form = self.random.choice((self._in, self._in, self._exists, self._compared))
        return form(source, inner, where)

    def _in(self, source, inner, where):
        outer, column = self._of_one_kind(source, inner)
        word = self.random.choice(("IN", "IN", "NOT IN", "= ANY"))
        values = Generated((Pair.same(column.name),), _tables(inner), where).text
        if self.random.random() < 0.25:
            # The same table again, so that both sides are of one type.
            more = Generated((Pair.same(column.name),), _tables(inner), Generator.condition(self, inner, 1)).text
            values = Pair.joined(f" {self.random.choice(SET_WORDS)} ", [values, more])
        return Pair.joined("", [Pair.same(f"{outer.name} {word} "), _enclosed(values)])

    def _exists(self, source, inner, where):
        outer, column = self._of_one_kind(source, inner)
        linked = Condition(Pair.same(f"{column.name} = {outer.name}"))
        condition = Condition(word="AND", parts=(linked, where)) if self.random.random() < 0.8 else where
        word = self.random.choice(("EXISTS ", "NOT EXISTS "))
        return Pair.joined("", [Pair.same(word), _enclosed(Generated((Pair.same("1"),), _tables(inner), condition).text)])

    def _compared(self, source, inner, where):
        outer, column = self._of_one_kind(source, inner)
        extreme = self.random.choice(("MIN", "MAX"))
        sign = self.random.choice(("<", ">=", "=", "<>"))
        value = Generated((Pair.same(f"{extreme}({column.name})"),), _tables(inner), where)
        return Pair.joined("", [Pair.same(f"{outer.name} {sign} "), _enclosed(value.text)])

    def _of_one_kind(self, source, inner):
        """Return a column of each, of comparable values; most often those that link the two."""
        names = {column.name: column for column in (*source.columns, *inner.columns)}
        linked = [
            (names[one], names[other])
            for link in self.links
            for one, other in (link, link[::-1])
            if one in names and other in names and names[one] in source.columns and names[other] in inner.columns
        ]
        if linked and self.random.random() < 0.8:
            return self.random.choice(linked)
        pairs = [
            (one, other)
            for one in source.columns
            for other in inner.columns
            if SAME_KIND.get(one.kind, one.kind) == other.kind in {"integer", "text", "time"}
        ]
        if not pairs:
            pairs = [
                (one, other) for one in source.columns for other in inner.columns if {one.kind, other.kind} <= {"integer", "float"}
            ]
        return self.random.choice(pairs)

    def _derived_query(self):
        """Return a query over a subquery in FROM: of rows, or of groups."""
        inner = self.random.choice(self.sources)
        where = self.condition(inner, 1) if self.random.random() < 0.7 else None
        if self.random.random() < 0.5:
            chosen = self.random.sample(inner.columns, k=min(4, len(inner.columns)))
            items = [column.name for column in chosen]
            columns = [dataclasses.replace(column, name=f"d.x{place}") for place, column in enumerate(chosen)]
            query = Generated(tuple(Pair.same(f"{item} AS x{place}") for place, item in enumerate(items)), _tables(inner), where)
        else:
            key = self.random.choice(inner.grouping)
            extreme = self.random.choice(inner.columns)
            counted = Column("d.x1", "integer", ("0", "3", "50"))
            columns = [counted, dataclasses.replace(extreme, name="d.x2")] if extreme.kind != "boolean" else [counted]
            items = [f"{key} AS x0", "COUNT(*) AS x1"] + [f"MAX({extreme.name}) AS x2"] * (extreme.kind != "boolean")
            query = Generated(tuple(map(Pair.same, items)), _tables(inner), where, group=(key,))
        derived = Source("d", tuple(columns), (), (columns[0].name,))
        form = self.random.choice(("rows", "aggregates", "groups", "distinct"))
        outer_where = Generator.condition(self, derived, 1) if self.random.random() < 0.6 else None
        outer = getattr(self, f"_{form}")(derived, outer_where)
        return dataclasses.replace(outer, tables=Pair.joined("", [_enclosed(query.text), Pair.same(" AS d")]))

    def _united_query(self):
        """Return a query over a set operation in FROM."""
        united = self._set_query()
        columns = [Column(f"d.x{place}", kind, CONSTANTS[kind], summable=False) for place, kind in enumerate(united.kinds)]
        derived = Source("d", tuple(columns), (), (columns[0].name,))
        form = self.random.choice(("rows", "aggregates", "groups", "distinct"))
        where = Generator.condition(self, derived, 1) if self.random.random() < 0.6 else None
        outer = getattr(self, f"_{form}")(derived, where)
        names = ", ".join(f"x{place}" for place in range(len(columns)))
        unordered = dataclasses.replace(united, order="")
        return dataclasses.replace(outer, tables=Pair.joined("", [_enclosed(unordered.text), Pair.same(f" AS d ({names})")]))

    def _lateral_query(self):
        """Return rows of a table, each with rows or aggregates of another one that depend on it."""
        source = self.random.choice(self.sources)
        others = [each for each in self.sources if _alias(each) not in source.tables.split()]
        if not others:
            return self._chunked_query()
        inner = self.random.choice(others)
        outer, column = self._of_one_kind(source, inner)
        value = self.random.choice([each for each in inner.columns if each.kind != "boolean"])
        linked = Condition(Pair.same(f"{column.name} {self.random.choice(('=', '=', '=', '<'))} {outer.name}"))
        where = Condition(word="AND", parts=(linked, Generator.condition(self, inner, 1)))
        forms = (
            (f"{column.name} AS x0", f"{value.name} AS x1"),
            ("COUNT(*) AS x0", f"MAX({value.name}) AS x1"),
            (f"MIN({column.name}) AS x0", f"MAX(DISTINCT {value.name}) AS x1"),
        )
        chosen = self.random.randrange(len(forms))
        lateral = Generated(tuple(map(Pair.same, forms[chosen])), _tables(inner), where)
        first = Column("d.x0", "integer", ("0", "2")) if chosen == 1 else dataclasses.replace(column, name="d.x0")
        columns = (first, dataclasses.replace(value, name="d.x1"))
        joined = Source("", source.columns + columns, source.positions, source.grouping)
        outer_where = Generator.condition(self, joined, 1) if self.random.random() < 0.6 else None
        query = getattr(self, f"_{self.random.choice(('rows', 'aggregates', 'groups'))}")(joined, outer_where)
        head, tail = self.random.choice(
            ((", LATERAL ", " AS d"), (" CROSS JOIN LATERAL ", " AS d"), (" LEFT JOIN LATERAL ", " AS d ON TRUE"))
        )
        tables = Pair.joined("", [Pair.same(source.tables + head), _enclosed(lateral.text), Pair.same(tail)])
        return dataclasses.replace(query, tables=tables)

    def _value(self, source):
        """Return a value, which is of another table now and then."""
        others = [each for each in self.sources if _alias(each) not in source.tables.split()]
        if not others or source.tables in {"", "d"} or self.random.random() < 0.85:
            return super()._value(source)
        inner = self.random.choice(others)
        outer, column = self._of_one_kind(source, inner)
        sign = self.random.choice(("<", ">=", "<>"))
        linked = f"{column.name} = {outer.name}"
        if self.random.random() < 0.3:
            other_outer, other_column = self._of_one_kind(source, inner)
            linked = f"{linked} AND {other_column.name} {sign} {other_outer.name}"
        where = Condition(word="AND", parts=(Condition(Pair.same(linked)), Generator.condition(self, inner, 1)))
        value = self.random.choice([each for each in inner.columns if each.kind != "boolean"])
        item = self.random.choice(("COUNT(*)", "MIN({0})", "MAX({0})", "COUNT({0}) + 1", "COUNT(DISTINCT {0})"))
        if self.random.random() < 0.2:
            text = Generated((Pair.same(value.name),), _tables(inner), where, order=(value.name,)).text
            return Pair(f"ARRAY({text.ours})", f"ARRAY({text.plain})")
        # Values that are equal only once they are rounded are several groups.
        group = (column.name,) if outer.kind == column.kind and self.random.random() < 0.3 else ()
        having = self.random.choice(("COUNT(*) > 2", "COUNT({0}) = 0", "MIN({0}) <> MAX({0})")).format(value.name)
        query = Generated((Pair.same(item.format(value.name)),), _tables(inner), where, group, distinct=self.random.random() < 0.2)
        return _enclosed((query if self.random.random() < 0.7 else dataclasses.replace(query, having=Pair.same(having))).text)

    def _near_query(self):
        """Return neighbours of rows of one table, or of two; within the overlap and beyond it."""
        one, other = (self.random.choice([source for source in self.sources if source.positions]) for _ in range(2))
        if one == other:
            other = _renamed(one)
        (ra, dec), (other_ra, other_dec) = self.random.choice(one.positions), self.random.choice(other.positions)
        radius = self.random.choice(self.radii)
        near = Pair(
            f"DISTANCE({ra}, {dec}, {other_ra}, {other_dec}) < {radius}",
            f"{other_dec} BETWEEN {dec} - {radius} AND {dec} + {radius} AND sep({ra}, {dec}, {other_ra}, {other_dec}) < {radius}",
        )
        kind = self.random.choice(("JOIN", "JOIN", "LEFT JOIN"))
        joined = Source("", one.columns + other.columns, one.positions, one.grouping)
        where = self.condition(joined, 1) if self.random.random() < 0.7 else None
        query = getattr(self, f"_{self.random.choice(('rows', 'aggregates', 'groups'))}")(joined, where)
        tables = Pair.joined("", [Pair.same(f"{one.tables} {kind} {other.tables} ON "), near])
        return dataclasses.replace(query, tables=tables)

    def _named_query(self):
        """Return a query of which a part is named by WITH, and read once or twice."""
        inner = self.random.choice(self.sources)
        key, others = inner.columns[0], [each for each in inner.columns[1:] if each.kind != "boolean"]
        value = self.random.choice(others or [key])
        body = Generated(
            (Pair.same(f"{key.name} AS x0"), Pair.same(f"{value.name} AS x1")), _tables(inner), self.condition(inner, 2)
        )
        head = Pair.joined("", [Pair.same("WITH w AS "), _enclosed(body.text), Pair.same(" ")])
        columns = (dataclasses.replace(key, name="d.x0"), dataclasses.replace(value, name="d.x1"))
        twice = " JOIN w AS e ON e.x0 = d.x0" if self.random.random() < 0.5 else ""
        derived = Source(f"w AS d{twice}", columns, (), ("d.x1",))
        form = self.random.choice(("rows", "aggregates", "groups", "distinct"))
        where = Generator.condition(self, derived, 1) if self.random.random() < 0.5 else None
        return dataclasses.replace(getattr(self, f"_{form}")(derived, where), head=head)

    def _gathered_query(self):
        """Return aggregates that partial sums do not give, over all rows or by group."""
        source = self._joined() if self.random.random() < 0.3 else self.random.choice(self.sources)
        group = tuple(self.random.sample(source.grouping, k=self.random.randint(0, 1)))
        items = tuple(Pair.same(self._gathered(source)) for _ in range(self.random.randint(1, 3)))
        where = self.condition(source, 1) if self.random.random() < 0.7 else None
        query = Generated((*map(Pair.same, group), *items), _tables(source), where, group=group)
        if group and self.random.random() < 0.3:
            sets = self.random.choice(("ROLLUP ({})", "CUBE ({})", "GROUPING SETS (({}), ())")).format(group[0])
            query = dataclasses.replace(query, group=(sets,))
        return query

    def _gathered(self, source):
        column = self.random.choice([each for each in source.columns if each.kind != "boolean"])
        forms = ["COUNT(DISTINCT {})", "MIN({0}) FILTER (WHERE {0} IS NOT NULL)", "COUNT(*) FILTER (WHERE {} IS NULL)", "COUNT(*)"]
        forms += ["PERCENTILE_DISC(0.3) WITHIN GROUP (ORDER BY {})", "ARRAY_LENGTH(ARRAY_AGG({}), 1)", "MAX(DISTINCT {})"]
        forms += ["ARRAY_AGG({0} ORDER BY {0})", "ARRAY_AGG(DISTINCT {0} ORDER BY {0} DESC NULLS LAST)"]
        if column.kind == "text":
            forms.append("LENGTH(STRING_AGG({}, ','))")
            forms.append("STRING_AGG(DISTINCT {0}, ',' ORDER BY {0})")
        if column.kind == "integer" and column.summable:
            forms += ["SUM(DISTINCT {})", "PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY {})", "BIT_OR({})", "BOOL_AND({} > 3)"]
        return self.random.choice(forms).format(column.name)

    def _set_query(self):
        # Those of one table, so that there is one at least which has them all.
        known = {column.kind for column in self.random.choice(self.sources).columns}
        kinds = [self.random.choice([kind for kind in SET_KINDS if kind in known]) for _ in range(self.random.randint(1, 2))]
        parts = tuple(self._of_kinds(kinds) for _ in range(self.random.choice((2, 2, 3))))
        chosen = tuple(self.random.choice(SET_WORDS) for _ in parts[1:])
        order = f" ORDER BY 1{self._direction()}" if self.random.random() < 0.3 else ""
        parenthesised = len(parts) > 2 and self.random.random() < 0.5
        return SetOperation(parts, chosen, parenthesised=parenthesised, order=order, kinds=tuple(kinds))

    def _of_kinds(self, kinds):
        fitting = [source for source in self.sources if {column.kind for column in source.columns} >= set(kinds)]
        source = self.random.choice(fitting)
        items = tuple(
            Pair.same(self.random.choice([column.name for column in source.columns if column.kind == kind])) for kind in kinds
        )
        return Generated(items, _tables(source), self.condition(source, 1) if self.random.random() < 0.8 else None)

    def _window_query(self):
        """Return rows with window functions; what they order by tells all rows apart."""
        source = self.random.choice(self.sources)
        key = source.columns[0].name
        others = [column.name for column in source.columns[1:]]
        items = [Pair.same(key)]
        for _ in range(self.random.randint(1, 2)):
            partition = self.random.choice(("", f"PARTITION BY {self.random.choice((*source.grouping, *others))} "))
            column = self.random.choice([each for each in source.columns if each.kind != "boolean"])
            # Every column, so that only rows that are equal in all of them are tied.
            every = ", ".join(each.name for each in source.columns)
            order = f"ORDER BY {column.name}{self._direction()}, {every}"
            function = self.random.choice(
                ("ROW_NUMBER()", "RANK()", f"LAG({column.name})", f"LEAD({column.name}, 2)", "NTILE(3)", "COUNT(*)")
            )
            whole = self.random.choice((f"MIN({column.name})", f"MAX({column.name})", "COUNT(*)"))
            text = f"{function} OVER ({partition}{order})" if self.random.random() < 0.7 else f"{whole} OVER ({partition.strip()})"
            items.append(Pair.same(text))
        where = self.condition(source, 1) if self.random.random() < 0.7 else None
        return Generated(tuple(items), _tables(source), where)


def _renamed(source):
    """Return the same table under another alias."""
    table, alias = source.tables.split()
    again = tuple(dataclasses.replace(column, name=column.name.replace(f"{alias}.", "z.", 1)) for column in source.columns)
    positions = tuple((ra.replace(f"{alias}.", "z."), dec.replace(f"{alias}.", "z.")) for ra, dec in source.positions)
    return Source(f"{table} z", again, positions, ())


def _tables(source):
    return Pair.same(source.tables)


def _alias(source):
    return source.tables.split()[-1]


def _aliases(link):
    return {column.split(".")[0] for column in link}
