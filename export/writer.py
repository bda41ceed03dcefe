"""Writes one collection, part by part."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from czar.service.client import Czar
from export.asking import Asked, Part
from export.catalogue import Catalogue, properties_text, provenance
from export.cutting import cuts
from export.margin import HOST, Margins, margin_schema, write_margin
from export.meaning import with_meaning
from export.options import ARCSEC_A_DEGREE, Exported, ExportOptions, Progress
from export.partition import COMPRESSION
from export.placing import Placing
from export.spill import NO_ORDER, Spill
from ingest.hats import COLLECTION_FILE, WITHOUT_POSITION
from partitioner.chunkmap import ChunkMap
from partitioner.pixel import HealpixPixel
from qserv.errors import InternalError, QservError, QueryLimitError
from schema.model import HEALPIX_COLUMN, TableRole

LOST_FILE: Final = "without_position.parquet"

ATTEMPTS: Final = 5
WAIT_S: Final = 2.0
"""Before a part is asked for again that met a failure which passes, and longer each time: a worker is started again in two."""

LIMIT_WAIT_S: Final = 60.0
"""Before it is asked for again that met a limit which passes, such as that of rows within an hour."""


class Writer:
    """Writes one collection.

    Parameters
    ----------
    place
        An empty directory.
    """

    def __init__(self, czar: Czar, asked: Asked, place: Path, options: ExportOptions, progress: Progress) -> None:
        self._czar, self._asked, self._place, self._options, self._progress = czar, asked, place, options, progress
        self._tiles: list[HealpixPixel] = []
        self._with_nan: set[str] = set()
        self._begun: tuple[Placing, Catalogue] | None = None
        self._lost: pq.ParquetWriter | None = None
        self._rows, self._lost_rows = 0, 0

    def write(self) -> Exported:
        """Write all of it."""
        for part in self._asked.parts(self._options.partition_rows):
            if part.query is None:
                self._tiles += part.pixels
                continue
            with ExitStack() as held:
                self._keep(part, *self._read(part, part.query, held))
        self._asked.check()
        placing, main = self._opened()
        known = self._finish_main(placing, main)
        margin = self._write_margin(placing, main, known) if self._options.margin_arcsec and main.pixels else None
        named = {} if margin is None else dict.fromkeys(("all_margins", "default_margin"), margin.directory.name)
        collection = {"obs_collection": self._asked.name, "hats_primary_table_url": self._asked.name, **named, **provenance()}
        (self._place / COLLECTION_FILE).write_text(properties_text(collection), encoding="utf-8")
        return Exported(
            rows=self._rows,
            without_position=self._lost_rows,
            partitions=len(main.pixels),
            margin_rows=0 if margin is None else margin.rows,
            schema_file=self._asked.write_schema(self._place, sorted(self._with_nan)).name,
            table=self._asked.name,
        )

    def _read(self, part: Part, query: str, held: ExitStack) -> tuple[Spill, Spill]:
        """Return the rows of a part with a position, and those without; it is asked for again where that may help."""
        attempt = 1
        while True:
            try:
                return self._read_once(part, query, held)
            except QservError as error:
                is_limit = isinstance(error, QueryLimitError)
                if not error.retryable or (attempt == ATTEMPTS and not is_limit):
                    raise
                held.close()
                time.sleep(LIMIT_WAIT_S if is_limit else WAIT_S * attempt)
                attempt += 1 - is_limit

    def _read_once(self, part: Part, query: str, held: ExitStack) -> tuple[Spill, Spill]:
        with self._czar.answer(query, dialect=part.dialect) as rows:
            placing, _ = self._opened(rows.schema)
            order = part.pixels[0].order if len(part.pixels) == 1 else NO_ORDER
            spill = held.enter_context(Spill(self._place / "rows", placing.schema, HEALPIX_COLUMN, order=order))
            lost = held.enter_context(Spill(self._place / "lost", placing.schema, HEALPIX_COLUMN))
            for batch in rows:
                if self._asked.table is None:
                    self._with_nan.update(_with_nan(batch))
                placed, missing = placing.placed(batch)
                spill.add(placed)
                lost.add(missing)
                self._progress("reading", self._rows + spill.rows + lost.rows, self._asked.rows)
        return spill, lost

    def _keep(self, part: Part, spill: Spill, lost: Spill) -> None:
        """Write the partitions of a part."""
        _, main = self._opened()
        self._rows += spill.rows + lost.rows
        if lost.rows:
            self._lost_rows += lost.rows
            self._lost = self._lost or pq.ParquetWriter(main.directory / LOST_FILE, main.schema, compression=COMPRESSION)
            for table in lost.tables():
                self._lost.write_table(table)
        most = self._options.partition_rows
        if spill.rows:
            most = max(min(most, self._options.partition_bytes * spill.rows // max(spill.size_bytes, 1)), 1)
        before = main.rows
        for cut in cuts(spill, part.pixels, most):
            self._tiles.append(cut.pixel)
            if cut.rows:
                main.add(cut.pixel, cut.tables)
                self._progress("writing", self._lost_rows + main.rows, self._asked.rows)
        if main.rows - before != spill.rows:
            msg = f"{spill.rows} rows were read, and {main.rows - before} written"
            raise InternalError(msg)

    def _opened(self, answer: pa.Schema | None = None) -> tuple[Placing, Catalogue]:
        """Return how rows are placed, and the catalogue of them, which the first answer opens."""
        if self._begun is None:
            if answer is None:
                msg = "nothing was asked for"
                raise InternalError(msg)
            meant = answer if self._asked.table is None else with_meaning(answer, self._asked.table)
            placing = Placing.of(meant, self._asked.position)
            self._begun = placing, Catalogue(self._place / self._asked.name, placing.schema, with_skymap=True)
        return self._begun

    def _finish_main(self, placing: Placing, main: Catalogue) -> dict[str, object]:
        """Write what tells of the main catalogue; return what margins say, too."""
        table = self._asked.table
        is_source = table is not None and table.role is TableRole.DEPENDENT
        known: dict[str, object] = {"hats_col_ra": placing.position[0], "hats_col_dec": placing.position[1]}
        told: dict[str, object] = {"obs_description": table.description if table else None}
        if self._lost is not None:
            self._lost.close()
            told[WITHOUT_POSITION] = LOST_FILE
        main.finish({"obs_collection": self._asked.name, "dataproduct_type": "source" if is_source else "object", **known, **told})
        return known

    def _write_margin(self, placing: Placing, main: Catalogue, known: dict[str, object]) -> Catalogue:
        arcsec = self._options.margin_arcsec
        name = f"{self._asked.name}_{arcsec:g}arcs"
        tiling = ChunkMap.from_nuniq([pixel.nuniq for pixel in self._tiles])
        with Spill(self._place / "margins", margin_schema(main.schema), HOST) as spill:
            margins = Margins(main, tiling, placing.position, arcsec / ARCSEC_A_DEGREE)
            for count, pixel in enumerate(sorted(main.pixels, key=lambda each: each.range29), 1):
                for batch in margins.of(pixel):
                    spill.add(batch)
                self._progress("margins", count, len(main.pixels))
            margin = write_margin(self._place / name, main, spill)
        kind = {"obs_collection": name, "dataproduct_type": "margin", "hats_primary_table_url": self._asked.name}
        margin.finish({**kind, "hats_margin_threshold": arcsec, **known})
        return margin


def _with_nan(batch: pa.RecordBatch) -> Iterator[str]:
    """Yield the names of the columns in which NaN is."""
    for field, values in zip(batch.schema, batch.columns, strict=True):
        if types.is_floating(field.type) and pc.any(pc.is_nan(values)).as_py():
            yield field.name
