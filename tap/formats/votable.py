"""The VOTable document around the rows (VOTable 1.4)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeVar
from xml.sax.saxutils import escape, quoteattr

from schema.model import Frame, TimeSystem
from tap.formats.encoder import Facts, Outcome
from tap.formats.fields import Field

T = TypeVar("T")

OPENING = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"'
    b' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    b' xsi:schemaLocation="http://www.ivoa.net/xml/VOTable/v1.3 http://www.ivoa.net/xml/VOTable/v1.3">\n'
)
"""The namespace of VOTable 1.4 is that of 1.3 (section 1.5). TIMESYS needs 1.4; clients of today all read it."""

CLOSING = b"</RESOURCE>\n</VOTABLE>\n"

ILLEGAL = {code: None for code in range(0x20) if chr(code) not in "\t\n\r"} | {0xFFFE: None, 0xFFFF: None}
"""Characters that XML 1.0 cannot carry in any way (section 2.2)."""

REMEMBERED_FIELDS = 10_000
"""FIELD elements that are kept once written, at about 1 kB each: writing them anew took half of the time of a small answer."""


def document_head(fields: Sequence[Field], facts: Facts) -> bytes:
    """Return the document from its beginning to ``<DATA>``."""
    systems = [_coosys(frame) for frame in _distinct(field.frame for field in fields)]
    systems += [_timesys(system) for system in _distinct(field.time_system for field in fields)]
    infos = [info("QUERY_STATUS", "OK"), *(info(name, value) for name, value in facts.infos)]
    body = ['<RESOURCE type="results">', *infos, *systems, '<TABLE name="result">', *(_field(field) for field in fields), "<DATA>"]
    return OPENING + "\n".join(body).encode() + b"\n"


def document_tail(outcome: Outcome, warnings: Iterable[str] = ()) -> bytes:
    """Return the document from ``</DATA>`` to its end, with what became of the query (DALI 1.1, section 4.4.1)."""
    infos = [info("WARNING", warning) for warning in warnings]
    if outcome.error is not None:
        infos.append(info("QUERY_STATUS", "ERROR", outcome.error))
    elif outcome.overflow:
        infos.append(info("QUERY_STATUS", "OVERFLOW"))
    return b"</DATA>\n</TABLE>\n" + "".join(line + "\n" for line in infos).encode() + CLOSING


def error_document(message: str, infos: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return a document that says why there is no answer (DALI 1.1, section 4.2)."""
    lines = ['<RESOURCE type="results">', info("QUERY_STATUS", "ERROR", message), *(info(name, value) for name, value in infos)]
    return OPENING + "\n".join(lines).encode() + b"\n" + CLOSING


def info(name: str, value: str, text: str = "") -> str:
    """Return an INFO element."""
    attributes = f"<INFO name={attribute(name)} value={attribute(value)}"
    return f"{attributes}>{escape(text.translate(ILLEGAL))}</INFO>" if text else f"{attributes}/>"


def attribute(value: str) -> str:
    """Return an attribute's value in quotes."""
    return quoteattr(value.translate(ILLEGAL))


@lru_cache(maxsize=REMEMBERED_FIELDS)
def _field(field: Field) -> str:
    """Return a FIELD element."""
    column = field.column
    attributes = {
        "name": field.name,
        "datatype": field.votable.datatype,
        "arraysize": field.votable.arraysize,
        "xtype": field.votable.xtype,
        "unit": column.unit,
        "ucd": column.ucd,
        "utype": column.utype,
        "ref": _coosys_id(field.frame) if field.frame else _timesys_id(field.time_system) if field.time_system else None,
    }
    text = "".join(f" {name}={attribute(value)}" for name, value in attributes.items() if value)
    inside = []
    if column.description:
        inside.append(f"<DESCRIPTION>{escape(column.description.translate(ILLEGAL))}</DESCRIPTION>")
    if field.null is not None:
        # Of elements of an array; whether a value is NULL as a whole is told apart (section 5.5).
        inside.append(f'<VALUES null="{field.null}"/>')
    return "\n".join([f"<FIELD{text}>", *inside, "</FIELD>"]) if inside else f"<FIELD{text}/>"


def _coosys_id(frame: Frame) -> str:
    """Return the ID of a coordinate system, such as ``ICRS_J1991.25``."""
    return f"{frame.system}_{frame.epoch}" if frame.epoch else frame.system


def _coosys(frame: Frame) -> str:
    epoch = f" epoch={attribute(frame.epoch)}" if frame.epoch else ""
    return f"<COOSYS ID={attribute(_coosys_id(frame))} system={attribute(frame.system)}{epoch}/>"


def _timesys_id(system: TimeSystem) -> str:
    """Return the ID of a time system, such as ``time_TCB_BARYCENTER``."""
    return "_".join(part for part in ("time", system.timescale, system.refposition, system.timeorigin) if part)


def _timesys(system: TimeSystem) -> str:
    origin = f" timeorigin={attribute(system.timeorigin)}" if system.timeorigin else ""
    return (
        f"<TIMESYS ID={attribute(_timesys_id(system))} timescale={attribute(system.timescale)}"
        f" refposition={attribute(system.refposition)}{origin}/>"
    )


def _distinct(values: Iterable[T | None]) -> list[T]:
    """Return the values other than None, each once, in order."""
    return list(dict.fromkeys(value for value in values if value is not None))
