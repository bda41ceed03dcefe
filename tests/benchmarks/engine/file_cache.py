"""What servers read from disk, and a limit to what the kernel keeps of their files: without it a small survey would never be read.

The limit is kept by a thread that gives back pages of pieces of files, the longest read first, as soon as more than the limit is
held. Both sides have the same limit. Linux 6.5 tells how much of a file is held (cachestat(2)); before it nothing is limited.
"""

import ctypes
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

CACHESTAT = 451
"""Number of the system call."""

PIECE_BYTES = 2**23
"""Large enough that few system calls tell of gigabytes."""

LOOK_S = 0.1
"""Between two looks."""

PAGE_BYTES = 4096

LEAST_FILE_BYTES = 16 * PAGE_BYTES
"""Smaller files are of catalogues, and are many."""


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Held(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("pages", "dirty", "writeback", "evicted", "recently_evicted"))


_libc = ctypes.CDLL(None, use_errno=True)


def can_limit() -> bool:
    """Whether the kernel tells what it holds."""
    descriptor = os.open(__file__, os.O_RDONLY)
    try:
        _held_bytes(descriptor, 0, 0)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def drop(directories: Iterable[Path]) -> None:
    """Give back all pages of all table files."""
    os.sync()
    for path in _files(directories):
        with _opened(path) as descriptor:
            if descriptor is not None:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def limited(directories: Iterable[Path], limit_bytes: int) -> Iterator[None]:
    """Keep what the kernel holds of the table files below a limit while the block lasts; it holds nothing at the begin."""
    directories = list(directories)
    drop(directories)
    ended = threading.Event()
    thread = threading.Thread(target=_keep, args=(directories, limit_bytes, ended), name="file-cache", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def read_bytes(postmasters: Iterable[int]) -> int:
    """Return what the servers have read from disk so far: with all their processes, those that have ended included."""
    total = 0
    waiting = list(postmasters)
    while waiting:
        pid = waiting.pop()
        try:
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
            waiting += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended: its parent counts it now
        total += int(next(line for line in lines if line.startswith("read_bytes")).split()[1])
    return total


def _keep(directories: list[Path], limit_bytes: int, ended: threading.Event) -> None:
    """Look again and again. Files stay open: opening all of them each time takes a tenth of a core from the servers."""
    seen: dict[tuple[int, int], tuple[int, float]] = {}
    """Bytes held of a piece (descriptor and offset), and when they last became more."""
    with ExitStack() as files:
        opened = [files.enter_context(_opened(path)) for path in _files(directories)]
        for descriptor in opened:
            if descriptor is not None:
                seen |= {(descriptor, offset): (0, 0.0) for offset in range(0, os.fstat(descriptor).st_size, PIECE_BYTES)}
        while not ended.wait(LOOK_S):
            for (descriptor, offset), (before, since) in seen.items():
                held = _held_bytes(descriptor, offset, PIECE_BYTES)
                if held != before:
                    seen[descriptor, offset] = held, time.monotonic() if held > before else since
            total = sum(held for held, _ in seen.values())
            for (descriptor, offset), (held, _) in sorted(seen.items(), key=lambda one: one[1][1]):
                if total <= limit_bytes:
                    break
                if held:
                    os.posix_fadvise(descriptor, offset, PIECE_BYTES, os.POSIX_FADV_DONTNEED)
                    seen[descriptor, offset] = 0, 0.0
                    total -= held


def _held_bytes(descriptor: int, offset: int, length: int) -> int:
    held = _Held()
    if _libc.syscall(CACHESTAT, descriptor, ctypes.byref(_Range(offset, length)), ctypes.byref(held), 0):
        raise OSError(ctypes.get_errno(), "cachestat")
    return int(held.pages) * PAGE_BYTES


def _files(directories: Iterable[Path]) -> list[Path]:
    """Return the files of tables large enough to matter."""
    found = []
    for directory in directories:
        for path in (directory / "base").glob("*/[0-9]*"):
            try:
                if path.stat().st_size >= LEAST_FILE_BYTES:
                    found.append(path)
            except FileNotFoundError:
                continue
    return found


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a file; None if it has gone, as files of temporary tables do."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
