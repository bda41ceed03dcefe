"""``/tap/tables``: databases, tables, columns and foreign keys (VOSI 1.1, section 2.3; VODataService 1.2, section 3.3)."""

import xml.etree.ElementTree as ET

from czar.catalogue import Catalogue
from schema.model import Column, Database, Table
from schema.reserved import adql_name
from schema.tap_schema import indexed_columns
from schema.types import votable_type

VOSI = "http://www.ivoa.net/xml/VOSITables/v1.0"
VODATASERVICE = "http://www.ivoa.net/xml/VODataService/v1.1"
XSI = "http://www.w3.org/2001/XMLSchema-instance"


def qualified_name(database: Database, table: Table) -> str:
    """Return the name of a table as it is written in a query."""
    return f"{adql_name(database.name)}.{adql_name(table.name)}"


def tableset_document(catalogue: Catalogue, *, columns: bool = True) -> bytes:
    """Return all tables; without their columns if ``columns`` is false (``detail=min``)."""
    root = _root("tableset")
    for database in catalogue.databases:
        schema = ET.SubElement(root, "schema")
        _text(schema, "name", adql_name(database.name))
        _text(schema, "description", database.description)
        for table in database.tables:
            _table(ET.SubElement(schema, "table"), catalogue, database, table, columns=columns)
    return _document(root)


def table_document(catalogue: Catalogue, name: str) -> bytes | None:
    """Return the table of a qualified name, or None if there is none."""
    for database in catalogue.databases:
        for table in database.tables:
            if name in {qualified_name(database, table), f"{database.name}.{table.name}"}:
                root = _root("table")
                _table(root, catalogue, database, table, columns=True)
                return _document(root)
    return None


def _root(name: str) -> ET.Element:
    """Return the root element, with the namespaces that ``xsi:type`` refers to."""
    attributes = {"xmlns:vosi": VOSI, "xmlns:vs": VODATASERVICE, "xmlns:xsi": XSI, "xsi:type": "vs:TableSet"}
    if name == "table":
        attributes["xsi:type"] = "vs:Table"
    return ET.Element(f"vosi:{name}", attributes)


def _document(root: ET.Element) -> bytes:
    text: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return text


def _text(parent: ET.Element, name: str, text: str | None) -> None:
    """Add an element, unless its text is empty."""
    if text:
        ET.SubElement(parent, name).text = text


def _table(element: ET.Element, catalogue: Catalogue, database: Database, table: Table, *, columns: bool) -> None:
    """Fill the element of a table."""
    _text(element, "name", qualified_name(database, table))
    _text(element, "description", table.description)
    rows = catalogue.row_count(database.name, table.name)
    _text(element, "nrows", None if rows is None else str(rows))
    if not columns:
        return
    indexed = indexed_columns(table)
    for column in table.columns:
        _column(ET.SubElement(element, "column"), column, indexed=column.name in indexed, primary=column.name in table.primary_key)
    for key in table.foreign_keys:
        foreign = ET.SubElement(element, "foreignKey")
        _text(foreign, "targetTable", qualified_name(database, database.by_name[key.target_table]))
        for source, target in zip(key.columns, key.target_columns, strict=True):
            pair = ET.SubElement(foreign, "fkColumn")
            _text(pair, "fromColumn", adql_name(source))
            _text(pair, "targetColumn", adql_name(target))
        _text(foreign, "description", key.description)


def _column(element: ET.Element, column: Column, *, indexed: bool, primary: bool) -> None:
    """Fill the element of a column."""
    if column.std:
        element.set("std", "true")
    _text(element, "name", adql_name(column.name))
    _text(element, "description", column.description)
    _text(element, "unit", column.unit)
    _text(element, "ucd", column.ucd)
    _text(element, "utype", column.utype)
    votable = votable_type(column)
    attributes = {"xsi:type": "vs:VOTableType", "arraysize": votable.arraysize, "extendedType": votable.xtype}
    datatype = ET.SubElement(element, "dataType", {name: value for name, value in attributes.items() if value})
    datatype.text = votable.datatype
    flags = {"indexed": indexed, "primary": primary, "nullable": column.nullable, "principal": column.principal}
    for flag, holds in flags.items():
        if holds:
            _text(element, "flag", flag)
