"""Which process is which: a pid alone is reused by other programs, a pid with its start time and boot is not (Linux ``/proc``)."""

import json
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

RUN_DIRECTORY = "run"
"""Below the home: one file for each process of ours that was started and not yet seen to end."""

POLL_S = 0.02
"""How often a process is looked at while we wait for it: a start or stop takes some tens of milliseconds."""


@dataclass(frozen=True)
class Process:
    """One process for all time: pid, start time in clock ticks since boot, and which boot."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the process that has this pid now; None if there is none, or it has ended and waits to be collected."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # proc(5): the command, in parentheses, may hold anything; state is field 3, start time field 22.
        fields = stat[stat.rindex(")") + 2 :].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]), _boot_id())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return Process.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait_end(self, timeout_s: float) -> bool:
        """Return whether the process ended within the time."""
        deadline = time.monotonic() + timeout_s
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def end(self, steps: Iterable[tuple[signal.Signals, float]]) -> bool:
        """Send each signal and wait its seconds, until the process has ended; return whether it has."""
        return any(self._send_and_wait(number, timeout_s) for number, timeout_s in steps)

    def _send_and_wait(self, number: signal.Signals, timeout_s: float) -> bool:
        self.send(number)
        return self.wait_end(timeout_s)


@dataclass(frozen=True)
class RunRecord:
    """A process that was started for a cluster: its name in the cluster, its port, and since when (seconds since 1970)."""

    name: str
    kind: str
    process: Process
    port: int | None
    since: float

    def write(self, home: Path) -> None:
        """Keep the record in the home until `remove`."""
        directory = home / RUN_DIRECTORY
        directory.mkdir(exist_ok=True)
        new = directory / f".{self.name}.new"
        new.write_text(json.dumps(asdict(self)))
        new.replace(directory / f"{self.name}.json")

    def remove(self, home: Path) -> None:
        """Forget the record."""
        (home / RUN_DIRECTORY / f"{self.name}.json").unlink(missing_ok=True)


def run_records(home: Path) -> tuple[RunRecord, ...]:
    """Return the records in a home, in order of name. One that was cut off by a crash while written is left out."""
    records = []
    for path in sorted((home / RUN_DIRECTORY).glob("*.json")):
        try:
            document = json.loads(path.read_text())
            records.append(RunRecord(**document | {"process": Process(**document["process"])}))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
    return tuple(records)


def _boot_id() -> str:
    """Return what differs after each boot: start times count from there."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
