"""Chunk-query templates: SQL text with ``{slot}`` where the name of a physical table belongs."""

import re
from collections.abc import Mapping, Sequence

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


def fill(template: str, relations: Mapping[str, str]) -> str:
    """Put physical tables into a template.

    The text is read once from left to right, so that a brace in a relation's name is never taken for a slot.

    Parameters
    ----------
    template
        SQL with ``{slot}`` in place of relations; a literal brace is doubled.
    relations
        Quoted names, by slot.

    Raises
    ------
    ValueError
        A slot has no relation, or a brace stands alone.
    """

    def replace(token: re.Match[str]) -> str:
        text, slot = token[0], token[1]
        if slot is not None:
            if slot not in relations:
                msg = f"the template names slot {slot!r}, the chunk task has {', '.join(sorted(relations)) or 'none'}"
                raise ValueError(msg)
            return relations[slot]
        if len(text) == 1:
            msg = f"a single {text!r} at character {token.start() + 1} of the template; a literal brace is doubled"
            raise ValueError(msg)
        return text[0]

    return _TOKEN.sub(replace, template)


def statement(template: str, tasks: Sequence[Mapping[str, str]]) -> str:
    """Return one statement whose rows are those of the template for each of some tasks.

    Parameters
    ----------
    template
        As in `fill`.
    tasks
        Relations of each, at least one.
    """
    filled = [fill(template, relations) for relations in tasks]
    # In parentheses, because a template may have an ORDER BY and a LIMIT of its own; on lines of their own, in case of a comment.
    return filled[0] if len(filled) == 1 else "\nUNION ALL\n".join(f"({sql}\n)" for sql in filled)
