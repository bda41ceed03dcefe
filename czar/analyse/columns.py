"""Rule: every column is that of one source, ``*`` is spelled out, names and positions in GROUP BY and ORDER BY are replaced."""

from dataclasses import dataclass, replace

from sqlglot import exp

from czar.analyse.query import Output, Query, Source
from czar.catalogue import nearest
from czar.parse import place_of
from qserv.errors import QueryError, UnknownNameError
from schema.model import HEALPIX_COLUMN


def resolve_columns(query: Query) -> Query:
    """Qualify and quote every column, name the output columns.

    Raises
    ------
    UnknownNameError
        No source has the column, or several have it and none was named.
    QueryError
        A position in GROUP BY or ORDER BY is not that of an output column.
    """
    tree = query.tree
    names = _Names(query, _merged_by_using(tree))
    star = _star(tree, query)
    _spell_out_using(tree, query)
    items: list[exp.Expr] = []
    outputs: list[Output] = []
    for item in tree.expressions:
        for part in _spelled_out(item, query, star):
            spelled = part is not item  # columns that a star stands for are qualified already
            expression = part if spelled else names.resolved(part.unalias() if isinstance(part, exp.Alias) else part)
            items.append(expression)
            outputs.append(_output(part, expression, query, len(outputs) + 1))
    outputs = _distinct(outputs)
    for clause in ("where", "having"):
        if tree.args.get(clause):
            tree.args[clause].set("this", names.resolved(tree.args[clause].this))
    for join in tree.args.get("joins") or []:
        if join.args.get("on"):
            join.set("on", names.resolved(join.args["on"]))
    group = tree.args.get("group")
    if group:
        group.set("expressions", [_grouped(part, items, outputs, names) for part in group.expressions])
    order = tree.args.get("order")
    if order:
        for ordered in order.expressions:
            ordered.set("this", _ordered(ordered.this, items, outputs, names))
    tree.set("expressions", items)
    return replace(query, tree=tree, outputs=tuple(outputs))


@dataclass(frozen=True)
class _Names:
    """Resolves column names against the sources of a query."""

    query: Query
    merged: frozenset[str]
    """Columns that USING made one of two, in lower case."""

    def resolved(self, node: exp.Expr) -> exp.Expr:
        """Return the expression with every column qualified and quoted."""

        def qualify(part: exp.Expr) -> exp.Expr:
            return self.column(part) if isinstance(part, exp.Column) else part

        return node.transform(qualify, copy=False)

    def column(self, node: exp.Column) -> exp.Column:
        """Return the qualified, quoted form of a column."""
        place = place_of(node, self.query.text)
        quoted = bool(node.this.args.get("quoted"))
        written = ".".join(part.name for part in node.parts)
        sources = [source for source in self.query.sources if _named(node, source)]
        if not sources:
            aliases = [source.alias for source in self.query.sources]
            msg = f"unknown table {node.table} in {written}{nearest(node.table, aliases)}"
            raise UnknownNameError(msg, place)
        found = [(source, name) for source in sources for name in _columns(source) if _same(name, node.name, quoted=quoted)]
        if len(found) > 1 and not node.table:
            found = found[:1] if node.name.lower() in self.merged else found
        if not found:
            msg = f"unknown column {written}{nearest(node.name, [name for source in sources for name in _columns(source)])}"
            raise UnknownNameError(msg, place)
        if len(found) > 1:
            msg = f"column {written} is ambiguous: write {' or '.join(f'{source.alias}.{name}' for source, name in found)}"
            raise UnknownNameError(msg, place)
        source, name = found[0]
        resolved = exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(source.alias, quoted=True))
        resolved.this.meta.update(node.this.meta)
        return resolved


def _columns(source: Source) -> list[str]:
    names = [column.name for column in source.entry.table.columns]
    return [*names, HEALPIX_COLUMN] if source.entry.table.partitioned else names


def _same(name: str, written: str, *, quoted: bool) -> bool:
    return name == written if quoted else name.lower() == written.lower()


def _named(node: exp.Column, source: Source) -> bool:
    if not node.table:
        return True
    quoted = bool(node.args["table"].args.get("quoted"))
    if node.db and node.db.lower() != source.entry.database.lower():
        return False
    return _same(source.alias, node.table, quoted=quoted)


def _merged_by_using(tree: exp.Select) -> frozenset[str]:
    joins = tree.args.get("joins") or []
    return frozenset(part.name.lower() for join in joins for part in join.args.get("using") or [])


