"""A catalogue in HATS layout: partitions one by one, then what tells of them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from export.partition import COMPRESSION, write_partition
from export.skymap import SKYMAP_ORDER, write_skymap
from ingest.hats import CATALOGUE_FILES, COMMON_METADATA, DATASET, PARTITIONS_FILE, partition_name
from partitioner.chunkmap import Histogram
from partitioner.healpix import ORDER
from partitioner.pixel import HealpixPixel
from schema.model import HEALPIX_COLUMN

METADATA: Final = "_metadata"
THUMBNAIL: Final = "data_thumbnail.parquet"

THUMBNAIL_ROWS: Final = 10_000
"""One of each partition, as long as there are so few."""

FOOTER_BYTES: Final = 64 * 2**20
"""Of all files together in `METADATA`, which readers take in whole: a catalogue with more has none, as HATS allows."""

HATS_VERSION: Final = "v1.0"
HATS_RELEASE: Final = "2025-08-22"
"""Of the IVOA Note that this layout is of."""


class Catalogue:
    """A catalogue that is being written.

    Parameters
    ----------
    directory
        Where; made here.
    schema
        Of all partitions; its column `HEALPIX_COLUMN` ascends in each.
    with_skymap
        Whether its rows are counted over the sky.
    """

    def __init__(self, directory: Path, schema: pa.Schema, *, with_skymap: bool) -> None:
        self.directory, self.schema = directory, schema
        self.pixels: list[HealpixPixel] = []
        self.rows, self._max_rows, self._size_bytes = 0, 0, 0
        self._footers: list[pq.FileMetaData] = []
        self._footer_bytes = 0
        self._histogram = Histogram(SKYMAP_ORDER) if with_skymap else None
        self._firsts: list[pa.Table] = []
        (directory / DATASET).mkdir(parents=True)

    def add(self, pixel: HealpixPixel, tables: Iterable[pa.Table]) -> int:
        """Write a partition and return the number of its rows, which is not 0."""
        name = partition_name(pixel.order, pixel.ipix)
        path = self.directory / name
        footer = write_partition(path, self.schema, map(self._seen, tables), HEALPIX_COLUMN)
        self.pixels.append(pixel)
        self.rows += footer.num_rows
        self._max_rows = max(self._max_rows, footer.num_rows)
        self._size_bytes += path.stat().st_size
        if self._footer_bytes <= FOOTER_BYTES:
            footer.set_file_path(name.removeprefix(f"{DATASET}/"))
            self._footers.append(footer)
            self._footer_bytes += footer.serialized_size
            if self._footer_bytes > FOOTER_BYTES:
                self._footers = []
        return int(footer.num_rows)

    def file(self, pixel: HealpixPixel) -> Path:
        """Return the file of a partition."""
        return self.directory / partition_name(pixel.order, pixel.ipix)

    def finish(self, properties: Mapping[str, object]) -> None:
        """Write what tells of the partitions; what makes the directory a catalogue comes last."""
        pixels = sorted(self.pixels)
        lines = ["Norder,Npix", *(f"{pixel.order},{pixel.ipix}" for pixel in pixels)]
        (self.directory / PARTITIONS_FILE).write_text("\n".join(lines) + "\n")
        dataset = self.directory / DATASET
        pq.write_metadata(self.schema, dataset / COMMON_METADATA)
        if self._footer_bytes <= FOOTER_BYTES:
            pq.write_metadata(self.schema, dataset / METADATA, metadata_collector=self._footers)
        firsts = pa.concat_tables(self._firsts) if self._firsts else self.schema.empty_table()
        pq.write_table(firsts, self.directory / THUMBNAIL, compression=COMPRESSION)
        counted: dict[str, object] = {}
        if self._histogram is not None:
            write_skymap(self.directory, self._histogram.counts)
            counted["hats_skymap_order"] = SKYMAP_ORDER
        text = properties_text(
            {
                **properties,
                **counted,
                "hats_nrows": self.rows,
                "hats_col_healpix": HEALPIX_COLUMN,
                "hats_col_healpix_order": ORDER,
                "hats_npix_suffix": ".parquet",
                "hats_max_rows": self._max_rows,
                "hats_order": max((pixel.order for pixel in pixels), default=0),
                "moc_sky_fraction": f"{sum(1 / (12 * 4**pixel.order) for pixel in pixels):.5g}",
                "hats_estsize": self._size_bytes // 1024,
                **provenance(),
            }
        )
        for name in reversed(CATALOGUE_FILES):
            (self.directory / name).write_text(text, encoding="utf-8")

    def _seen(self, table: pa.Table) -> pa.Table:
        """Take down what a partition's rows tell of the catalogue."""
        if self._histogram is not None:
            self._histogram.add(pc.drop_null(table.column(HEALPIX_COLUMN)).to_numpy())
        if len(table) and len(self._firsts) == len(self.pixels) < THUMBNAIL_ROWS:
            self._firsts.append(table.take(pa.array([0])))
        return table


def provenance() -> dict[str, object]:
    """Return the properties that say who made a catalogue, by which rules, and when."""
    return {
        "hats_builder": f"qserv-healpix v{version('qserv-healpix')}",
        "hats_creation_date": datetime.now(tz=UTC).strftime("%Y-%m-%dT%H:%M%Z"),
        "hats_release_date": HATS_RELEASE,
        "hats_version": HATS_VERSION,
    }


def properties_text(properties: Mapping[str, object]) -> str:
    """Return a file of properties, as Java's reader has them; those that are None or empty are left out."""
    lines = [f"{name}={_escaped(str(value))}" for name, value in properties.items() if value not in (None, "")]
    return "\n".join(["#HATS catalog", *lines]) + "\n"


def _escaped(value: str) -> str:
    return " ".join(value.split()).replace("\\", "\\\\")
