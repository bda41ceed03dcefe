"""Questions that read every row."""

from archive import Archive
from catalogues import Bigsky
from measurement import Result, in_turn, seconds
from plain import GATHER_WORKERS, Plain

MORE_MS = 15
"""Goal: no slower than plain PostgreSQL by more than this."""

CONDITION = "ra_mas_per_year > 0"
"""True in some rows of every chunk: no statistics can leave a chunk out."""


def scan(archive: Archive, plain: Plain, bigsky: Bigsky, repetitions: int) -> list[Result]:
    """Aggregate over the whole table."""
    name = f"{bigsky.database.name}.{bigsky.table.name}"
    shape = "SELECT AVG(magnitude), MIN(parallax_mas), MAX(bv) FROM {} WHERE {}"
    adql, sql = shape.format(name, CONDITION), shape.format(plain.relation, CONDITION)

    def ours() -> float:
        return 1000 * seconds(lambda: archive.ask(adql))

    def theirs() -> float:
        return 1000 * seconds(lambda: plain.reader.execute(sql).fetchall())

    in_turn(2, ours, theirs)
    spent, bare = in_turn(repetitions, ours, theirs)
    return [
        Result(
            "AVG, MIN, MAX with a WHERE over all rows",
            "ms",
            spent,
            bare,
            spent.median / bare.median,
            f"plain + {MORE_MS} ms",
            spent.median <= bare.median + MORE_MS,
            f"plain with {GATHER_WORKERS} parallel workers",
        )
    ]
