"""Answers that are the whole table."""

# ruff: noqa: S608 (statements of constants and numbers of the benchmark itself)

from archive import Archive, Download
from catalogues import Bigsky
from measurement import Result, Sample, in_turn, seconds
from plain import Plain
from processes import MIB, peak_memory

RATE_MB_S, FIRST_BYTE_S = 80, 0.5
"""Goals for BINARY2. DaCHS: 18 MB/s, 5.3 s."""

GROWTH_MIB = 256
"""What the service may grow by while it sends, to be called flat: its buffers, far less than any whole answer."""

FORMATS = {"votable": "BINARY2", "votable/td": "TABLEDATA", "csv": "CSV", "parquet": "Parquet"}


def download(archive: Archive, plain: Plain, bigsky: Bigsky, repetitions: int) -> list[Result]:
    """Download the table in every format, and read it by binary COPY from plain PostgreSQL."""
    adql = f"SELECT * FROM {bigsky.database.name}.{bigsky.table.name}"
    (rows,) = plain.reader.execute(f"SELECT COUNT(*) FROM {plain.relation}").fetchone() or (0,)
    results = []
    for name, title in FORMATS.items():
        taken: list[Download] = []
        growth: list[float] = []

        def ours(name: str = name, taken: list[Download] = taken, growth: list[float] = growth) -> float:
            with peak_memory(archive.tap_pid) as peak:
                taken.append(archive.download(adql, name))
            growth.append((peak.peak_bytes - peak.before_bytes) / MIB)
            return rows / taken[-1].total_s / 1000

        ours()
        taken.clear()
        growth.clear()
        rates, bare = in_turn(repetitions, ours, lambda: rows / seconds(plain.copy_out) / 1000)
        first = Sample(tuple(one.first_byte_s for one in taken))
        size = taken[-1].size_bytes / 1e6
        speed = Sample(tuple(one.size_bytes / 1e6 / one.total_s for one in taken))
        aimed = name == "votable"
        results += [
            Result(
                f"download of bigsky, {title}",
                "MB/s",
                speed,
                goal=f"> {RATE_MB_S} MB/s" if aimed else "",
                reached=speed.median > RATE_MB_S if aimed else None,
                note=f"{size:.0f} MB of HTTP body",
            ),
            Result("  the same in rows", "krow/s", rates, bare, rates.median / bare.median, note="plain: binary COPY to psycopg"),
            Result(
                "  first byte",
                "s",
                first,
                goal=f"< {FIRST_BYTE_S} s" if aimed else "",
                reached=first.median < FIRST_BYTE_S if aimed else None,
            ),
            Result(
                "  memory that the service grew by",
                "MiB",
                Sample(tuple(growth)),
                goal="flat" if aimed else "",
                reached=max(growth) < GROWTH_MIB if aimed else None,
                note=f"peak resident; flat is below {GROWTH_MIB} MiB",
            ),
        ]
    return results
