"""What a database, a table and a column are. Frozen values; no file, no SQL."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

HEALPIX_COLUMN = "_healpix_29"
"""Column of every partitioned table: NESTED order-29 HEALPix pixel of the row (the name that HATS gives it); NULL in chunk 0."""

CONTRIBUTION_COLUMN = "_contribution"
"""Column of every table: number of the contribution that the row came with (``provenance.contributions``)."""

ENDED_COLUMN = "_ended"
"""Column of every table of former versions: number of the contribution whose row follows this one."""

NEAREST_COLUMN = "_nearest_deg"
"""Column of every director: how near the nearest other row is (`ingest.nearest`). For the planner alone: no query can name it."""

FRIENDS_COLUMN = "_friends"
"""Column of every director: number of its group of rows near each other, within a chunk (`partitioner.friends`). As above."""


class TableRole(StrEnum):
    """How a table is spread over the nodes."""

    DIRECTOR = "director"
    DEPENDENT = "dependent"
    REF_MATCH = "ref-match"
    REPLICATED = "replicated"


class Orphans(StrEnum):
    """What becomes of rows of a dependent whose director has no row of their key, or whose key is NULL."""

    REJECT = "reject"
    """They are bad rows."""
    KEEP = "keep"
    """They lie in the chunk of their own position; without one, in chunk 0."""


class ColumnType(StrEnum):
    """Types of columns, by their Felis names. ``schema.types`` maps them to PostgreSQL, Arrow and VOTable."""

    BOOLEAN = "boolean"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    CHAR = "char"
    STRING = "string"
    UNICODE = "unicode"
    TEXT = "text"
    BINARY = "binary"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    ``unit`` is in VOUnit syntax, ``ucd`` in UCD1+; ``length`` is in characters or bytes and None where unbounded.
    """

    name: str
    datatype: ColumnType
    description: str = ""
    length: int | None = None
    nullable: bool = True
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    xtype: str | None = None
    principal: bool = False
    """Shown by clients that show few columns (TAP_SCHEMA ``principal``)."""
    std: bool = False
    """Defined by a standard (TAP_SCHEMA ``std``)."""
    keep_nan: bool = False
    """Store NaN as NaN. Otherwise NaN is stored as NULL, because PostgreSQL puts NaN above every number."""
    derived_by: str | None = None
    """Name of the function in ``ingest.derive`` that computes the column where the file does not carry it."""
    derived_from: tuple[str, ...] = ()
    """Names of the file's columns that `derived_by` takes, in order."""
    optional: bool = False
    """Whether files need not have it: it was added to its table when that had rows, and files of before are as they were."""
    default: str | None = None
    """Of an optional column: its value in rows whose file does not have it, as PostgreSQL reads it; None is NULL."""


HEALPIX = Column(
    HEALPIX_COLUMN,
    ColumnType.LONG,
    description="HEALPix pixel of the position, NESTED, order 29; NULL where the row has no position.",
    ucd="pos.healpix",
)
"""The pixel column, which no schema declares. ``SELECT *`` leaves it out, so TAP_SCHEMA does not list it either."""

CONTRIBUTION = Column(
    CONTRIBUTION_COLUMN, ColumnType.INT, description="Number of the contribution that the row came with.", ucd="meta.id.parent"
)
"""The column of provenance, as hidden as `HEALPIX`."""

ENDED = Column(
    ENDED_COLUMN, ColumnType.INT, description="Number of the contribution whose row follows this one.", ucd="meta.id.assoc"
)
"""The column of who ended a version, as hidden."""

NEAREST = Column(NEAREST_COLUMN, ColumnType.DOUBLE, unit="deg", ucd="pos.angDistance")
"""The column of the nearest neighbour."""

FRIENDS = Column(FRIENDS_COLUMN, ColumnType.INT, ucd="meta.id.assoc")
"""The column of the group of near neighbours."""


@dataclass(frozen=True)
class Frame:
    """Coordinate system of a table's positions (VOTable COOSYS)."""

    system: str = "ICRS"
    epoch: str | None = None
    """Epoch of the positions, such as ``J1991.25``."""
    proper_motion_ra_includes_cos_dec: bool | None = None
    """Whether the proper motion in right ascension is mu_alpha* = mu_alpha cos(dec). None where the table has none."""


@dataclass(frozen=True)
class TimeSystem:
    """Time system of a table's times (VOTable TIMESYS)."""

    timescale: str
    refposition: str
    timeorigin: str | None = None


@dataclass(frozen=True)
class ForeignKey:
    """``columns`` of this table refer to ``target_columns`` of ``target_table``, in the same database."""

    name: str
    columns: tuple[str, ...]
    target_table: str
    target_columns: tuple[str, ...]
    description: str = ""
    max_separation_deg: float | None = None
    """Between director tables: largest great-circle distance, in degrees, of a row from the row it refers to. It makes a join
    along this key chunk-local when it is within the overlap. Checked at publish against the rows, never trusted."""


@dataclass(frozen=True)
class Versions:
    """How rows of a table are followed by others of the same key: it has the last one of each, another table those before."""

    start: str
    """Name of the column from when on a version holds."""
    end: str
    """Name of the column until when it held; NULL in the last one."""
    history: str
    """Name of the table of those that have ended, a dependent with the same columns."""
    margin_deg: float
    """How far outside of its chunk, which stays the one of the first version, the position of a director's row may be."""
    withdrawn: str | None = None
    """Of a dependent: name of the column that says since when a row is withdrawn, and in the history alone; NULL in others."""


