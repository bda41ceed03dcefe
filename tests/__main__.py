"""``python tests``: every test, in pytest processes of a package each, three at a time. Options are handed to each of them.

Of two processes each waits for its servers half of the time. ``pytest`` alone runs every test in one process.
"""

import sys
from pathlib import Path

from tests.support.sessions import run_sessions

TESTS = Path(__file__).parent

OTHERS = "others"
"""What is in no process of its own. Packages that take short share one, and a cluster in it."""

PROCESSES = ("ingest", "oracle", "czar", OTHERS, "qserv")
"""What takes longest first, so that the last ones end together."""

AT_ONCE = 3


def main(options: list[str]) -> int:
    """Run all tests, and return the exit code."""
    paths = {name: [str(TESTS / name)] for name in PROCESSES if name != OTHERS}
    paths[OTHERS] = [str(TESTS), *(f"--ignore={path}" for (path,) in paths.values())]
    return run_sessions({name: [*options, *paths[name]] for name in PROCESSES}, AT_ONCE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
