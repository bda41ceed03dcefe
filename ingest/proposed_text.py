"""A proposal -> the Felis file and the partition file, with comments where something was guessed."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import yaml

from ingest.proposal import Proposed, ProposedTable
from schema.model import ColumnType, TableRole

OVERLAP_DEG: Final = 1 / 60
"""Of a family that nobody has chosen one for: joins of neighbours within an arc minute stay on the nodes."""


def felis_text(name: str, tables: Sequence[ProposedTable]) -> str:
    """Return the Felis file of a database."""
    lines = ["# Proposed from the files: look at the comments, and write what the columns mean.", f"name: {name}"]
    lines += [
        f'"@id": "#{name}-database"',
        'version: "1"',
        f"description: {_quoted(f'{name}, as its files were found.')}",
        "tables:",
    ]
    for table in tables:
        lines += _table(table)
    return "\n".join(lines) + "\n"


def partition_text(name: str, tables: Sequence[ProposedTable]) -> str:
    """Return the partition file beside it."""
    lines = [
        f"family: {name}",
        "# How far apart partners of a join may be that are found on the nodes, in degrees.",
        f"overlap_deg: {OVERLAP_DEG:.4f}",
        "tables:",
    ]
    for table in tables:
        lines += _entry(table)
    return "\n".join(lines) + "\n"


def _table(table: ProposedTable) -> Iterator[str]:
    yield f"- name: {table.name}"
    yield f'  "@id": "#{table.name}"'
    rows = "" if table.row_count is None else f" {table.row_count:,} rows."
    yield f"  description: {_quoted(f'Table {table.name}.{rows}')}"
    if table.key:
        yield f'  primaryKey: "#{table.name}.{table.key}"'
    for source, reason in table.left_out.items():
        yield f"  # {_comment(source)} is left out: {_comment(reason)}"
    yield "  columns:"
    for each in table.columns:
        yield from _column(table.name, each)


def _column(table: str, each: Proposed) -> Iterator[str]:
    column = each.column
    yield f"  - name: {_quoted(column.name)}" + (f"  # {_comment(each.note)}" if each.note else "")
    yield f'    "@id": "#{table}.{column.name}"'
    yield f"    datatype: {column.datatype.value}"
    if not column.nullable:
        yield "    nullable: false"
    yield f"    description: {_quoted(column.description or each.source)}"
    if column.unit:
        yield f"    ivoa:unit: {_quoted(column.unit)}"
    if column.ucd:
        yield f"    ivoa:ucd: {_quoted(column.ucd)}"
    if column.principal:
        yield "    tap:principal: 1"


def _entry(table: ProposedTable) -> Iterator[str]:
    for note in table.notes:
        yield f"  # {_comment(note)}"
    yield f"  {table.name}:"
    yield f"    role: {table.role.value}"
    if table.partitioned and table.role is not TableRole.REF_MATCH and table.position:
        yield from (f"    {what}: {name}" for what, name in zip(("ra", "dec"), table.position, strict=True))
    if table.role is TableRole.DIRECTOR:
        yield f"    director_key: {table.key}"
    for what, (director, key) in zip(("director", "second_director"), table.directors, strict=False):
        yield f"    {what}: {director}"
        yield f"    {what}_key: {key}"
    if table.partitioned and table.role is not TableRole.REF_MATCH and table.position:
        yield "    frame:"
        yield "      system: ICRS  # positions in another frame must be converted before they are loaded"
        yield "      # epoch: J2000"
        if any(each.column.ucd == "pos.pm;pos.eq.ra" for each in table.columns):
            yield "      proper_motion_ra_includes_cos_dec: true  # guessed: most catalogues have it so"
    if table.partitioned and any(each.column.datatype is ColumnType.TIMESTAMP for each in table.columns):
        yield "    time_system: {timescale: UTC, refposition: UNKNOWN}  # guessed"
    yield from _columns(table)


def _columns(table: ProposedTable) -> Iterator[str]:
    """Yield what is said of columns that are not as the files have them."""
    told = [each for each in table.columns if each.column.name != each.source or each.column.keep_nan]
    if told:
        yield "    columns:"
    for each in told:
        yield f"      {each.column.name}:"
        if each.column.keep_nan:
            yield "        nan: keep"
        if each.column.name != each.source:
            yield f"        derive: {{function: renamed, from: [{_exactly(each.source)}]}}"


def _quoted(text: str) -> str:
    """Return a text as a scalar of YAML, on one line, its white space each one blank."""
    return _exactly(" ".join(text.split()))


def _exactly(text: str) -> str:
    line: str = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf)
    return line.rstrip("\n")


def _comment(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