@dataclass(frozen=True)
class Table:
    """A table, and how it is partitioned."""

    name: str
    role: TableRole
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    description: str = ""
    ra: str | None = None
    """Name of the longitude column (deg, in the table's frame); a director always has one."""
    dec: str | None = None
    """Name of the latitude column (deg)."""
    director: str | None = None
    """Of a dependent: name of its director table. Of a ref-match table: of the first of its two."""
    director_key: str | None = None
    """Of a director: its key column, integer. Of a dependent or ref-match table: the column that holds the director's key."""
    second_director: str | None = None
    """Of a ref-match table: name of the second director table; it may be the first one again."""
    second_director_key: str | None = None
    """Of a ref-match table: the column that holds the second director's key."""
    director_ra: str | None = None
    """Of a dependent: name of its files' column of the longitude (deg) of the director's row, by which it is placed."""
    director_dec: str | None = None
    """Likewise the latitude. Where these are not columns of the table, they are not stored."""
    orphans: Orphans = Orphans.REJECT
    overlap: bool = False
    """Of a dependent: whether chunks keep copies of the rows that lie near or in them, by their own positions, and are at home
    elsewhere. Directors always have them."""
    versions: Versions | None = None
    """Of a director or dependent whose rows are followed by others of the same `version_key`."""
    ids: tuple[int, int] | None = None
    """First and last number that its `id_columns` may have: no other database has a table with one of these."""
    is_history: bool = False
    """Whether it is the table of former versions of another one's rows."""
    frame: Frame | None = None
    time_system: TimeSystem | None = None
    foreign_keys: tuple[ForeignKey, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()
    """Further B-tree indexes, each a tuple of column names."""

    @property
    def partitioned(self) -> bool:
        """Whether rows are spread over chunks, rather than whole on every node."""
        return self.role is not TableRole.REPLICATED

    @property
    def carried(self) -> tuple[Column, ...]:
        """Columns that its rows have behind the declared ones, and that queries can name."""
        if self.is_history:
            return (HEALPIX, CONTRIBUTION, ENDED)
        return (HEALPIX, CONTRIBUTION) if self.partitioned else (CONTRIBUTION,)

    @property
    def hidden(self) -> tuple[Column, ...]:
        """Columns that its physical tables have besides the declared ones."""
        return (*self.carried, FRIENDS, NEAREST) if self.role is TableRole.DIRECTOR else self.carried

    @property
    def physical_columns(self) -> tuple[Column, ...]:
        """Columns of its physical tables, in their order: PostgreSQL reads rows from their begin; an index asks for the pixel.

        One that is NULL, as without a position, would make it slow to find those behind it.
        """
        first = () if self.ra is None else (HEALPIX,)
        return (*first, *self.columns, *(column for column in self.hidden if column not in first))

    @property
    def directors(self) -> tuple[tuple[str, str], ...]:
        """(director table, own column that holds its key) of each table that this one hangs on: none, one or two."""
        named = ((self.director, self.director_key), (self.second_director, self.second_director_key))
        return tuple((director, key) for director, key in named if director is not None and key is not None)

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Columns whose numbers tell its rows apart: a director's key, and the primary key if it is one integer."""
        alone = self.primary_key if len(self.primary_key) == 1 and self.partitioned else ()
        own = (self.director_key,) if self.role is TableRole.DIRECTOR and self.director_key is not None else ()
        integers = {ColumnType.SHORT, ColumnType.INT, ColumnType.LONG}
        return tuple(name for name in dict.fromkeys((*own, *alone)) if self.by_name[name].datatype in integers)

    @property
    def position_of_director(self) -> tuple[str, ...]:
        """Columns of its files that hold longitude and latitude of the director's row: two or none."""
        return () if self.director_ra is None or self.director_dec is None else (self.director_ra, self.director_dec)

    @property
    def keeps_orphans(self) -> bool:
        """Whether it may have rows whose director is not there."""
        return self.orphans is Orphans.KEEP

    @property
    def version_key(self) -> tuple[str, ...]:
        """The columns that rows have in common of which one follows another: a director's key, or a dependent's primary key."""
        return (str(self.director_key),) if self.role is TableRole.DIRECTOR else self.primary_key

    @property
    def history(self) -> "Table | None":
        """The table of versions that have ended."""
        if self.versions is None or self.director_key is None:
            return None
        return replace(
            self,
            name=self.versions.history,
            role=TableRole.DEPENDENT,
            primary_key=(*self.version_key, self.versions.start),
            description=f"Former versions of the rows of {self.name}.",
            director=self.name if self.role is TableRole.DIRECTOR else self.director,
            overlap=False,
            versions=None,
            is_history=True,
            foreign_keys=(),
        )

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by their names."""
        return {column.name: column for column in self.columns}


@dataclass(frozen=True)
class Database:
    """A database: tables that are published together and share a family's chunk map."""

    name: str
    family: str
    tables: tuple[Table, ...]
    description: str = ""
    overlap_deg: float = 0.0
    """Overlap radius of the family, in degrees."""
    version: str = field(default="")

    @cached_property
    def by_name(self) -> dict[str, Table]:
        """Tables by their names."""
        return {table.name: table for table in self.tables}
