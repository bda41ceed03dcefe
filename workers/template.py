"""Chunk-query templates: SQL text with ``{slot}`` where the name of a physical table belongs."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|\{|\}")
"""Alternatives that all begin with a brace: then the search leaps from brace to brace, in a sixth of the time."""


KEYS: Final = "keys"
"""The slot of an array of bigint: the keys that a chunk is asked for."""

PARAMETER: Final = "$1"
"""What fills `KEYS` where the array is a parameter."""


class Template(NamedTuple):
    """A template that was read.

    Attributes
    ----------
    texts
        What stands before, between and behind the slots.
    slots
        Their names, one less than texts.
    """

    texts: tuple[str, ...]
    slots: tuple[str, ...]

    @classmethod
    @lru_cache(maxsize=64)  # questions of the same form have the same one, or differ by their keys alone
    def read(cls, template: str) -> "Template":
        """Read a template, once from left to right.

        Parameters
        ----------
        template
            SQL with ``{slot}`` in place of relations; a literal brace is doubled.

        Raises
        ------
        ValueError
            A brace stands alone.
        """
        texts, slots = [""], []
        at = 0
        for token in _TOKEN.finditer(template):
            texts[-1] += template[at : token.start()]
            at = token.end()
            if token[1] is not None:
                slots.append(token[1])
                texts.append("")
            elif len(token[0]) == 1:
                msg = f"a single {token[0]!r} at character {token.start() + 1} of the template; a literal brace is doubled"
                raise ValueError(msg)
            else:
                texts[-1] += token[0][0]
        texts[-1] += template[at:]
        return cls(tuple(texts), tuple(slots))

    def filled(self, relations: Mapping[str, str]) -> str:
        """Return the SQL with physical tables, quoted names by slot; a brace in a name is never taken for a slot.

        Raises
        ------
        ValueError
            A slot has no relation.
        """
        missing = next((slot for slot in self.slots if slot not in relations), None)
        if missing is not None:
            msg = f"the template names slot {missing!r}, the chunk task has {', '.join(sorted(relations)) or 'none'}"
            raise ValueError(msg)
        return "".join([self.texts[0], *(relations[slot] + text for slot, text in zip(self.slots, self.texts[1:], strict=True))])


def constant(keys: Iterable[int]) -> str:
    """Return what fills `KEYS` where the array is part of the text."""
    return f"CAST('{{{','.join(map(str, keys))}}}' AS BIGINT[])"


def statement(template: str, tasks: Sequence[Mapping[str, str]]) -> str:
    """Return one statement whose rows are those of the template for each of some tasks.

    Parameters
    ----------
    template
        As in `Template.read`.
    tasks
        Relations of each, at least one.
    """
    read = Template.read(template)
    filled = [read.filled(relations) for relations in tasks]
    # In parentheses, because a template may have an ORDER BY and a LIMIT of its own; on lines of their own, in case of a comment.
    return filled[0] if len(filled) == 1 else "\nUNION ALL\n".join(f"({sql}\n)" for sql in filled)
