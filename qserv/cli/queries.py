"""``qserv queries``."""

from datetime import UTC, datetime

from qserv.cli.asking import open_czar
from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.cli.showing import plain_table, show

SHOWN_CHARACTERS = 60
"""Of a query's text in the list; --json has all of it."""


def command(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the queries that run now, of all users and services, the oldest first."""
    with open_czar(load_settings(home=home)) as czar:
        queries = czar.queries()
    if as_json:
        print_json({"queries": [query.model_dump(mode="json") for query in queries]})
        return
    now = datetime.now(UTC)
    shown = plain_table(("id", "user", "seconds", "chunks", "kind", "query"))
    for query in queries:
        shown.add_row(
            str(query.query_id),
            query.user,
            f"{(now - query.submitted).total_seconds():.1f}",
            f"{query.chunks_done or 0} of {query.chunks_total}" if query.chunks_total else "",
            "job" if query.job_id else "",
            " ".join(query.query.split())[:SHOWN_CHARACTERS],
        )
    show(console, shown, paged=False)
