"""``python tests``: every test, in pytest processes of a package each, three at a time. Options are handed to each of them.

Each waits for its servers much of the time. Packages that take short share one, and a cluster in it. ``pytest``
alone runs every test in one process.
"""

import sys
from pathlib import Path

from tests.support.sessions import run_sessions

TESTS = Path(__file__).parent

PROCESSES = {
    "ingest": TESTS / "ingest",
    "appending": TESTS / "ingest" / "appending",
    "czar": TESTS / "czar",
    "oracle": TESTS / "oracle",
    "others": TESTS,
    "qserv": TESTS / "qserv",
}
"""Directories, what takes longest first, so that the last ones end together; each without those of the others that are in it."""

AT_ONCE = 3


def main(options: list[str]) -> int:
    """Run all tests, and return the exit code."""
    within = {name: [other for other in PROCESSES.values() if path in other.parents] for name, path in PROCESSES.items()}
    ignored = {name: [f"--ignore={path}" for path in paths] for name, paths in within.items()}
    return run_sessions({name: [*options, str(path), *ignored[name]] for name, path in PROCESSES.items()}, AT_ONCE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
