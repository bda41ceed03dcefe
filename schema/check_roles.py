"""What must hold for a table's role: positions, keys, UCDs, frame."""

from collections.abc import Iterator

from schema.model import Column, ColumnType, Database, Orphans, Table, TableRole, Versions

TIME_TYPES = frozenset({ColumnType.LONG, ColumnType.DOUBLE, ColumnType.TIMESTAMP})
"""Types of columns that tell when a version held."""

KEY_TYPES = frozenset({ColumnType.SHORT, ColumnType.INT, ColumnType.LONG})
"""Types of a director's key: the director index holds keys as bigint."""


def role_problems(database: Database, table: Table) -> Iterator[str]:
    """Yield what is wrong in what a table declares for its role."""
    yield from _position(table)
    yield from _frames(table)
    match table.role:
        case TableRole.DIRECTOR:
            yield from _director(database, table)
        case TableRole.DEPENDENT:
            yield from _dependent(database, table)
        case TableRole.REPLICATED:
            if table.director is not None or table.director_key is not None:
                yield "a replicated table has no director; leave director and director_key out"
        case TableRole.REF_MATCH:
            yield from _ref_match(database, table)
    yield from _misplaced(table)


def _misplaced(table: Table) -> Iterator[str]:
    """Yield what is said of a table that is for tables of another role."""
    if table.role is not TableRole.REF_MATCH and (table.second_director is not None or table.second_director_key is not None):
        yield "only a ref-match table has a second director; leave second_director and second_director_key out"
    if table.role is not TableRole.DEPENDENT and (table.director_ra is not None or table.director_dec is not None):
        yield "only a dependent carries the position of its director; leave director_ra and director_dec out"
    if table.role is not TableRole.DEPENDENT and table.orphans is not Orphans.REJECT:
        yield "only a dependent has rows that its director lacks; leave orphans out"
    if table.role not in {TableRole.DIRECTOR, TableRole.DEPENDENT} and table.versions is not None:
        yield "only rows of a director or a dependent are followed by others of their key; leave versions out"
    if table.role is not TableRole.DEPENDENT and table.overlap:
        yield "only a dependent is asked for overlap, a director always has it; leave overlap out"


def _director(database: Database, table: Table) -> Iterator[str]:
    if table.director is not None:
        yield "a director table has no director; leave director out"
    if table.ra is None or table.dec is None:
        yield "a director table names its position columns: ra and dec"
    if table.director_key is None:
        yield "a director table names its key column: director_key"
    else:
        yield from _key(table, table.director_key)
        if table.director_key in table.by_name and table.by_name[table.director_key].nullable:
            yield f"director_key: column {table.director_key} must have nullable: false"
    if table.versions is not None:
        yield from _versions(database, table, table.versions)
    yield from _main_column(table, "meta.id;meta.main", table.director_key)
    yield from _main_column(table, "pos.eq.ra;meta.main", table.ra)
    yield from _main_column(table, "pos.eq.dec;meta.main", table.dec)


def _versions(database: Database, table: Table, versions: Versions) -> Iterator[str]:
    columns = {what: table.by_name.get(name) for what, name in (("start", versions.start), ("end", versions.end))}
    yield from (f"versions: {what}: there is no such column" for what, column in columns.items() if column is None)
    start, end = columns["start"], columns["end"]
    if start is not None and end is not None:
        if start.datatype not in TIME_TYPES or end.datatype is not start.datatype:
            yield f"versions: start and end are of one type, one of {', '.join(sorted(TIME_TYPES))}"
        if start.nullable or not end.nullable:
            yield f"versions: {start.name} must have nullable: false, and {end.name}, NULL in the last version, nullable: true"
    yield from (
        _versions_of_dependent(table, versions)
        if table.role is TableRole.DEPENDENT
        else _versions_of_director(database, table, versions)
    )


def _versions_of_director(database: Database, table: Table, versions: Versions) -> Iterator[str]:
    if versions.withdrawn is not None:
        yield "versions: rows of a director are not withdrawn, because others belong to them; leave withdrawn out"
    if 2 * versions.margin_deg > database.overlap_deg:
        yield "versions: overlap_deg must be at least twice margin_arcsec, for the neighbours of rows outside of their chunk"
    for other in database.tables:
        if other.director == table.name and other.position_of_director:
            yield f"versions: rows of {other.name} are placed by their key; leave director_ra and director_dec out there"
        if other.role is TableRole.REF_MATCH and table.name in {name for name, _ in other.directors}:
            yield f"versions: not yet supported where a ref-match table, {other.name}, has pairs of its rows"
        for key in other.foreign_keys:
            if key.max_separation_deg is not None and table.name in {other.name, key.target_table}:
                yield f"versions: not yet supported with a foreign key, {key.name}, that has max_separation_arcsec"


