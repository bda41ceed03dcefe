"""Where a node of a tree stands in the text of its query."""

from sqlglot import exp

from qserv.errors import Place


def place_of(node: exp.Expr, text: str) -> Place | None:
    """Return where a node of the tree starts in the text, or the nearest part around it of which the parser noted the start."""
    around: exp.Expr | None = node
    starts: list[int] = []
    while around is not None and not starts:
        starts = [part.meta["start"] for part in around.walk() if "start" in part.meta]
        around = around.parent
    if not starts or min(starts) > len(text):
        return None
    before = text[: min(starts)]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
