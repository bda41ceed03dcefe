"""What the routes of the API work with."""

from dataclasses import dataclass

from czar.service.answers import Asking
from czar.service.jobs import Jobs
from czar.service.results import Results
from czar.service.runner import JobRunner


@dataclass(frozen=True)
class Parts:
    """A czar's service, put together. ``max_rows``: rows of any answer at the most."""

    asking: Asking
    jobs: Jobs
    results: Results
    runner: JobRunner
    max_rows: int
