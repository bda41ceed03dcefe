"""Which column a name means: one scope a SELECT, looked up from the inside out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sqlglot import exp

from czar.analyse.query import Output
from czar.catalogue import nearest
from czar.parse import place_of
from qserv.errors import NotYetSupportedError, Place, QueryError, UnknownNameError
from schema.physical import quote


@dataclass(frozen=True, eq=False)
class Relation:
    """A table, subquery or function of FROM, as names see it. Two relations of a query have different aliases."""

    alias: str
    written: str
    """What the user calls it."""
    outputs: tuple[Output, ...]
    databases: tuple[str, ...] = ()
    """Names of its database, in lower case: its own, and the one that the user calls it by."""
    hidden: tuple[str, ...] = ()
    """Columns that ``*`` leaves out."""
    prefix: str = ""
    """What comes before the names of its columns, where several relations are joined in parentheses."""

    @cached_property
    def columns(self) -> list[str]:
        """Names of all columns, the hidden ones last."""
        return [*(output.name for output in self.outputs), *self.hidden]

    @cached_property
    def _spellings(self) -> dict[str, list[str]]:
        """The columns by their names in lower case."""
        found: dict[str, list[str]] = {}
        for name in self.columns:
            found.setdefault(name.lower(), []).append(name)
        return found

    def called(self, written: str, *, quoted: bool) -> list[str]:
        """Return the columns that a written identifier means."""
        return [name for name in self._spellings.get(written.lower(), ()) if same_name(name, written, quoted=quoted)]

    @cached_property
    def _shows(self) -> dict[str, Output]:
        """The outputs by name; of two with one name, the first."""
        return {output.name: output for output in reversed(self.outputs)}

    @cached_property
    def numbered(self) -> str:
        """What ``*`` shows of the relation, as SQL."""
        return numbered((self.alias, self.prefix + output.name) for output in self.outputs)

    def qualified(self, column: str) -> exp.Column:
        """Return a column under the alias that it has in the tree."""
        return qualified(self.alias, self.prefix + column)

    def output(self, column: str) -> Output:
        """Return what a column shows."""
        return self._shows.get(column) or Output(column)

    def named(self, node: exp.Column) -> bool:
        """Whether a column may be one of this relation, by the table that it names."""
        if not node.table:
            return True
        if node.db and node.db.lower() not in self.databases:
            return False
        return same_name(self.written, node.table, quoted=bool(node.args["table"].args.get("quoted")))


@dataclass(frozen=True, eq=False)
class Scope:
    """The relations that the parts of one SELECT can name."""

    text: str
    relations: tuple[Relation, ...] = ()
    outer: "Scope | None" = None
    """Of the query around a subquery: a name that is unknown inside is looked up there."""
    merged: dict[str, exp.Expr] = field(default_factory=dict)
    """Columns that USING made one of two, by their names in lower case."""
    shown: tuple[tuple[Relation | exp.Expr, Output], ...] = ()
    """The columns that ``*`` stands for: whose each is, or what it is computed from. As in PostgreSQL those of each USING come
    first, once."""

    def star(self) -> list[tuple[exp.Expr, Output]]:
        """Return what ``*`` stands for, and what each column shows."""
        return [
            (of.qualified(output.name), output)
            if isinstance(of, Relation)
            else (of.copy(), self.shows(of) if isinstance(of, exp.Column) else Output(output.name))
            for of, output in self.shown
        ]

    def shows(self, column: exp.Column) -> Output:
        """Return what a resolved column shows, here or in a scope around."""
        for relation in self.relations:
            if relation.alias == column.table and column.name.startswith(relation.prefix):
                return relation.output(column.name.removeprefix(relation.prefix))
        return self.outer.shows(column) if self.outer else Output(column.name)

    def column(self, node: exp.Column) -> exp.Expr:
        """Return the qualified, quoted form of a column.

        Raises
        ------
        UnknownNameError
            No relation has it, or several have it and none was named.
        NotYetSupportedError
            It is a table: whole rows are no values.
        """
        around: Scope | None = self
        while around is not None:
            found = around._own_column(node)  # noqa: SLF001 (of the same class)
            if found is not None:
                return found
            around = around.outer
        raise self._unknown(node)

    def _own_column(self, node: exp.Column) -> exp.Expr | None:
        if not node.table and node.name.lower() in self.merged:
            return self.merged[node.name.lower()].copy()
        quoted = bool(node.this.args.get("quoted"))
        found = [
            (relation, name)
            for relation in self.relations
            if relation.named(node)
            for name in relation.called(node.name, quoted=quoted)
        ]
        if not found:
            return None
        if len(found) > 1:
            names = " or ".join(f"{relation.written}.{name}" for relation, name in found)
            msg = f"column {_written(node)} is ambiguous: write {names}"
            raise UnknownNameError(msg, place_of(node, self.text))
        relation, name = found[0]
        resolved = relation.qualified(name)
        resolved.this.meta.update(node.this.meta)
        return resolved

    def _unknown(self, node: exp.Column) -> QueryError:
        place = place_of(node, self.text)
        known = self._all_relations()
        quoted = bool(node.this.args.get("quoted"))
        if not node.table and any(same_name(relation.written, node.name, quoted=quoted) for relation in known):
            msg = f"not yet supported: {node.name} as a value: it is a table; write its columns"
            return NotYetSupportedError(msg, place)
        relations = [relation for relation in known if relation.named(node)]
        if not relations and node.table:
            return _unknown_table(node.table, f" in {_written(node)}", known, place)
        columns = [name for relation in relations for name in relation.columns]
        return UnknownNameError(f"unknown column {_written(node)}{nearest(node.name, columns)}", place)

    def _all_relations(self) -> list[Relation]:
        return [*self.relations, *(self.outer._all_relations() if self.outer else [])]  # noqa: SLF001 (of the same class)

    def of_star(self, node: exp.Column) -> list[Relation]:
        """Return the relations whose columns ``table.*`` shows.

        Raises
        ------
        UnknownNameError
            There is no such table.
        """
        found = [relation for relation in self.relations if relation.named(node)]
        if not found:
            raise _unknown_table(node.table, "", self.relations, place_of(node, self.text))
        return found


def numbered(columns: Iterable[tuple[str, str]]) -> str:
    """Return the SQL of columns, each given with the alias of its relation, under the names c0, c1, ..."""
    return ", ".join(f"{quote(alias)}.{quote(name)} AS c{index}" for index, (alias, name) in enumerate(columns))


def qualified(alias: str, column: str) -> exp.Column:
    """Return a column under the alias of its relation, both quoted."""
    return exp.Column(this=exp.Identifier(this=column, quoted=True), table=exp.Identifier(this=alias, quoted=True))


def same_name(name: str, written: str, *, quoted: bool) -> bool:
    """Whether a written identifier means a name: unquoted ones match in any case."""
    return name == written if quoted else name.lower() == written.lower()


def _written(node: exp.Column) -> str:
    return ".".join(part.name for part in node.parts)


def _unknown_table(name: str, where: str, known: Sequence[Relation], place: Place | None) -> UnknownNameError:
    return UnknownNameError(f"unknown table {name}{where}{nearest(name, [relation.written for relation in known])}", place)
