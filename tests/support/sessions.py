"""Runs pytest sessions side by side, with one account of them all at the end."""

import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.support.side_by_side import SideBySide, say

AT_ONCE = 2
"""Each has clusters of its own, so more at once need more memory; two that always work use two cores whole."""


def run_sessions(options: dict[str, list[str]], at_once: int = AT_ONCE) -> int:
    """Run pytest with each of some options, named; print the minutes of packages and what was counted; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="pytest-reports-") as directory:
        reports = {name: Path(directory) / f"{name}.xml" for name in options}
        commands = {name: [sys.executable, "-m", "pytest", f"--junit-xml={reports[name]}", *options[name]] for name in options}
        code = SideBySide(commands, at_once).run()
        # One that was killed has left none.
        read = [ET.parse(path) for path in reports.values() if path.exists()]  # noqa: S314 (just written by pytest)
    say(" minutes of packages ".center(80, "="))
    for package, seconds in _seconds(read).most_common():
        say(f"{seconds / 60:6.2f}  {package}")
    for name, count in _counted(read).items():
        say(f"{name}: {count}")
    return code


def _seconds(reports):
    """Return the seconds of each package: a folder of tests/."""
    spent = Counter()
    for case in _all(reports, "testcase"):
        # The one that Ctrl-C interrupted has no name.
        path = case.get("classname", "").split(".")
        spent[path[1] if len(path) > 2 else "tests"] += float(case.get("time"))
    return spent


def _counted(reports):
    """Return the sums of what tests counted with ``record_testsuite_property``."""
    counts = Counter()
    for counted in _all(reports, "property"):
        if counted.get("value").isdecimal():  # Hypothesis puts its statistics there, too
            counts[counted.get("name")] += int(counted.get("value"))
    return counts


def _all(reports, tag):
    return (found for report in reports for found in report.iter(tag))
