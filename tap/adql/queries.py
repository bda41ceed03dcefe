"""Queries (ADQL 2.1, appendix A, ``query_specification``)."""

from sqlglot import exp

from qserv.errors import QuerySyntaxError
from tap.adql.conditions import Conditions
from tap.adql.tokens import Kind

SET_OPERATIONS: dict[str, type[exp.SetOperation]] = {"UNION": exp.Union, "EXCEPT": exp.Except, "INTERSECT": exp.Intersect}
"""Set operations of ADQL; INTERSECT binds closest."""

JOIN_WORDS = frozenset({"NATURAL", "INNER", "LEFT", "RIGHT", "FULL", "JOIN"})
"""Words that a join begins with."""


class Queries(Conditions):
    """Reads whole queries."""

    def statement(self) -> exp.Query:
        """Read the one query of the text.

        Raises
        ------
        QuerySyntaxError
            The text is not one query of ADQL.
        """
        if not (self.at("SELECT") or self.at("WITH") or self.at("(")):
            self.fail("SELECT")
        query = self.query()
        self.accept(";")
        if self.token.kind is not Kind.END:
            self.fail(self.continuation(query))
        return query

    def continuation(self, query: exp.Query) -> str:
        """Say what could stand behind a query."""
        if isinstance(query, exp.Select) and not any(query.args.get(clause) for clause in ("where", "group", "order", "offset")):
            return "',', a join, WHERE, GROUP BY, ORDER BY, OFFSET or the end of the query"
        return "the end of the query"

    def query(self) -> exp.Query:
        """Read a query with what comes before (WITH) and behind it (ORDER BY, OFFSET)."""
        with_ = self.with_clause()
        query = self.set_expression()
        if with_:
            query.set("with_", with_)
        order = self.order_by()
        if order:
            query.set("order", order)
        if self.accept("OFFSET"):
            query.set("offset", exp.Offset(expression=self.unsigned_integer("a number of rows")))
        return query

    def with_clause(self) -> exp.With | None:
        """Read common table expressions."""
        if not self.accept("WITH"):
            return None
        tables = []
        while True:
            alias = exp.TableAlias(this=self.name("name of a query"))
            self.expect("AS")
            tables.append(exp.CTE(this=self.subquery(), alias=alias))
            if not self.accept(","):
                return exp.With(expressions=tables)

    def set_expression(self) -> exp.Query:
        """Read queries joined by UNION and EXCEPT."""
        query = self.set_term()
        while self.at("UNION") or self.at("EXCEPT"):
            query = self.set_operation(query, self.advance().key)
        return query

    def set_term(self) -> exp.Query:
        """Read queries joined by INTERSECT."""
        query = self.set_primary()
        while self.at("INTERSECT"):
            query = self.set_operation(query, self.advance().key)
        return query

    def set_operation(self, left: exp.Query, operator: str) -> exp.Query:
        """Read the right side of a set operation."""
        distinct = self.accept("ALL") is None
        right = self.set_primary() if operator == "INTERSECT" else self.set_term()
        if isinstance(right, exp.SetOperation):
            right = exp.Subquery(this=right)  # so that the printed text keeps the precedence, as sqlglot does
        return SET_OPERATIONS[operator](this=left, expression=right, distinct=distinct)

    def set_primary(self) -> exp.Query:
        """Read a SELECT, or a query in parentheses."""
        return exp.Subquery(this=self.subquery()) if self.at("(") else self.select()

    def subquery(self) -> exp.Query:
        """Read a query in parentheses."""
        self.enter()
        self.expect("(")
        if not (self.at("SELECT") or self.at("WITH") or self.at("(")):
            self.fail("SELECT")
        query = self.query()
        self.expect(")")
        self.leave()
        return query

    # -- SELECT -------------------------------------------------------------------------------------------------------------------

    def select(self) -> exp.Select:
        """Read SELECT up to HAVING."""
        self.expect("SELECT")
        distinct = self.accept("DISTINCT")
        if not distinct:
            self.accept("ALL")
        limit = exp.Limit(expression=self.unsigned_integer("a number of rows")) if self.accept("TOP") else None
        select = exp.Select(expressions=self.select_list())
        if distinct:
            select.set("distinct", exp.Distinct())
        if limit:
            select.set("limit", limit)
        if not self.at("FROM"):
            self.fail("',' or FROM")
        self.advance()
        source, joins = self.table_reference()
        while self.accept(","):
            further, further_joins = self.table_reference()
            joins += [exp.Join(this=further), *further_joins]
        select.set("from_", exp.From(this=source))
        if joins:
            select.set("joins", joins)
        if self.accept("WHERE"):
            select.set("where", exp.Where(this=self.condition()))
        if self.accept("GROUP"):
            self.expect("BY")
            select.set("group", exp.Group(expressions=self.values()))
        if self.accept("HAVING"):
            select.set("having", exp.Having(this=self.condition()))
        return select

    def values(self) -> list[exp.Expr]:
        """Read values with commas between them."""
        values: list[exp.Expr] = [self.value()]
        while self.accept(","):
            values.append(self.value())
        return values

    def select_list(self) -> list[exp.Expr]:
        """Read what is selected."""
        if self.accept("*"):
            return [exp.Star()]
        items = [self.select_item()]
        while self.accept(","):
            items.append(self.select_item())
        return items

    def select_item(self) -> exp.Expr:
        """Read a value with its name, or all columns of a table."""
        if self.at_name():
            star = self.all_columns()
            if star:
                return star
        value = self.value()
        if self.accept("AS") or self.at_name():
            return exp.Alias(this=value, alias=self.name("column"))
        return value

    def all_columns(self) -> exp.Column | None:
        """Read ``table.*``, or nothing if that is not what stands here."""
        index = self.index
        while self.tokens[index].kind in {Kind.WORD, Kind.DELIMITED} and self.tokens[index + 1].key == ".":
            index += 2
        if index == self.index or self.tokens[index].key != "*" or self.tokens[index].kind is not Kind.SYMBOL:
            return None
        parts = [self.name("table")]
        while self.accept("."):
            if self.accept("*"):
                break
            parts.append(self.name("table"))
        names = dict(zip(("table", "db", "catalog"), reversed(parts), strict=False))
        return exp.Column(this=exp.Star(), **names)

    def order_by(self) -> exp.Order | None:
        """Read ORDER BY. NULL sorts as PostgreSQL sorts it: last when ascending, first when descending."""
        if not self.accept("ORDER"):
            return None
        self.expect("BY")
        terms = [self.order_term()]
        while self.accept(","):
            terms.append(self.order_term())
        return exp.Order(expressions=terms)

    def order_term(self) -> exp.Ordered:
        """Read a value and its direction."""
        value = self.value()
        if self.accept("DESC"):
            return exp.Ordered(this=value, desc=True, nulls_first=True)
        direction = {"desc": False} if self.accept("ASC") else {}
        return exp.Ordered(this=value, nulls_first=False, **direction)

    # -- FROM ---------------------------------------------------------------------------------------------------------------------

    def table_reference(self) -> tuple[exp.Expression, list[exp.Join]]:
        """Read a table and the joins behind it."""
        source = self.table_primary()
        joins = []
        while self.token.kind is Kind.WORD and self.token.key in JOIN_WORDS:
            joins.append(self.join())
        return source, joins

    def join(self) -> exp.Join:
        """Read one join."""
        start = self.token
        words: dict[str, object] = {}
        if self.accept("NATURAL"):
            words["method"] = "NATURAL"
        if self.accept("INNER"):
            words["kind"] = "INNER"
        elif self.at("LEFT") or self.at("RIGHT") or self.at("FULL"):
            words["side"] = self.advance().key
            if self.accept("OUTER"):
                words["kind"] = "OUTER"
        self.expect("JOIN")
        join = exp.Join(this=self.table_primary(), **words)
        if self.accept("ON"):
            join.set("on", self.condition())
        elif self.accept("USING"):
            self.expect("(")
            names = [self.name("column")]
            while self.accept(","):
                names.append(self.name("column"))
            self.expect(")")
            join.set("using", names)
        elif "method" not in words:
            self.fail("ON or USING")
        if "method" in words and (join.args.get("on") or join.args.get("using")):
            msg = "a NATURAL JOIN has neither ON nor USING"
            raise QuerySyntaxError(msg, self.source.place(start.start))
        return join

    def table_primary(self) -> exp.Expression:
        """Read a table, a subquery or joins in parentheses."""
        if not self.at("("):
            return self.table()
        ahead = self.ahead()
        if ahead.kind is Kind.WORD and ahead.key in {"SELECT", "WITH"}:
            query = exp.Subquery(this=self.subquery())
            self.accept("AS")
            query.set("alias", exp.TableAlias(this=self.name("name of the subquery")))
            return query
        self.enter()
        self.expect("(")
        source, joins = self.table_reference()
        if joins:
            source.set("joins", joins)
        self.expect(")")
        self.leave()
        return exp.Subquery(this=source)

    def table(self) -> exp.Table:
        """Read a table's name, qualified or not, and its alias."""
        parts = [self.name("table")]
        while self.accept("."):
            if len(parts) == len(TABLE_PARTS):
                self.fail("the end of the table's name")
            parts.append(self.name("table"))
        table = exp.Table(**dict(zip(TABLE_PARTS, reversed(parts), strict=False)))
        if self.accept("AS") or self.at_name():
            table.set("alias", exp.TableAlias(this=self.name("name of the table")))
        return table


TABLE_PARTS = ("this", "db", "catalog")
"""Arguments of sqlglot's table node, from the last part of a name to the first."""
