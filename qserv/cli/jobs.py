"""``qserv jobs``."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from qserv.cli.asking import id_named, open_czar
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.queries import SHOWN_CHARACTERS
from qserv.cli.showing import plain_table, show

if TYPE_CHECKING:
    from czar.service.models import JobInfo


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One job: its id, or as much of it as is its own.", show_default=False)
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the latest 100 jobs of all users, the newest first; with an id, tell all of one."""
    with open_czar(load_settings(home=home)) as czar:
        jobs = czar.jobs()
        if name is not None:
            found = id_named(name, [job.job_id for job in jobs])
            jobs = [czar.job(found)]
    if as_json:
        print_json(jobs[0].model_dump(mode="json") if name is not None else {"jobs": [job.model_dump(mode="json") for job in jobs]})
    elif name is not None:
        _tell(jobs[0])
    else:
        shown = plain_table(("id", "owner", "state", "submitted", "seconds", "chunks", "rows", "query"))
        for job in jobs:
            text = " ".join(job.query.split())[:SHOWN_CHARACTERS]
            rows = "" if job.rows is None else f"{job.rows:,}"
            shown.add_row(str(job.job_id), job.owner, job.state, _when(job.submitted), _seconds(job), _chunks(job), rows, text)
        show(console, shown, paged=False)


def _tell(job: "JobInfo") -> None:
    """Print what is known of one job, a fact a line."""
    facts = {
        "id": str(job.job_id),
        "owner": job.owner,
        "state": f"{job.state}{', is being stopped' if job.cancel_requested and not job.state.ended else ''}",
        "submitted": _when(job.submitted),
        "seconds": _seconds(job),
        "chunks": _chunks(job),
        "seconds left": "" if job.eta_s is None else f"{job.eta_s:.0f}",
        "rows": "" if job.rows is None else f"{job.rows:,}{', and there were more' if job.overflow else ''}",
        "bytes": "" if job.size_bytes is None else f"{job.size_bytes:,}",
        "kept until": "" if job.expires is None else _when(job.expires),
        "attempts": str(job.attempt) if job.attempt > 1 else "",
        "error": "" if job.error is None else f"{job.error.code}: {job.error.message}",
        "query": job.query,
    }
    for fact, value in facts.items():
        if value:
            console.print(f"{fact:<13}{value}", markup=False, soft_wrap=True)


def _chunks(job: "JobInfo") -> str:
    return f"{job.chunks_done or 0} of {job.chunks_total}" if job.chunks_total else ""


def _seconds(job: "JobInfo") -> str:
    """Return how long a job runs, or ran; nothing while it waits."""
    if job.started is None:
        return ""
    return f"{((job.ended or datetime.now(UTC)) - job.started).total_seconds():.1f}"


def _when(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
