"""FROM -> the relations that names can mean: tables, subqueries, CTEs, functions; USING and NATURAL spelled out as ON."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from czar.analyse.kept_relations import table_relation
from czar.analyse.nesting import body, joins, optional
from czar.analyse.query import Output
from czar.analyse.scope import Relation, Scope, qualified, same_name
from czar.catalogue import nearest
from czar.dialects.calls import function_name
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, QueryError, UnknownNameError

if TYPE_CHECKING:
    from czar.analyse.resolve import CommonTable, Names


@dataclass(frozen=True)
class FromClause:
    """Resolves the FROM of one SELECT, in place. ``tables`` are the CTEs that it can name."""

    names: "Names"
    tables: "dict[str, CommonTable]"

    def resolved(self, tree: exp.Select, outer: Scope) -> Scope:
        """Return the scope of the SELECT.

        Raises
        ------
        UnknownNameError
            A table or a column of USING is not there.
        QueryError
            Two relations have one name, or a join has no condition.
        """
        scope = Scope(self.names.text, outer=outer)
        from_ = tree.args.get("from_")
        if from_ is None:
            return scope
        _without_parentheses(tree)
        scope = self._joined(scope, from_.this, outer)
        for join in joins(tree):
            left = scope
            scope = self._joined(scope, join.this, outer)
            scope = self._with_condition(join, left, scope)
        optional_aliases = optional(tree)
        for index, source in enumerate(self.names.sources):
            if source.alias in optional_aliases:
                self.names.sources[index] = replace(source, outer=True)
        return scope

    def _joined(self, scope: Scope, node: exp.Expr, outer: Scope) -> Scope:
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            return self._parenthesised(node, scope, outer)
        relation = self._relation(node, scope, outer)
        if any(relation.written.lower() == other.written.lower() for other in scope.relations):
            msg = f"two tables of FROM are called {relation.written}; give one of them an alias"
            raise QueryError(msg, place_of(node, self.names.text))
        shown = [(relation, output) for output in relation.outputs]
        return replace(scope, relations=(*scope.relations, relation), shown=(*scope.shown, *shown))

    def _parenthesised(self, node: exp.Subquery, scope: Scope, outer: Scope) -> Scope:
        """Turn ``(a JOIN b ON ...)`` into a subquery that shows all columns of both; their names still mean them."""
        table = node.this
        inner = exp.Select(
            from_=exp.From(this=table), joins=[*(table.args.pop("joins", None) or []), *(node.args.get("joins") or [])]
        )
        node.set("joins", None)
        node.set("this", inner)
        inside = self.resolved(inner, outer)
        inner.set(
            "expressions",
            [
                exp.alias_(relation.qualified(column), exp.to_identifier(f"{relation.alias}.{column}", quoted=True))
                for relation in inside.relations
                for column in relation.columns
            ],
        )
        written = node.alias
        alias = self._named(node, written or "joined")
        names = {(relation.alias, relation.prefix): f"{relation.alias}.{relation.prefix}" for relation in inside.relations}
        relations = [
            replace(each, alias=alias, prefix=names[each.alias, each.prefix], written=written or each.written)
            for each in inside.relations
        ]

        def outside(part: exp.Expr) -> exp.Expr:
            return qualified(alias, f"{part.table}.{part.name}") if isinstance(part, exp.Column) else part

        shown = [(part.transform(outside), output) for part, output in inside.star()]
        merged = {name: part.copy().transform(outside) for name, part in inside.merged.items()}
        return replace(
            scope,
            relations=(*scope.relations, *relations),
            shown=(*scope.shown, *shown),
            merged={**scope.merged, **merged},
        )

    def _relation(self, node: exp.Expr, scope: Scope, outer: Scope) -> Relation:
        match node:
            case exp.Lateral(this=exp.Subquery() as inside):
                if isinstance(body(inside), exp.Values):
                    columns = (node.args.get("alias") or exp.TableAlias()).args.get("columns")
                    values = exp.TableAlias(this=exp.to_identifier("rows"), columns=columns)
                    body(inside).set("alias", values)
                    inside.set("this", exp.select("*").from_(body(inside), copy=False))
                return self._subquery(node, inside, scope)
            case exp.Subquery():
                return self._subquery(node, node, outer)
            case exp.Values():
                return self._values(node, outer)
            case exp.Table() if isinstance(node.this, exp.Identifier):
                return self._table(node, outer)
            case exp.Table(this=exp.Func()) | exp.Unnest() | exp.Lateral(this=exp.Func()):
                return self._function(node, scope)
        msg = f"not yet supported: {node.sql('postgres')[:60]} in FROM"
        raise NotYetSupportedError(msg, place_of(node, self.names.text))

    def _table(self, node: exp.Table, outer: Scope) -> Relation:
        place = place_of(node, self.names.text)
        if node.args.get("joins") or node.args.get("pivots"):
            msg = "not yet supported: PIVOT"
            raise NotYetSupportedError(msg, place)
        if node.args.get("catalog"):
            msg = f"a table is named database.table; {node.sql('postgres')} has three parts"
            raise QueryError(msg, place)
        common = None if node.db else self.tables.get(node.name.lower())
        if common is not None:
            return self._common_table(node, common, outer)
        if node.args.get("alias") and node.args["alias"].args.get("columns"):
            alias = node.args["alias"].pop()
            inside = exp.select("*").from_(node.copy())
            subquery = exp.Subquery(this=inside, alias=alias)
            node.replace(subquery)
            return self._subquery(subquery, subquery, outer)
        entry = self.names.catalogue.find(node.db or None, node.name, quoted=bool(node.this.args.get("quoted")), place=place)
        written = node.alias or entry.table.name
        alias = self._named(node, written)
        source, relation = table_relation(self.names.catalogue, entry, alias, written, node.db or entry.database)
        self.names.sources.append(source)
        return relation

    def _common_table(self, node: exp.Table, common: "CommonTable", outer: Scope) -> Relation:
        """Put the query of a CTE in the place of its name."""
        if common.rows is not None:
            written = node.alias or node.name
            return Relation(self._named(node, written), written, common.rows)
        columns = common.node.args["alias"].args.get("columns")
        alias = node.args.get("alias") or exp.TableAlias(this=node.this.copy())
        if columns and not alias.args.get("columns"):
            alias.set("columns", [column.copy() for column in columns])
        subquery = exp.Subquery(this=common.node.this.copy(), alias=alias)
        subquery.meta["cte"] = common.node.meta["number"]
        node.replace(subquery)
        while outer.outer is not None:  # a CTE is no part of the query that names it: it sees nothing of that
            outer = outer.outer
        inside = type(self)(self.names, common.before)
        if names_itself(common.node):
            return inside._recursive(subquery, common, outer)  # noqa: SLF001 (of the same class)
        return inside._subquery(subquery, subquery, outer)  # noqa: SLF001 (of the same class)

    def _subquery(self, node: exp.Expr, inside: exp.Subquery, outer: Scope) -> Relation:
        alias = node.args.get("alias")
        values = body(inside)
        if isinstance(values, exp.Values):
            values.set("alias", alias)
            node.replace(values)
            return self._values(values, outer)
        written = node.alias or "subquery"
        outputs = self.names.inner(inside.this, outer, self.tables)
        columns = alias.args.get("columns") if alias else None
        if columns:
            outputs = _renamed(inside, outputs, [column.name for column in columns])
        unique = self._named(node, written)
        return Relation(unique, written, tuple(outputs))

    def _recursive(self, node: exp.Subquery, common: "CommonTable", outer: Scope) -> Relation:
        """A CTE that names itself stays one, in the subquery that reads it."""
        union = body(node)
        if not isinstance(union, exp.Union):
            msg = f"WITH RECURSIVE {common.node.alias} must be a UNION of its first rows with those that follow from them"
            raise QueryError(msg, place_of(node, self.names.text))
        outputs = self.names.inner(union.this, outer, self.tables)
        given = [column.name for column in node.args["alias"].args.get("columns") or []]
        names = [*given, *(output.name for output in outputs[len(given) :])]
        rows = tuple(Output(name) for name in names)
        name = self.names.alias(common.node.alias)
        tables = {**self.tables, common.node.alias.lower(): replace(common, rows=rows)}
        for table in union.expression.find_all(exp.Table):
            if table.name.lower() == common.node.alias.lower() and not table.db:
                table.set("alias", table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name)))
                table.set("this", exp.to_identifier(common.node.alias))
        self.names.inner(union.expression, outer, tables)
        for table in union.expression.find_all(exp.Table):
            if table.name.lower() == common.node.alias.lower() and table.alias not in {s.alias for s in self.names.sources}:
                table.set("this", exp.to_identifier(name, quoted=True))
        columns = [exp.to_identifier(column, quoted=True) for column in names]
        identifier = exp.to_identifier(name, quoted=True)
        with_ = exp.With(
            expressions=[exp.CTE(this=union, alias=exp.TableAlias(this=identifier, columns=columns))],
            recursive=True,
        )
        table = exp.Table(this=identifier.copy(), alias=exp.TableAlias(this=identifier.copy()))
        items = [exp.alias_(qualified(name, column), exp.to_identifier(column, quoted=True)) for column in names]
        node.set("this", exp.Select(expressions=items, from_=exp.From(this=table), with_=with_))
        written = node.alias
        return Relation(self._named(node, written), written, rows)

    def _values(self, node: exp.Values, outer: Scope) -> Relation:
        rows = node.expressions
        for row in rows:
            self.names.expression(row, outer, self.tables)
        if len({len(row.expressions) for row in rows}) != 1:
            msg = "the rows of VALUES must all have as many values"
            raise QueryError(msg, place_of(node, self.names.text))
        alias = node.args.get("alias")
        written = alias.name if alias else "values"
        given = [column.name for column in alias.args.get("columns") or []] if alias else []
        columns = [*given, *(f"column{index + 1}" for index in range(len(given), len(rows[0].expressions)))]
        unique = self._named(node, written, columns)
        return Relation(unique, written, tuple(Output(name) for name in columns))

    def _function(self, node: exp.Expr, scope: Scope) -> Relation:
        """A function in FROM; it can name the tables before it. Its columns are one for each array, and WITH ORDINALITY's."""
        call = node.this if isinstance(node, exp.Table | exp.Lateral) else node
        for part in [call] if call is not node else node.expressions:
            self.names.expression(part, scope, self.tables)
        alias = node.args.get("alias")
        function = function_name(call)
        written = alias.name if alias and alias.name else function
        given = [column.name for column in alias.args.get("columns") or []] if alias else []
        arguments = len(call.expressions) if isinstance(call, exp.Unnest) else 1
        made = [written] if arguments == 1 else [f"{function}_{index + 1}" for index in range(arguments)]
        place = call.args.get("offset") if isinstance(call, exp.Unnest) else node.args.get("ordinality")
        if place:
            made.append("ordinality")
        if isinstance(place, exp.Expr):  # sqlglot keeps the last name apart
            given.append(place.name)
            call.args["offset"] = True
        columns = [*given, *made[len(given) :]]
        unique = self._named(node, written, columns)
        return Relation(unique, written, tuple(Output(name) for name in columns))

    def _named(self, node: exp.Expr, written: str, columns: list[str] | None = None) -> str:
        """Give a relation an alias that no other one of the query has."""
        unique = self.names.alias(written)
        identifiers = [exp.to_identifier(name, quoted=True) for name in columns or []]
        node.set("alias", exp.TableAlias(this=exp.to_identifier(unique, quoted=True), columns=identifiers or None))
        return unique

    def _with_condition(self, join: exp.Join, left: Scope, scope: Scope) -> Scope:
        using = join.args.pop("using", None)
        added = scope.relations[-1]
        if join.method == "NATURAL":
            using = [exp.to_identifier(name, quoted=True) for name in _common_names(left, added)]
            join.set("method", None)
            if not using and not join.side:
                join.set("kind", "CROSS")
        if using:
            return self._merged(join, [exp.column(name) for name in using], left, scope)
        if join.args.get("on"):
            join.set("on", self.names.expression(join.args["on"], scope, self.tables))
        elif join.side:
            msg = f"{join.side} JOIN {added.written} needs ON or USING"
            raise QueryError(msg, place_of(join, self.names.text))
        return scope

    def _merged(self, join: exp.Join, using: list[exp.Column], left: Scope, scope: Scope) -> Scope:
        """Turn ``USING (a, b)`` into ON: the column of the relations before equals that of the joined one, and they are one."""
        added = scope.relations[-1]
        merged, shown, conditions = dict(left.merged), [], []
        for column in using:
            pair = []
            name, quoted = column.name, bool(column.this.args.get("quoted"))
            for side in (left, Scope(self.names.text, (added,))):
                columns = [known for relation in side.relations for known in relation.columns]
                if not any(same_name(known, name, quoted=quoted) for known in columns):
                    msg = f"unknown column {name} in USING{nearest(name, columns)}"
                    raise UnknownNameError(msg, place_of(column, self.names.text))
                pair.append(replace(side, outer=None).column(column))
            conditions.append(exp.EQ(this=pair[0].copy(), expression=pair[1].copy()))
            one = {"RIGHT": pair[1], "FULL": exp.Coalesce(this=pair[0], expressions=[pair[1]])}.get(join.side, pair[0])
            merged[name.lower()] = one
            shows = next((output for _, output in left.shown if output.name.lower() == name.lower()), Output(name))
            shown.append((one, shows if join.side != "FULL" else Output(shows.name)))
        join.set("on", exp.and_(*conditions))
        rest = [(node, output) for node, output in scope.shown if output.name.lower() not in merged_names(using)]
        return replace(scope, merged=merged, shown=(*shown, *rest))


