"""``qserv status``."""

from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json, print_table
from qserv.supervisor.status import ClusterStatus, cluster_status


def command(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show the processes of the cluster and whether they answer."""
    status = cluster_status(load_settings(home=home).home)
    if as_json:
        print_json(status.document())
    else:
        print_status(status)


def print_status(status: ClusterStatus) -> None:
    """Print the table of a running cluster, and where to reach it."""
    print_table(
        ("process", "pid", "port", "up since (UTC)", "answers"),
        (
            (
                process.name,
                str(process.pid),
                str(process.port or ""),
                process.up_since.removesuffix("+00:00").replace("T", " "),
                "yes" if process.answers else "NO",
            )
            for process in status.processes
        ),
    )
    kinds = {process.kind for process in status.processes}
    if "tap" in kinds:
        console.print(f"\nTAP   {status.tap_url}", soft_wrap=True)
    if "ingest" in kinds:
        console.print(f"load  {status.ingest_url}, rows over Arrow Flight {status.ingest_flight_url}", soft_wrap=True)
    console.print(f"home  {status.home}", soft_wrap=True)