def _versions_of_dependent(table: Table, versions: Versions) -> Iterator[str]:
    withdrawn = None if versions.withdrawn is None else table.by_name.get(versions.withdrawn)
    if versions.withdrawn is not None and (withdrawn is None or not withdrawn.nullable):
        yield f"versions: withdrawn: there must be a column {versions.withdrawn} with nullable: true"
    if not table.primary_key:
        yield "versions: rows follow others of the same primary key; declare primaryKey in the Felis file"
    for name in table.primary_key:
        if name in table.by_name and table.by_name[name].datatype not in KEY_TYPES:
            yield f"versions: primary key column {name} must be an integer: {', '.join(sorted(KEY_TYPES))}"
    if table.keeps_orphans:
        yield "versions: not yet supported of a table that keeps rows without a director (orphans: keep)"
    if table.position_of_director:
        yield "versions: its rows are placed by their key; leave director_ra and director_dec out"


def _dependent(database: Database, table: Table) -> Iterator[str]:
    if table.director_key is None:
        yield "a dependent table names the column that holds its director's key: director_key"
    else:
        yield from _key(table, table.director_key)
    if table.director is None:
        yield "a dependent table names its director"
    else:
        yield from _named_director(database, table.director)
    yield from _position_of_director(table)
    if table.keeps_orphans and table.ra is None:
        yield "orphans: keep: they are kept by their own position; name its columns, ra and dec"
    if table.overlap and table.ra is None:
        yield "overlap: it is that of positions; name their columns, ra and dec"
    if table.versions is not None:
        yield from _versions(database, table, table.versions)


def _ref_match(database: Database, table: Table) -> Iterator[str]:
    if table.ra is not None or table.dec is not None:
        yield "a ref-match table has no position of its own, its rows lie with those of its directors; leave ra and dec out"
    if None in {table.director, table.director_key, table.second_director, table.second_director_key}:
        named = "director, director_key, second_director, second_director_key"
        yield f"a ref-match table names two directors and the columns that hold their keys: {named}"
        return
    for (director, key), what in zip(table.directors, ("director", "second_director"), strict=True):
        yield from _named_director(database, director, what)
        yield from _key(table, key, f"{what}_key")
    if table.director_key == table.second_director_key:
        yield f"second_director_key: column {table.director_key} cannot hold both keys; name another column"


def _named_director(database: Database, name: str, what: str = "director") -> Iterator[str]:
    director = database.by_name.get(name)
    if director is None:
        yield f"{what}: there is no table {name}"
    elif director.role is not TableRole.DIRECTOR:
        yield f"{what}: table {name} is {director.role}, not a director"


def _key(table: Table, name: str, what: str = "director_key") -> Iterator[str]:
    column = table.by_name.get(name)
    if column is None:
        yield f"{what}: there is no column {name}"
    elif column.datatype not in KEY_TYPES:
        yield f"{what}: column {name} is {column.datatype}; a key is an integer: short, int or long"


def _position(table: Table) -> Iterator[str]:
    yield from _both("ra and dec", table.ra, table.dec)
    for what, name in (("ra", table.ra), ("dec", table.dec)):
        if name is not None and name not in table.by_name:
            yield f"{what}: there is no column {name}"
    yield from _degrees(table, {"ra": table.ra, "dec": table.dec})


def _position_of_director(table: Table) -> Iterator[str]:
    """Yield what is wrong with the director's position in a dependent's rows; its columns may be of the files alone."""
    yield from _both("director_ra and director_dec", table.director_ra, table.director_dec)
    yield from _degrees(table, {"director_ra": table.director_ra, "director_dec": table.director_dec})


def _both(what: str, ra: str | None, dec: str | None) -> Iterator[str]:
    if (ra is None) != (dec is None):
        yield f"{what} are named both or not at all"


def _degrees(table: Table, named: dict[str, str | None]) -> Iterator[str]:
    for what, name in named.items():
        column = table.by_name.get(name or "")
        if column is None:
            continue
        if column.datatype is not ColumnType.DOUBLE:
            yield f"{what}: column {name} is {column.datatype}; positions are double (float is exact to 0.05 arcsec only)"
        if column.unit != "deg":
            yield f"{what}: column {name} has unit {column.unit}; positions are in deg"


def _frames(table: Table) -> Iterator[str]:
    if table.ra is not None and table.frame is None:
        yield "a table with positions declares its frame: system and epoch"
    if table.frame is not None and table.frame.system != "ICRS":
        yield f"frame: positions are ICRS, not {table.frame.system}; convert them before they are loaded"
    has_times = any(column.datatype is ColumnType.TIMESTAMP for column in table.columns)
    if table.partitioned and has_times and table.time_system is None:
        yield "a table with timestamps declares its time_system: timescale and refposition"


def _main_column(table: Table, ucd: str, expected: str | None) -> Iterator[str]:
    """Check that exactly one column has a main UCD, and that it is the one that the role names."""
    found = [column.name for column in table.columns if _ucd(column) == ucd]
    if len(found) != 1:
        listed = f"{len(found)} columns have it: {', '.join(found)}" if found else "no column has it"
        yield f"exactly one column of a director table has UCD {ucd}; {listed}"
    elif expected is not None and found[0] != expected:
        yield f"UCD {ucd} belongs to column {expected}, not to {found[0]}"


def _ucd(column: Column) -> str:
    return "".join((column.ucd or "").lower().split())
