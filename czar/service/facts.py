"""What the API tells of jobs, queries and tables, made from what the metadata database and the catalogue hold."""

from collections.abc import Iterator
from hashlib import blake2b

from czar.catalogue import Catalogue, TableEntry
from czar.execution import Execution
from czar.service.models import ColumnInfo, JobInfo, QueryInfo, TableDeclaration, TableInfo
from qserv.api.errors import error_info, told
from qserv.api.messages import ErrorInfo, PlaceInfo
from qserv.metadata.czars import LoggedQuery, Progress
from qserv.metadata.jobs import Job, JobError
from qserv.metadata.query_log import EXECUTING
from schema.serialise import table_to_json


def job_info(job: Job) -> JobInfo:
    """Return a job as clients see it."""
    return JobInfo(
        job_id=job.job_id,
        owner=job.owner,
        dialect=job.dialect,
        query=job.text,
        max_rows=job.max_rows,
        state=job.state,
        cancel_requested=job.cancel_requested,
        attempt=job.attempt,
        submitted=job.submitted,
        started=job.started,
        ended=job.ended,
        expires=job.expires,
        eta_s=job.eta_s,
        chunks_done=job.chunks_done,
        chunks_total=job.chunk_count,
        rows=job.row_count,
        size_bytes=job.byte_count,
        overflow=job.overflow,
        error=_job_error(job.error) if job.error else None,
    )


def query_info(query: LoggedQuery, execution: Execution | None) -> QueryInfo:
    """Return a query of the log as clients see it; how far it is comes from its execution, if that is in this process."""
    far: LoggedQuery | Progress = query if execution is None else execution.progress
    return QueryInfo(
        query_id=query.query_id,
        user=query.user_name,
        dialect=query.dialect,
        query=query.text,
        state=query.state,  # type: ignore[arg-type]  # pydantic checks that it is one of the four
        submitted=query.submitted,
        ended=query.ended,
        plan_shape=execution.measured.shape if execution and execution.measured else query.plan_shape,
        chunks_done=far.chunks_done,
        chunks_total=far.chunk_count,
        rows=far.row_count,
        size_bytes=far.byte_count,
        error=told(query.error_code or "error", query.error) if query.error else None,
        czar=query.czar,
        job_id=query.job_id,
    )


def young_query(execution: Execution) -> LoggedQuery:
    """Return a query of this process that is not in the log yet."""
    progress = execution.progress
    return LoggedQuery(
        query_id=execution.query_id,
        user_name=execution.user,
        dialect=execution.dialect,
        text=execution.text,
        state=EXECUTING,
        submitted=execution.submitted,
        ended=None,
        plan_shape=None,
        chunks_done=progress.chunks_done,
        chunk_count=progress.chunk_count,
        row_count=progress.row_count,
        byte_count=progress.byte_count,
        error=None,
        error_code=None,
        czar_id=None,
        czar=None,
        job_id=None,
    )


def table_infos(catalogue: Catalogue) -> Iterator[TableInfo]:
    """Yield the published tables in the order of the catalogue."""
    for entry in catalogue.entries:
        table = entry.table
        yield TableInfo(
            database=entry.database,
            name=table.name,
            role=table.role.value,
            description=table.description,
            rows=entry.known_row_count,
            columns=tuple(
                ColumnInfo(
                    name=column.name,
                    datatype=column.datatype.value,
                    unit=column.unit,
                    ucd=column.ucd,
                    description=column.description,
                )
                for column in table.columns
            ),
        )


def declaration(catalogue: Catalogue, entry: TableEntry) -> TableDeclaration:
    """Return what was declared of a table."""
    database = next(each for each in catalogue.databases if each.name == entry.database)
    rows = blake2b(entry.chunks.tobytes() + entry.row_counts.tobytes(), digest_size=8).hexdigest()
    return TableDeclaration(
        database=database.name,
        description=database.description,
        version=database.version,
        family=database.family,
        overlap_deg=database.overlap_deg,
        table=table_to_json(entry.table),
        rows=entry.known_row_count,
        edition=f"{entry.table_id}-{rows}",
    )


def job_error(error: BaseException) -> JobError:
    """Return an error as a job keeps it."""
    info = error_info(error)
    line, column = (info.place.line, info.place.column) if info.place else (None, None)
    return JobError(info.code, info.message, info.retryable, line, column)


def _job_error(error: JobError) -> ErrorInfo:
    place = PlaceInfo(line=error.line, column=error.column) if error.line and error.column else None
    return told(error.code, error.message, retryable=error.retryable, place=place)
