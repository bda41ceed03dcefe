"""How large this machine is, as far as a process of ours may use it."""

import os
from dataclasses import dataclass
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where a container's memory limit is found, cgroup v2 and v1."""


MOST_SCANS = 16
"""Chunks that are scanned at a time on a node unless set otherwise: each is a backend with its own working memory, and a few
of them keep any disk busy."""


@dataclass(frozen=True)
class Machine:
    """Memory and cores."""

    memory_bytes: int
    cores: int

    def scans(self, setting: int | None) -> int:
        """Return how many chunks the scans of a node read at a time, of one query or of several.

        Unless set, one more than there are cores: so all cores are busy also while rows of a chunk are handed on.
        """
        return setting or min(self.cores + 1, MOST_SCANS)


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
