"""Memory of processes, from ``/proc``, and programs run to be measured."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qserv.embedded.processes import run_records

MIB = 2**20


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
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _status_bytes(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    msg = f"/proc/{pid}/status has no {field}"
    raise ValueError(msg)