def merged_names(using: list[exp.Column]) -> set[str]:
    """Return the names of USING in lower case."""
    return {column.name.lower() for column in using}


def _common_names(left: Scope, added: Relation) -> list[str]:
    """Return the columns that NATURAL joins by: those that both sides show."""
    new = {output.name for output in added.outputs}
    return list(dict.fromkeys(output.name for _, output in left.shown if output.name in new))


def _renamed(inside: exp.Subquery, outputs: list[Output], names: list[str]) -> list[Output]:
    """Give the first columns of a subquery the names of its alias, as in ``AS t(a, b)``."""
    if len(names) > len(outputs):
        msg = f"a subquery of {len(outputs)} columns is given {len(names)} column names"
        raise QueryError(msg)
    first = body(inside)
    while isinstance(first, exp.SetOperation):
        first = body(first.this)
    for item, name in zip(first.expressions, names, strict=False):
        item.set("alias", exp.to_identifier(name, quoted=True))
    renamed = [replace(output, name=name) for output, name in zip(outputs, names, strict=False)]
    return [*renamed, *outputs[len(names) :]]


def _without_parentheses(tree: exp.Select) -> None:
    """Take the parentheses off ``FROM (a JOIN b ON ...) JOIN c``: joins are read from the left anyway."""
    first = tree.args["from_"].this
    if isinstance(first, exp.Subquery) and isinstance(first.this, exp.Table) and not first.alias:
        table = first.this
        inner = table.args.pop("joins", None) or []
        tree.args["from_"].set("this", table)
        tree.set("joins", [*inner, *(first.args.get("joins") or []), *joins(tree)])


def names_itself(node: exp.CTE) -> bool:
    """Whether a CTE is recursive."""
    tables = node.this.find_all(exp.Table)
    return not node.meta.get("plain") and any(table.name.lower() == node.alias.lower() and not table.db for table in tables)
