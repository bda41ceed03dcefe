"""The parts of a query of which each row of the answer needs a row: chunks where these have none can be left out."""

from dataclasses import dataclass

from sqlglot import exp

from czar.analyse.nesting import body, conjuncts, joins, own, relations


@dataclass(frozen=True)
class Needed:
    """What is needed of a tree."""

    selects: frozenset[int] = frozenset()
    """Identities of SELECTs."""
    unions: tuple[exp.Union, ...] = ()
    """A row of one side is enough."""

    def __or__(self, other: "Needed") -> "Needed":
        """Return what is needed by either."""
        return Needed(self.selects | other.selects, self.unions + other.unions)


def needed_of(tree: exp.Expr) -> Needed:
    """Return the parts of a query that each of its rows needs a row of: this one, and what is inner-joined, IN or EXISTS in it."""
    tree = body(tree)
    match tree:
        case exp.Select():
            return _of_select(tree)
        case exp.Union():
            return Needed(unions=(tree,))
        case exp.Except():
            return needed_of(tree.this)
        case exp.Intersect():
            return needed_of(tree.this) | needed_of(tree.expression)
    return Needed()


def branches(tree: exp.Expr) -> list[exp.Select]:
    """Return SELECTs of one of which each row of a set operation is."""
    tree = body(tree)
    if isinstance(tree, exp.Union):
        return branches(tree.this) + branches(tree.expression)
    if isinstance(tree, exp.SetOperation):
        return branches(tree.this)
    return [tree] if isinstance(tree, exp.Select) else []


def _of_select(select: exp.Select) -> Needed:
    found = Needed(frozenset({id(select)}))
    optional = [join.side for join in joins(select)]
    for place, relation in enumerate(relations(select)):
        kept = not (place and optional[place - 1] in {"LEFT", "FULL"}) and not {"RIGHT", "FULL"} & set(optional[place:])
        if kept and isinstance(relation, exp.Subquery):
            found |= needed_of(relation)
    where = select.args.get("where")
    for condition in conjuncts(where.this if where else None):
        asked = _asked(condition)
        if asked is not None and _has_no_row_of_none(asked):
            found |= needed_of(asked)
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


def _has_no_row_of_none(tree: exp.Expr) -> bool:
    """Whether a query gives no row where its tables have none: an aggregate of all rows gives one, as the total of ROLLUP does."""
    tree = body(tree)
    if isinstance(tree, exp.SetOperation):
        return _has_no_row_of_none(tree.this) and _has_no_row_of_none(tree.expression)
    if not isinstance(tree, exp.Select):
        return False
    group = tree.args.get("group")
    if group:
        return any(map(_is_value, group.expressions))
    return not (tree.args.get("having") or any(own(item, exp.AggFunc) for item in tree.expressions))


def _is_value(term: exp.Expr) -> bool:
    """Whether a term of GROUP BY is in every set of groups: then none of these is the empty one."""
    return bool(term.expressions) if isinstance(term, exp.Tuple) else not isinstance(term, exp.Rollup | exp.Cube | exp.GroupingSets)
