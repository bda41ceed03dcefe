"""Rule: a condition on the columns of a subquery in FROM is met inside of it, where it can leave out chunks and rows.

Only conditions sink that cannot fail for any row (comparisons with constants, regions), because inside they are asked of rows that
other conditions would have left out; and only where the rows of the subquery that stay are the same ones: through SELECT and WHERE,
through DISTINCT, through GROUP BY and windows on the columns that these keep apart, and into every side of a set operation. Nothing
sinks below LIMIT, or into the side of an outer join that has no row where there is no partner.
"""

from collections.abc import Callable

from sqlglot import exp

from czar.analyse.functions import called
from czar.analyse.grouping import is_grouped
from czar.analyse.locality import NotLocalError, locality_of, makes_random_numbers
from czar.analyse.nesting import body, conjuncts, joins, optional, output_names, own, relations, selects
from czar.analyse.query import Query
from czar.dialects.number_lists import lists_numbers
from schema.model import ColumnType

Accepts = Callable[[exp.Expr], bool]

CANNOT_FAIL: tuple[type[exp.Expr], ...] = (
    *(exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Is),
    *(exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Boolean, exp.Neg),
)
"""Parts of conditions that are true, false or NULL of any row."""

REGIONS = frozenset({"angular_separation", "in_circle", "in_lonlat_box", "in_ellipse", "in_polygon"})
"""Functions of the nodes that take any numbers."""


def sink_conditions(query: Query) -> Query:
    """Move conditions on subqueries of FROM into them, as deep as they go."""
    for select in selects(query.tree):
        for relation in relations(select):
            if isinstance(relation, exp.Subquery) and _is_alone(query, relation):
                _sink(query, select, relation)
    return query


def taken_conditions(select: exp.Select, alias: str, accepts: Accepts) -> list[exp.Expr]:
    """Take conditions that can as well be applied before a relation of FROM is joined out of a SELECT: copies of those accepted."""
    return [part for holder in _holders(select, alias) for part in _taken(holder, accepts)]


def conditions_before(select: exp.Select, alias: str) -> list[exp.Expr]:
    """Return the conditions that every row of a relation of FROM meets, where a row of it is joined at all."""
    return [part for holder in _holders(select, alias) for part in conjuncts(holder.args.get(_key(holder)))]


def _holders(select: exp.Select, alias: str) -> list[exp.Expr]:
    """Return WHERE, and the joins, whose conditions can as well be applied before a relation of FROM is joined."""
    found = []
    if alias not in optional(select):
        where = select.args.get("where")
        found += [where] if where else []
        if not any(join.side in {"RIGHT", "FULL"} for join in joins(select)):
            found += [join for join in joins(select) if not join.side]
    return found + [join for join in joins(select) if join.side == "LEFT" and join.this.alias_or_name == alias]


def _key(holder: exp.Expr) -> str:
    return "this" if isinstance(holder, exp.Where) else "on"


def speaks_of(condition: exp.Expr, aliases: set[str]) -> bool:
    """Whether a condition speaks of some relations and nothing else, and has no subquery."""
    columns = {column.table for column in condition.find_all(exp.Column)}
    return bool(columns) and columns <= aliases and condition.find(exp.Query) is None


def _taken(holder: exp.Expr, accepts: Accepts) -> list[exp.Expr]:
    """Take conditions out of WHERE or of the ON of a join."""
    key = _key(holder)
    conditions = conjuncts(holder.args.get(key))
    found = [part for part in conditions if accepts(part)]
    if not found:
        return []
    kept = [part.copy() for part in conditions if not any(part is other for other in found)]
    if not kept and isinstance(holder, exp.Where):
        holder.pop()
    else:
        holder.set(key, exp.and_(*kept, copy=False) if kept else exp.true())
    return [part.copy() for part in found]


def _is_alone(query: Query, node: exp.Subquery) -> bool:
    """Whether the rows of a subquery are nobody else's: those of a CTE that is used twice may be made once, as one step."""
    cte = node.meta.get("cte")
    if cte is None or sum(other.meta.get("cte") == cte for other in query.tree.find_all(exp.Subquery)) == 1:
        return True
    if makes_random_numbers(node):
        return False
    try:
        locality_of(query).of_query(node)
    except NotLocalError:
        return False
    return True


