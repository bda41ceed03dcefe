"""The statement with which DuckDB combines the partial rows of chunks into one row a group."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Combining:
    """Combines relation ``partials``, whose columns k0, k1, ... are the keys of groups."""

    sets: Sequence[Sequence[int]]
    """What to group by: for each set, the numbers of its keys."""
    key_count: int
    """Number of all keys; one that is not in a set is NULL in its rows."""
    finals: Sequence[tuple[str, str]]
    """Columns of a group: name, expression over the partial columns."""
    means: Sequence[tuple[str, str]]
    """Columns made in each partial row before: name, expression with ``{over}`` for the window of its group."""
    groupings: Sequence[Sequence[int]] = ()
    """For each call of GROUPING, column g0, g1, ..., the numbers of the keys that it is given."""

    def sql(self) -> str:
        """Return the statement."""
        if len(self.sets) == 1:
            return self._group("partials", self.sets[0])
        # The partial rows come once.
        parts = " UNION ALL ".join(self._group("arrived", keys) for keys in self.sets)
        return f"WITH arrived AS MATERIALIZED (SELECT * FROM partials) {parts}"  # noqa: S608 (our own column names)

    def _group(self, source: str, keys: Sequence[int]) -> str:
        names = ", ".join(f"k{key}" for key in keys)
        shown = [f"k{key}" if key in keys else f"NULL AS k{key}" for key in range(self.key_count)]
        shown += [f"{final} AS {name}" for name, final in self.finals]
        shown += [f"{_grouping(keys, given)} AS g{index}" for index, given in enumerate(self.groupings)]
        if not names and not self.finals:
            # One group even of no rows: they are counted.
            shown.append("COUNT(*) AS k")
        over = f"(PARTITION BY {names})" if names else "()"
        made = [f"{mean.format(over=over)} AS {name}" for name, mean in self.means]
        rows = f"(SELECT *, {', '.join(made)} FROM {source}) AS partials" if made else source  # noqa: S608 (as above)
        group = f" GROUP BY {names}" if names else ""
        return f"SELECT {', '.join(shown)} FROM {rows}{group}"  # noqa: S608 (as above)


def _grouping(keys: Sequence[int], given: Sequence[int]) -> int:
    """Return the value of GROUPING: a bit for each key, the last one the lowest, set where a set is without it."""
    return sum(1 << shift for shift, key in enumerate(reversed(given)) if key not in keys)
