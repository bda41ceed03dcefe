"""Memory of processes, from ``/proc``, and programs run to be measured."""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qserv.embedded.orphans import SUPERVISOR
from qserv.embedded.processes import run_records

MIB = 2**20

PARENT, USER = 1, 11
"""Fields of ``/proc/<pid>/stat`` behind the command (proc(5)): parent; user and system time, then both of children that ended."""


@dataclass
class Peak:
    """Resident memory of a process while a block ran, in bytes: at its begin, and the most; and its processor time."""

    before_bytes: int
    peak_bytes: int = 0
    cpu_s: float = 0.0


@contextmanager
def peak_memory(pid: int) -> Iterator[Peak]:
    """Measure the peak of another process of ours."""
    # 5 resets the high-water mark (proc_pid_clear_refs(5)).
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    peak, before_s = Peak(_status_bytes(pid, "VmRSS")), _cpu_s(pid)
    yield peak
    peak.cpu_s = _cpu_s(pid) - before_s
    peak.peak_bytes = _status_bytes(pid, "VmHWM")


def service_pid(home: Path, name: str) -> int:
    """Return the process id of a service of the cluster in ``home``."""
    return next(record.process.pid for record in run_records(home) if record.name == name)


def cpu_by_service(home: Path) -> dict[str, float]:
    """Return the processor time of each service of the cluster in ``home``, children and theirs included, by its name."""
    parents = {int(path.parent.name): fields for path in Path("/proc").glob("[0-9]*/stat") if (fields := _stat(path))}
    children: dict[int, list[int]] = defaultdict(list)
    for pid, fields in parents.items():
        children[int(fields[PARENT])].append(pid)

    def spent(pid: int) -> int:
        own = sum(map(int, parents[pid][USER : USER + 4])) if pid in parents else 0  # with children that have ended
        return own + sum(map(spent, children[pid]))

    return {
        record.name: spent(record.process.pid) / os.sysconf("SC_CLK_TCK")
        for record in run_records(home)
        if record.kind != SUPERVISOR
    }


@dataclass(frozen=True)
class Spent:
    """Processor time, in s: of the ingest service, of the metadata server, and of the nodes (workers and their PostgreSQL)."""

    service: float
    metadata: float
    nodes: float

    @classmethod
    def of(cls, home: Path) -> "Spent":
        """Return what the cluster in ``home`` has taken until now."""
        found = cpu_by_service(home)
        nodes = sum(seconds for name, seconds in found.items() if name.startswith("node-"))
        return cls(found["ingest"], found["metadata-postgres"], nodes)

    def since(self, before: "Spent") -> "Spent":
        """Return the difference."""
        return Spent(self.service - before.service, self.metadata - before.metadata, self.nodes - before.nodes)


@dataclass(frozen=True)
class Ended:
    """A program that has ended: what it printed, its processor time, and its peak of resident memory."""

    output: str
    cpu_s: float
    peak_bytes: int


def run_measured(arguments: Sequence[str], environment: dict[str, str]) -> Ended:
    """Run a Python module as ``python -m``.

    Raises
    ------
    RuntimeError
        It failed; with what it printed.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", *arguments], stdout=subprocess.PIPE, text=True, env=os.environ | environment
    ) as child:
        output = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        msg = f"{' '.join(arguments)} ended with {child.returncode}: {output}"
        raise RuntimeError(msg)
    return Ended(output, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _cpu_s(pid: int) -> float:
    user, system = _stat(Path(f"/proc/{pid}/stat"))[USER : USER + 2]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str]:
    """Return the fields of a process behind its command, which may hold anything; none if it has ended."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    msg = f"/proc/{pid}/status has no {field}"
    raise ValueError(msg)
