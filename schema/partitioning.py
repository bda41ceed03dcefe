"""How the tables of a Felis file are partitioned: our own YAML beside it, ``<name>.partition.yaml``. Felis has no such thing.

The file names tables, columns and foreign keys of the Felis file and says what Felis cannot: family and overlap, the role of each
table, its position columns, frame and time system, which columns keep NaN or are derived, and how far foreign keys reach.
``schema.felis`` joins the two.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qserv.errors import SchemaError
from schema.model import Frame, Orphans, TableRole, TimeSystem, Versions

SUFFIX = ".partition.yaml"
"""What stands in place of ``.yaml`` of the Felis file."""

ARCSEC_PER_DEG = 3600.0
"""Separations are written in arcsec, because they are small, and modelled in degrees, like every other angle."""


class _Entry(BaseModel):
    """Base of the entries: a misspelt key is an error, not a key without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Derive(_Entry):
    """A column that the file does not carry: `function` of ``ingest.derive`` over the file's columns `source`."""

    function: str
    source: Annotated[tuple[str, ...], Field(alias="from", min_length=1)]


class ColumnEntry(_Entry):
    """What is said of one column."""

    nan: Literal["keep"] | None = None
    """``keep``: NaN is stored as NaN. By default it is stored as NULL."""
    derive: Derive | None = None


class ForeignKeyEntry(_Entry):
    """What is said of one foreign key."""

    max_separation_arcsec: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @property
    def max_separation_deg(self) -> float:
        """The separation in degrees."""
        return self.max_separation_arcsec / ARCSEC_PER_DEG


class FrameEntry(_Entry):
    """Coordinate system of a table's positions."""

    system: str = "ICRS"
    epoch: str | None = None
    proper_motion_ra_includes_cos_dec: bool | None = None

    def frame(self) -> Frame:
        """Return the frame of the model."""
        return Frame(**self.model_dump())


class TimeSystemEntry(_Entry):
    """Time system of a table's times."""

    timescale: str
    refposition: str
    timeorigin: str | None = None

    def time_system(self) -> TimeSystem:
        """Return the time system of the model."""
        return TimeSystem(**self.model_dump())


class VersionsEntry(_Entry):
    """How rows of a director are followed by others of the same key."""

    start: str
    end: str
    history: str
    margin_arcsec: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    withdrawn: str | None = None

    def versions(self) -> Versions:
        """Return the versions of the model."""
        return Versions(self.start, self.end, self.history, self.margin_arcsec / ARCSEC_PER_DEG, self.withdrawn)


class TableEntry(_Entry):
    """What is said of one table."""

    role: TableRole
    ra: str | None = None
    dec: str | None = None
    director: str | None = None
    director_key: str | None = None
    second_director: str | None = None
    second_director_key: str | None = None
    director_ra: str | None = None
    director_dec: str | None = None
    orphans: Orphans = Orphans.REJECT
    overlap: bool = False
    versions: VersionsEntry | None = None
    frame: FrameEntry | None = None
    time_system: TimeSystemEntry | None = None
    columns: dict[str, ColumnEntry] = {}
    foreign_keys: dict[str, ForeignKeyEntry] = {}


class IdsEntry(_Entry):
    """Numbers that keys of the database's rows may have: those of another one, such as an earlier release, have others."""

    first: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    last: Annotated[int, Field(ge=-(2**63), lt=2**63)]

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.first > self.last:
            msg = "first must not be greater than last"
            raise ValueError(msg)
        return self


class Partitioning(_Entry):
    """The whole file."""

    family: str
    ids: IdsEntry | None = None
    overlap_deg: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    tables: dict[str, TableEntry]


def partition_path(felis: Path) -> Path:
    """Return where the partitioning of a Felis file stands: ``stars.partition.yaml`` beside ``stars.yaml``."""
    return felis.with_name(felis.stem + SUFFIX)


def read_partitioning(path: Path) -> Partitioning:
    """Read a partition file.

    Raises
    ------
    SchemaError
        The file is missing, not YAML, or has wrong entries; all of them are named.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"{path}: there is no such file; a Felis file needs one beside it that says how its tables are partitioned"
        raise SchemaError(msg) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path}: cannot be read as YAML: {error}"
        raise SchemaError(msg) from error
    try:
        return Partitioning.model_validate(content)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()]
        raise schema_error(path, found) from error


def schema_error(path: Path, problems: list[str]) -> SchemaError:
    """Return the error that names every problem of a file, one a line."""
    counted = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return SchemaError("\n".join([f"{path}: {counted} to correct", *(f"  {path.name}: {problem}" for problem in problems)]))
