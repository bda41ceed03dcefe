"""All settings, in one model. Each is read from the environment variable of its name with ``QSERV_`` before it."""

import difflib
import os
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from qserv.errors import SettingsError

ENV_PREFIX = "QSERV_"
"""What every environment variable of ours begins with; a variable that begins so and is no setting is refused."""

MAX_PORT = 65535
"""TCP ports have 16 bits."""

MAX_EMBEDDED_NODES = 64
"""Each embedded node is a PostgreSQL server of its own; more than this on one machine is a slip of the keyboard."""


def default_home() -> Path:
    """Return where an embedded cluster lives unless told otherwise: ``$XDG_DATA_HOME/qserv`` or ``~/.local/share/qserv``."""
    data_home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data_home).expanduser() / "qserv"


class Settings(BaseSettings):
    """Settings of the whole system.

    Raises
    ------
    SettingsError
        From `load`, and for an unknown ``QSERV_*`` variable: which setting, what is wrong, and the nearest name.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        env_ignore_empty=True,
    )

    home: Path = Field(
        default_factory=default_home,
        description="Directory of an embedded cluster: its data, logs, secrets and what is running. Default:"
        " `$XDG_DATA_HOME/qserv`, or `~/.local/share/qserv`.",
    )
    pg_bin: Path | None = Field(
        default=None,
        description="Directory of the PostgreSQL programs (`initdb`, `postgres`), 15 or newer. Default: the one that is installed"
        " with the Python environment.",
    )
    nodes: int = Field(
        default=3,
        ge=1,
        le=MAX_EMBEDDED_NODES,
        description="PostgreSQL nodes of an embedded cluster. A home keeps the number it was made with.",
    )
    tap_host: str = Field(default="127.0.0.1", description="Address that the TAP service listens on.")
    tap_port: int = Field(default=8080, ge=0, le=MAX_PORT, description="Port of the TAP service; 0 finds a free one.")
    czar_host: str = Field(default="127.0.0.1", description="Address that the czar's own API listens on.")
    czar_port: int = Field(default=0, ge=0, le=MAX_PORT, description="Port of the czar's own API; 0 finds a free one.")
    ingest_host: str = Field(default="127.0.0.1", description="Address that the ingest service listens on.")
    ingest_port: int = Field(default=0, ge=0, le=MAX_PORT, description="Port of the ingest service; 0 finds a free one.")
    ingest_flight_port: int = Field(
        default=0, ge=0, le=MAX_PORT, description="Port to which rows are sent over Arrow Flight; 0 finds a free one."
    )
    upload_silence_s: float = Field(
        default=600.0,
        ge=1,
        description="Seconds for which nothing may come of a file or of rows that are sent to the ingest service, before they are"
        " given up.",
    )
    memory_share: float = Field(
        default=0.5,
        gt=0,
        le=0.9,
        description="Fraction of the machine's memory that all PostgreSQL servers of an embedded cluster may use together.",
    )
    worker_threads: int | None = Field(
        default=None,
        ge=1,
        le=48,
        description="Chunks of scans that one worker reads at a time. Default: one more than the machine has cores, at most 16.",
    )
    merge_segments: int = Field(
        default=8,
        ge=1,
        description="Pieces that a chunk's rows may be in, after rows were appended, before the small ones are made one.",
    )
    merge_quiet_s: float = Field(
        default=600.0,
        gt=0,
        description="Seconds after which all pieces of a chunk are made one, if no rows were appended to it since.",
    )
    czar_lease_s: float = Field(
        default=10.0,
        ge=0.5,
        description="Seconds without a sign of life after which a czar is taken for dead, and its asynchronous queries are run"
        " again by another one.",
    )
    job_keep_s: float = Field(
        default=7 * 86_400.0,
        gt=0,
        description="Seconds for which the result of an asynchronous query is kept.",
    )
    worker_silence_s: float = Field(
        default=20.0,
        ge=1,
        description="Seconds without a sign of life after which a worker, or the PostgreSQL beside it, is taken for lost: its"
        " chunks are asked of other replicas, or the query ends with an error.",
    )
    metadata_silence_s: float = Field(
        default=10.0,
        ge=0.5,
        description="Seconds without an answer of the metadata server, which has the scratch database too, after which it is asked"
        " whether it lives; after three times as long at most what waits for it ends with an error.",
    )
    node_return_s: float = Field(
        default=5.0,
        ge=0,
        description="Seconds for which a query waits, once, for a lost node that alone has some of its chunks, before it ends with"
        " an error: a worker that died is started again in two.",
    )
    query_timeout_s: float = Field(default=600.0, gt=0, description="Seconds after which a query is stopped.")
    max_rows: int = Field(
        default=50_000_000,
        ge=1,
        description="Rows of one answer, at most; an answer that is cut here says OVERFLOW.",
    )
    max_answer_bytes: int = Field(
        default=20_000_000_000,
        ge=1,
        description="Bytes of one answer in Arrow's memory, at most; a larger one ends with an error.",
    )
    max_step_bytes: int = Field(
        default=10_000_000_000,
        ge=1,
        description="Bytes that one step of a query may have in the scratch database.",
    )
    max_temporary_bytes: int = Field(
        default=20_000_000_000,
        ge=1_000_000,
        description="Bytes of temporary files that the sorts and hashes of one query may use: on each node, in the scratch"
        " database, and where a czar combines its rows. Read when the cluster starts.",
    )
    max_queries: int = Field(default=100, ge=1, description="Queries that a czar answers at a time; more wait.")
    max_queries_per_user: int = Field(
        default=50, ge=1, description="Queries of one user that all czars together answer at a time; more wait."
    )
    user_window_s: float = Field(
        default=3600.0, gt=0, description="Seconds over which the rows and bytes that a user reads are counted."
    )
    max_rows_per_user: int = Field(
        default=1_000_000_000, ge=1, description="Rows that one user reads from all czars together within the window, at most."
    )
    max_bytes_per_user: int = Field(
        default=200_000_000_000,
        ge=1,
        description="Bytes, in Arrow's memory, that one user reads from all czars together within the window, at most.",
    )
    max_kept_bytes_per_user: int = Field(
        default=100_000_000_000,
        ge=1,
        description="Bytes, in Arrow's memory, of the results of asynchronous queries that are kept for one user, at most.",
    )
    queue_wait_s: float = Field(
        default=30.0,
        ge=0,
        description="Seconds that a query waits for others to end before it is refused; an asynchronous one waits for as long as"
        " it takes.",
    )
    merge_memory_bytes: int = Field(
        default=1_000_000_000,
        ge=16_000_000,
        description="Memory in which a czar combines the rows of all its queries.",
    )
    max_merge_bytes: int = Field(
        default=250_000_000,
        ge=8_000_000,
        description="Of that, what one query may use, at most the half, a thread each 100 MB; larger sorts and groups go to disk.",
    )
    result_spill_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=1024 * 1024,
        description="Bytes of a result held in memory before the rest goes to disk.",
    )
    chunk_target_rows: int = Field(
        default=200_000,
        ge=1,
        description="Rows that a chunk should have at most when an adaptive chunk map is made.",
    )
    ingest_readers: int | None = Field(
        default=None,
        ge=1,
        le=32,
        description="Processes that read files at a time, where there is much to read; each takes up to a gigabyte of memory."
        " Default: half as many as the machine has cores, at most 16.",
    )
    failpoints: str = Field(
        default="",
        description="For tests of failures: points at which processes die, fail or wait, as `qserv/failpoints.py` says.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Least severe message that the services write to their logs.",
    )

    @field_validator("home", "pg_bin")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Make paths independent of the working directory: services are started from another one."""
        return None if value is None else value.expanduser().absolute()

    @model_validator(mode="before")
    @classmethod
    def _known_variables_only(cls, values: Any) -> Any:  # noqa: ANN401 (pydantic hands in whatever the caller gave)
        refuse_unknown_variables(os.environ)
        return values

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """Read the settings, with some given by the caller, and tell a wrong one in one line.

        Raises
        ------
        SettingsError
            A setting is unknown or out of its range.
        """
        try:
            return cls(**overrides)  # type: ignore[arg-type]  # pydantic checks the types
        except ValidationError as error:
            raise SettingsError("; ".join(_complaint(dict(item)) for item in error.errors())) from error

    def environment(self) -> dict[str, str]:
        """Return these settings as environment variables, so that a service which is started sees the same ones."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in values.items()}


def refuse_unknown_variables(environment: typing.Mapping[str, str]) -> None:
    """Refuse a variable that looks like a setting and is none: a misspelt one would be ignored in silence.

    Raises
    ------
    SettingsError
        Names the variable and the nearest setting.
    """
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted(environment):
        if name.upper().startswith(ENV_PREFIX) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0)[0]
            msg = f"environment variable {name} is not a setting; the nearest one is {near} (all: `qserv settings`)"
            raise SettingsError(msg)


def _complaint(error: dict[str, Any]) -> str:
    """Return what pydantic found wrong with one setting, as a clause with the nearest name or the value."""
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0)[0]
        return f"{name} is not a setting; the nearest one is {near}"
    return f"setting {name} ({ENV_PREFIX}{name.upper()}): {error['msg']}, not {error['input']!r}"


def _type_text(annotation: object) -> str:
    """Return a field's type as the reference page shows it."""
    if typing.get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        return " or ".join(_type_text(part) for part in typing.get_args(annotation) if part is not type(None))
    names = {Path: "path", int: "integer", float: "number", str: "text"}
    return names.get(annotation, str(annotation)) if isinstance(annotation, type) else str(annotation)


def reference_page() -> str:
    """Return ``docs/settings.md``, made from the model."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. An unknown `QSERV_*` variable is an error. `qserv settings` prints the values",
        "in force. This page is made by `qserv settings --reference`.",
        "",
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory or field.default is None else f"`{field.default}`"
        lines.append(f"| `{ENV_PREFIX}{name.upper()}` | {_type_text(field.annotation)} | {default} | {field.description} |")
    return "\n".join(lines) + "\n"