def _spell_out_using(tree: exp.Select, query: Query) -> None:
    """Turn ``USING (a, b)`` into ON: the column of the first source that has it equals that of the joined one."""
    for position, join in enumerate(tree.args.get("joins") or [], start=1):
        using = join.args.pop("using", None)
        if not using:
            continue
        conditions = []
        for part in using:
            name, quoted = part.name, bool(part.args.get("quoted"))
            pair = []
            for candidates in (query.sources[:position], query.sources[position : position + 1]):
                hits = [(s, c) for s in candidates for c in _columns(s) if _same(c, name, quoted=quoted)]
                if not hits:
                    msg = f"unknown column {name} in USING{nearest(name, [c for s in candidates for c in _columns(s)])}"
                    raise UnknownNameError(msg, place_of(part, query.text))
                source, column = hits[0]
                pair.append(exp.column(exp.to_identifier(column, quoted=True), table=exp.to_identifier(source.alias, quoted=True)))
            conditions.append(exp.EQ(this=pair[0], expression=pair[1]))
        join.set("on", exp.and_(*conditions))


def _star(tree: exp.Select, query: Query) -> list[tuple[Source, str]]:
    """Return the columns that ``*`` stands for; as in PostgreSQL the columns of each USING come first, once."""
    shown: list[tuple[Source, str]] = []
    for source, join in zip(query.sources, (None, *(tree.args.get("joins") or [])), strict=True):
        using = [part.name.lower() for part in (join.args.get("using") or [] if join else [])]
        merged = [each for name in using for each in shown if each[1].lower() == name]
        own = [(source, column.name) for column in source.entry.table.columns if column.name.lower() not in using]
        shown = [*merged, *(each for each in shown if each not in merged), *own]
    return shown


def _spelled_out(item: exp.Expr, query: Query, star: list[tuple[Source, str]]) -> list[exp.Expr]:
    """Return the output items that one item of SELECT stands for: ``*`` and ``alias.*`` stand for columns."""
    if isinstance(item, exp.Star):
        shown = star
    elif isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
        sources = [source for source in query.sources if _named(item, source)]
        if not sources:
            msg = f"unknown table {item.table}{nearest(item.table, [source.alias for source in query.sources])}"
            raise UnknownNameError(msg, place_of(item, query.text))
        shown = [(source, column.name) for source in sources for column in source.entry.table.columns]
    else:
        return [item]
    return [
        exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(source.alias, quoted=True))
        for source, name in shown
    ]


def _output(item: exp.Expr, expression: exp.Expr, query: Query, position: int) -> Output:
    if isinstance(expression, exp.Column):
        return Output(item.alias or expression.name, query.source(expression.table), expression.name)
    if item.alias:
        return Output(item.alias)
    function = expression.expression if isinstance(expression, exp.Dot) else expression
    if isinstance(function, exp.Anonymous):
        return Output(function.name.lower())
    if isinstance(function, exp.Func) and not isinstance(function, exp.Connector | exp.Case | exp.Cast):
        return Output(function.sql_name().lower())
    return Output(f"column_{position}")


def _distinct(outputs: list[Output]) -> list[Output]:
    """Give a second output column of the same name a number, because clients look columns up by name."""
    taken: set[str] = set()
    named = []
    for output in outputs:
        name, count = output.name, 1
        while name.lower() in taken:
            count += 1
            name = f"{output.name}_{count}"
        taken.add(name.lower())
        named.append(replace(output, name=name))
    return named


def _by_position(node: exp.Expr, items: list[exp.Expr], clause: str) -> exp.Expr | None:
    if not (isinstance(node, exp.Literal) and not node.is_string):
        return None
    text = str(node.this)
    if not text.isdigit() or not 1 <= int(text) <= len(items):
        msg = f"{clause} {text}: positions run from 1 to {len(items)}, the number of output columns"
        raise QueryError(msg)
    return items[int(text) - 1].copy()


def _by_alias(node: exp.Expr, items: list[exp.Expr], outputs: list[Output]) -> exp.Expr | None:
    if not isinstance(node, exp.Column) or node.table:
        return None
    quoted = bool(node.this.args.get("quoted"))
    found = [item for item, output in zip(items, outputs, strict=True) if _same(output.name, node.name, quoted=quoted)]
    return found[0].copy() if found else None


def _grouped(node: exp.Expr, items: list[exp.Expr], outputs: list[Output], names: _Names) -> exp.Expr:
    """In GROUP BY a name means a column of FROM first, then an output column (as in PostgreSQL)."""
    node = node.unnest()
    by_position = _by_position(node, items, "GROUP BY")
    if by_position is not None:
        return by_position
    try:
        return names.resolved(node)
    except UnknownNameError:
        by_alias = _by_alias(node, items, outputs)
        if by_alias is None:
            raise
        return by_alias


def _ordered(node: exp.Expr, items: list[exp.Expr], outputs: list[Output], names: _Names) -> exp.Expr:
    """In ORDER BY a name means an output column first, then a column of FROM (as in PostgreSQL)."""
    node = node.unnest()
    found = _by_position(node, items, "ORDER BY")
    if found is None:
        found = _by_alias(node, items, outputs)
    return names.resolved(node) if found is None else found
