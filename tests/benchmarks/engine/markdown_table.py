"""Results as a table in markdown."""

from collections.abc import Sequence

from measurement import Result
from report import cells_of


def as_markdown(results: Sequence[Result], title: str, facts: Sequence[str]) -> str:
    """Return title, facts and one row a result; medians, with quartiles where there are several values."""
    lines = [f"## {title}", "", *(f"- {fact}" for fact in facts), ""]
    lines += ["| what | archive | plain | ratio | n | goal | reached | how |", "|---|---|---|---|---|---|---|---|"]
    for one in results:
        cells = [*cells_of(one), {None: "", True: "yes", False: "**no**"}[one.reached], one.note.replace("|", "/")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
