"""How large this machine is, as far as a process of ours may use it."""

import os
from dataclasses import dataclass
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container's memory limit is found, cgroup v2 and v1."""


@dataclass(frozen=True)
class Machine:
    """Memory and cores."""

    memory_bytes: int
    cores: int


def this_machine() -> Machine:
    """Return this machine's size: physical memory or the container's limit, and the cores this process may run on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in CGROUP_LIMITS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            memory_bytes = min(memory_bytes, int(text))
    return Machine(memory_bytes, len(os.sched_getaffinity(0)))