def _sink(query: Query, select: exp.Select, node: exp.Subquery) -> None:
    """Move the conditions of a SELECT on one subquery of its FROM into that."""
    inner, alias = body(node), node.alias
    names = output_names(inner) if isinstance(inner, exp.Select | exp.SetOperation) else []
    passing = {name for place, name in enumerate(names) if _passes(query, inner, place)}
    if not passing:
        return

    def accepts(condition: exp.Expr) -> bool:
        if not speaks_of(condition, {alias}) or not cannot_fail(condition):
            return False
        return all(column.name in passing for column in condition.find_all(exp.Column))

    for condition in taken_conditions(select, alias, accepts):
        _restrict(inner, condition, names)
        if "cte" in node.meta:
            # From now on its rows are not those of the other uses.
            node.meta["cte"] = (node.meta["cte"], alias)


def cannot_fail(condition: exp.Expr) -> bool:
    """Whether a condition has a value for any row."""
    waiting = [condition]
    while waiting:
        part = waiting.pop()
        if isinstance(part, exp.Dot):
            name, arguments = called(part) or ("", [])
            if name not in REGIONS:
                return False
            waiting += arguments[:2] if "polygon" in part.meta else arguments
        elif isinstance(part, exp.Cast):
            if not isinstance(part.this, exp.Literal) or part.this.is_string:
                return False
        elif lists_numbers(part):
            waiting.append(part.this)
        elif not isinstance(part, CANNOT_FAIL) or (isinstance(part, exp.In) and not part.expressions):
            return False
        else:
            waiting += part.iter_expressions()
    return True


def _passes(query: Query, tree: exp.Expr, place: int) -> bool:
    """Whether a query can as well be asked for those of its rows alone that meet a condition on one of its columns."""
    tree = body(tree)
    if isinstance(tree, exp.SetOperation):
        kinds = {datatype_of(query, side, place) for side in (tree.this, tree.expression)}
        # Columns of two types are compared as a third one.
        return len(kinds) == 1 and None not in kinds and all(_passes(query, side, place) for side in (tree.this, tree.expression))
    if not isinstance(tree, exp.Select) or any(tree.args.get(clause) for clause in ("limit", "offset", "with_")):
        return False
    column = tree.expressions[place].unalias()
    if not isinstance(column, exp.Column) or column.table not in {node.alias_or_name for node in relations(tree)}:
        return False
    kept_apart = [window.args.get("partition_by") or [] for window in own(tree, exp.Window)]
    distinct = tree.args.get("distinct")
    if distinct and distinct.args.get("on"):
        kept_apart.append(distinct.args["on"].expressions)
    if is_grouped(tree):
        group = tree.args.get("group") or exp.Group()
        if any(value for clause, value in group.args.items() if clause != "expressions"):
            return False
        kept_apart.append(group.expressions)
    return all(column in columns for columns in kept_apart)


def datatype_of(query: Query, tree: exp.Expr, place: int) -> ColumnType | None:
    """Return the type of a column of a query, if it is that of a column of a table."""
    tree = body(tree)
    if isinstance(tree, exp.SetOperation):
        kinds = {datatype_of(query, side, place) for side in (tree.this, tree.expression)}
        return kinds.pop() if len(kinds) == 1 else None
    column = tree.expressions[place].unalias() if isinstance(tree, exp.Select) else None
    if not isinstance(column, exp.Column):
        return None
    if column.table in query.tables:
        declared = query.tables[column.table].entry.table.by_name.get(column.name)
        return declared.datatype if declared else None
    for node in relations(tree) if isinstance(tree, exp.Select) else []:
        inner = body(node)
        if isinstance(node, exp.Subquery) and node.alias == column.table and isinstance(inner, exp.Select | exp.SetOperation):
            names = output_names(inner)
            return datatype_of(query, inner, names.index(column.name)) if column.name in names else None
    return None


def _restrict(tree: exp.Expr, condition: exp.Expr, names: list[str]) -> None:
    """Let a query give only the rows that meet a condition on its columns, which are called ``names`` there."""
    tree = body(tree)
    if isinstance(tree, exp.SetOperation):
        _restrict(tree.this, condition, names)
        _restrict(tree.expression, condition, names)
    elif isinstance(tree, exp.Select):

        def shown(part: exp.Expr) -> exp.Expr:
            return tree.expressions[names.index(part.name)].unalias().copy() if isinstance(part, exp.Column) else part

        tree.where(condition.transform(shown), copy=False)
