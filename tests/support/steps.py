"""The durable steps of the source, read from its syntax trees."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = ("ingest", "workers")
"""Which write what lasts: rows, and what is known of them."""


def durable_steps() -> Iterator[tuple[str, Path]]:
    """Yield the name of each step, and its module."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"durable", "changing"}:
                    yield node.args[-1].value, path


def failpoints() -> list[str]:
    """Return the names of all points, sorted."""
    return sorted(f"{step}.{when}" for step, _ in durable_steps() for when in ("before", "after"))
