"""``qserv down``."""

from qserv.cli.options import HomeOption, JsonOption, load_settings
from qserv.cli.output import console, print_json
from qserv.supervisor.down import stop_cluster


def command(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Stop the cluster, and whatever a killed launcher left running."""
    settings = load_settings(home=home)
    stopped = stop_cluster(settings.home)
    if as_json:
        print_json({"home": str(settings.home), "stopped": stopped})
    else:
        console.print(f"stopped {stopped} processes of {settings.home}", soft_wrap=True)
