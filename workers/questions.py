"""What PostgreSQL is asked for some chunks of a chunk query."""

from collections.abc import Sequence
from typing import Final

from workers.postgresql.prepared import LookUp
from workers.postgresql.stream import Question
from workers.protocol import ChunkTask
from workers.template import KEYS, PARAMETER, Template, constant, statement

FEW_KEYS: Final = 100
"""Keys of a chunk that one plan does for. PostgreSQL plans for ten where it does not know them; many it is to see."""

KEY_CHARACTERS: Final = 20
"""Of a key that is part of a statement, at the most."""


def question(template: str, tasks: Sequence[ChunkTask]) -> Question:
    """Return the question whose rows are those of a template for each of some chunks.

    Few keys are looked up by a statement for each chunk, which can be kept; anything else is one statement.
    """
    if all(task.keys is not None and len(task.keys) <= FEW_KEYS for task in tasks):
        read = Template.read(template)
        return [LookUp(read.filled({**task.relations, KEYS: PARAMETER}), task.keys or ()) for task in tasks]
    return statement(template, [_with_keys(task) for task in tasks])


def _with_keys(task: ChunkTask) -> dict[str, str]:
    return task.relations if task.keys is None else {**task.relations, KEYS: constant(task.keys)}
