"""SELECTs that are in a query several times and are one value: an item that GROUP BY or ORDER BY names, or writes once more."""

from collections import defaultdict
from collections.abc import Iterable

from sqlglot import exp

from czar.analyse.nesting import selects


class Copies:
    """The SELECTs of a tree of which there are copies: they have the same aliases, which no two others have."""

    def __init__(self, tree: exp.Expr) -> None:
        self._tree = tree
        alike: dict[exp.Expr, list[exp.Select]] = defaultdict(list)
        inner = selects(tree)[1:]
        if len(inner) > 1:
            for select in inner:
                alike[select].append(select)
        self._groups = [group for group in alike.values() if len(group) > 1]

    def follow(self, changed: Iterable[exp.Expr]) -> list[exp.Expr]:
        """Let the copies be as the SELECTs are in which some tables stand now; return these tables and those in the copies."""
        tables = list(changed)
        for table in list(tables):
            select = table.find_ancestor(exp.Select)
            while select is not None:
                for group in self._groups:
                    if any(select is member for member in group):
                        tables += self._copied(select, group, table)
                select = select.find_ancestor(exp.Select)
        return tables

    def _copied(self, select: exp.Select, group: list[exp.Select], table: exp.Expr) -> list[exp.Expr]:
        """Put copies of a SELECT in the places of its group; return the tables there that are a table of it."""
        found: list[exp.Expr] = []
        for place, other in enumerate(group):
            if other is not select and other.root() is self._tree:
                group[place] = select.copy()
                other.replace(group[place])
                found += [each for each in group[place].find_all(exp.Table) if each.alias == table.alias]
        return found
