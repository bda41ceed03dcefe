"""Ten scans with different conditions and columns at once, over more data than memory holds, and a hundred clients meanwhile."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
from file_cache import can_limit, drop, limited, read_bytes
from measurement import Result, Sample
from sides import Archive, Data, Plain, Side, running_archive, running_plain

from czar.service.client import Czar

SCANS = tuple(
    f"SELECT COUNT(*) AS n, AVG({shown}) AS mean, MAX({other}) AS high FROM survey.source WHERE {condition}"
    for shown, other, condition in (
        ("flux", "snr", "quality > 0"),
        ("ap_flux", "x", "flux > 200"),
        ("snr", "y", "band = 'r'"),
        ("sky", "fwhm", "snr > 5"),
        ("fwhm", "flux", "sky < 1000"),
        ("x", "ap_flux", "y > 2000"),
        ("y", "sky", "fwhm > 0.7"),
        ("flux_err", "flags", "x < 1000"),
        ("ap_flux", "quality", "flux_err < 60"),
        ("flux", "visit_id", "is_dipole"),
    )
)
"""Over Source, the larger table."""

CLIENTS = 100
PAUSE_S = 1.0
"""Between two cones of a client."""

READ_GOAL, P95_GOAL_S = 1.5, 1.0

CONE_DEG = 1 / 60


@dataclass(frozen=True)
class Memory:
    """What holds pages: shares of the machine's memory for a node and for plain PostgreSQL, and the file cache of either side."""

    node_share: float
    plain_share: float
    cache_bytes: int


def crowd(data: Data, memory: Memory, seed: int) -> list[Result]:
    """Run them on each side, one after the other. Servers are started anew before each, so that they hold nothing."""
    with running_plain(data, memory.plain_share) as plain:
        stated = f"{plain.size_bytes() / 1e6:,.0f} MB of tables, shared_buffers {plain.settings['shared_buffers']} in all, "
        centres = plain.ask("SELECT ra, dec FROM survey.object WHERE ra IS NOT NULL ORDER BY object_id LIMIT 5000")
    stated += f"file cache {memory.cache_bytes / 1e6:,.0f} MB" if can_limit() else "file cache not limited: this kernel cannot tell"
    with running_plain(data, memory.plain_share) as plain:
        plain_s, plain_bytes = _timed(plain, memory.cache_bytes, [_by_own_session(plain, scan) for scan in SCANS])
    with running_archive(data, memory.node_share) as archive:
        one_s, one_bytes = _timed(archive, memory.cache_bytes, [_by_own_client(archive, SCANS[0])])
    with running_archive(data, memory.node_share) as archive:
        ten_s, ten_bytes = _timed(archive, memory.cache_bytes, [_by_own_client(archive, scan) for scan in SCANS])
    with running_archive(data, memory.node_share) as archive, _Cones(archive, centres, seed) as cones:
        crowded_s, _ = _timed(archive, memory.cache_bytes, [_by_own_client(archive, scan) for scan in SCANS])
    times, failed = cones.times_s, cones.failed
    p95 = float(np.percentile(times, 95)) if times else float("inf")
    ratio = ten_bytes / max(one_bytes, 1)
    megabytes = [Sample((size / 1e6,)) for size in (one_bytes, ten_bytes, plain_bytes)]
    goal = f"< {READ_GOAL} of one scan's"
    about = f"median {np.median(times) if times else 0:.3f} s, {len(times) / crowded_s:.0f} a second,"
    about += f" {len(failed)} of {len(times)} failed"
    return [
        Result("one scan of Source: read from disk", "MB", megabytes[0], note=stated),
        Result("10 scans at once: read from disk", "MB", *megabytes[1:], ratio, goal, ratio < READ_GOAL, "ratio to one scan"),
        Result(
            "10 scans at once",
            "s",
            Sample((ten_s,)),
            Sample((plain_s,)),
            plain_s / ten_s,
            "faster",
            plain_s > ten_s,
            f"one scan: {one_s:.1f} s; ten with cones meanwhile: {crowded_s:.1f} s",
        ),
        Result(
            f"cones of {CLIENTS} clients meanwhile: p95",
            "s",
            Sample((p95,)),
            goal=f"< {P95_GOAL_S:g} s, none failing",
            reached=p95 < P95_GOAL_S and not failed,
            note=f"each asks {PAUSE_S:g} s after its last answer; {about} {''.join(failed[:1])}",
        ),
    ]


def _timed(side: Side, limit_bytes: int, works: list[Callable[[], object]]) -> tuple[float, int]:
    """Do works at once with an empty file cache that may hold so much; return seconds and bytes read from disk."""
    directories = side.data_directories

    if isinstance(side, Archive):
        side.ask("SELECT COUNT(*) AS n FROM survey.source")  # the czar reads its catalogue

    def run() -> tuple[float, int]:
        before, started = read_bytes(side.postmasters), time.perf_counter()
        with ThreadPoolExecutor(len(works)) as threads:
            for one in [threads.submit(work) for work in works]:
                one.result()
        return time.perf_counter() - started, read_bytes(side.postmasters) - before

    if not can_limit():
        drop(directories)
        return run()
    with limited(directories, limit_bytes):
        return run()


def _by_own_client(archive: Archive, query: str) -> Callable[[], object]:
    def ask() -> object:
        with Czar.of_home(archive.home, user="scans") as czar:
            return czar.query(query)

    return ask


def _by_own_session(plain: Plain, query: str) -> Callable[[], object]:
    def ask() -> object:
        with plain.connect() as session:
            return session.execute(query).fetchall()

    return ask


class _Cones:
    """Clients that ask for cones until the block ends, each by a connection of its own."""

    def __init__(self, archive: Archive, centres: list[tuple[object, ...]], seed: int) -> None:
        self._archive, self._centres, self._seed = archive, centres, seed
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self.times_s: list[float] = []
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        for number in range(CLIENTS):
            thread = threading.Thread(target=self._ask, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        random = np.random.default_rng((self._seed, number))
        self._ended.wait(random.uniform(0, PAUSE_S))
        with Czar.of_home(self._archive.home, user=f"client-{number}") as czar:
            while not self._ended.is_set():
                ra, dec = self._centres[random.integers(len(self._centres))]
                started = time.perf_counter()
                try:
                    czar.query(f"SELECT object_id, ra, dec FROM survey.object WHERE DISTANCE(ra, dec, {ra}, {dec}) < {CONE_DEG}")
                except Exception as error:  # noqa: BLE001 (whatever it is, it is told)
                    self.failed.append(f"{type(error).__name__}: {error}")
                self.times_s.append(time.perf_counter() - started)
                self._ended.wait(PAUSE_S)
