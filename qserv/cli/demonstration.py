"""What ``qserv demo`` shows: a real catalogue loaded, and questions asked as an astronomer asks them."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

from rich.console import Console

from qserv.cluster import Cluster, Secrets
from qserv.errors import QservError
from qserv.settings import Settings

QUESTIONS = (
    (
        "The brightest stars within 1.5 degrees of the Pleiades",
        """
        SELECT TOP 7 hip, ra_degrees, dec_degrees, magnitude
        FROM stars.hipparcos
        WHERE DISTANCE(POINT(ra_degrees, dec_degrees), POINT(56.75, 24.12)) < 1.5
        ORDER BY magnitude
        """,
    ),
    (
        "The nearest stars",
        """
        SELECT TOP 5 hip, magnitude, 1000 / parallax_mas AS distance_pc
        FROM stars.hipparcos
        WHERE parallax_mas > 0
        ORDER BY parallax_mas DESC
        """,
    ),
    (
        "How many stars of each magnitude, and how blue they are on average",
        """
        SELECT FLOOR(magnitude) AS magnitude_bin, COUNT(*) AS stars, AVG(bv) AS mean_b_minus_v
        FROM stars.hipparcos
        GROUP BY FLOOR(magnitude)
        ORDER BY magnitude_bin
        """,
    ),
)

CROSS_MATCH = (
    "The stars that moved most between J1991.25 and J2000 (a cross-match of two catalogues by the Hipparcos number)",
    """
        SELECT TOP 5 b.tyc_id, h.hip, h.magnitude,
               DISTANCE(POINT(b.ra_degrees, b.dec_degrees), POINT(h.ra_degrees, h.dec_degrees)) * 3600 AS moved_arcsec
        FROM stars.bigsky AS b JOIN stars.hipparcos AS h ON b.hip = h.hip
        ORDER BY moved_arcsec DESC
        """,
)
"""Asked where the big catalogue is loaded too."""


@dataclass(frozen=True)
class Demonstration:
    """A running cluster, and where to print."""

    cluster: Cluster
    settings: Settings
    console: Console

    def run(self, big: Path | None) -> None:
        """Load what is not loaded yet, and ask."""
        files = self._files(big)
        if files:
            self._load(files)
        for title, adql in (*QUESTIONS, *([CROSS_MATCH] if big else [])):
            self._ask(title, adql)

    def _files(self, big: Path | None) -> dict[str, list[Path]]:
        from schema.catalogues import data_path  # noqa: PLC0415 (not needed for --help)

        wanted = {"hipparcos": [data_path("hipparcos.parquet")]}
        if big is not None:
            wanted["bigsky"] = [big]
        there = asyncio.run(self._published())
        for table in there & set(wanted):
            self.console.print(f"table stars.{table} is there from an earlier run", soft_wrap=True)
        return {table: paths for table, paths in wanted.items() if table not in there}

    async def _published(self) -> set[str]:
        from czar.session import Session  # noqa: PLC0415 (heavy, not needed for --help)

        session = await Session.open(self.cluster, Secrets.load(self.settings.home), self.settings)
        try:
            catalogue = await session.catalogue()
        finally:
            await session.close()
        return {entry.table.name for entry in catalogue.entries if entry.database == "stars"}

    def _load(self, files: dict[str, list[Path]]) -> None:
        from qserv.cli.ingest import show  # noqa: PLC0415 (heavy, not needed for --help)
        from qserv.cli.loading import Wish, load_with_progress  # noqa: PLC0415
        from schema.catalogues import schema_path  # noqa: PLC0415

        show(load_with_progress(self.settings, Wish(schema_path("stars"), files), quiet=not self.console.is_terminal))

    def _ask(self, title: str, adql: str) -> None:
        import pyvo  # noqa: PLC0415 (takes a second to import)

        adql = dedent(adql).strip()
        self.console.print(f"\n[bold]{title}[/bold]", soft_wrap=True)
        self.console.print(indent(adql, "  "), soft_wrap=True, markup=False)
        service = pyvo.dal.TAPService(self.cluster.tap_url)
        started = time.perf_counter()
        try:
            answer = service.search(adql).to_table()
        except pyvo.dal.DALAccessError as error:
            msg = f"the TAP service gave no answer: {error}; its log is {self.settings.home / 'logs' / 'tap.log'}"
            raise QservError(msg) from error
        elapsed_ms = 1000 * (time.perf_counter() - started)
        self.console.print(indent("\n".join(answer.pformat()), "    "), soft_wrap=True, markup=False)
        self.console.print(f"  {len(answer)} rows in {elapsed_ms:.0f} ms", soft_wrap=True)
