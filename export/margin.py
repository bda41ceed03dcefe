"""The margin of a catalogue: for each partition, the rows outside of it that are so near that a match may need them."""

from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from export.catalogue import Catalogue
from export.spill import Spill
from partitioner.chunkmap import ChunkMap
from partitioner.healpix import Pixels
from partitioner.overlap import overlap_chunks
from partitioner.pixel import HealpixPixel
from schema.model import HEALPIX_COLUMN

HOST: Final = "_margin_of"
"""Column, in files on the way, of the first order-29 pixel of the partition whose margin a row is in."""

BATCH_ROWS: Final = 131_072


class Margins:
    """Finds the rows of all margins of a catalogue.

    Parameters
    ----------
    main
        All of its partitions are written.
    tiling
        Its partitions, and pixels without rows that tile the rest of the sphere.
    position
        Names of the columns of right ascension and declination, degrees.
    """

    def __init__(self, main: Catalogue, tiling: ChunkMap, position: tuple[str, str], margin_deg: float) -> None:
        self._main, self._tiling, self._position, self._margin_deg = main, tiling, position, margin_deg
        hosts = sorted((pixel.nuniq, pixel.range29[0]) for pixel in main.pixels)
        self._numbers, self._firsts = np.array(hosts, dtype=np.int64).T

    def of(self, pixel: HealpixPixel) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition that are in margins of others, with `HOST` behind them, once for each.

        If partitions are looked at along the NESTED curve, the rows of each margin come in the order of their pixels.
        """
        with pq.ParquetFile(self._main.file(pixel)) as file:
            for group in range(file.num_row_groups):
                rows, hosts = self._near(file, group)
                if len(rows):
                    found = file.read_row_group(group).take(pa.array(rows)).append_column(HOST, pa.array(hosts))
                    yield from found.cast(margin_schema(self._main.schema)).to_batches(BATCH_ROWS)

    def _near(self, file: pq.ParquetFile, group: int) -> tuple[Pixels, Pixels]:
        """Return (row, first pixel of the host) for the rows of a row group that are near other partitions."""
        columns = file.read_row_group(group, columns=[HEALPIX_COLUMN, *self._position])
        ra, dec = (columns.column(name).to_numpy().astype(np.float64, copy=False) for name in self._position)
        rows, chunks = overlap_chunks(ra, dec, columns.column(HEALPIX_COLUMN).to_numpy(), self._tiling, self._margin_deg)
        places = np.minimum(np.searchsorted(self._numbers, chunks), len(self._numbers) - 1)
        has_rows = self._numbers[places] == chunks
        return rows[has_rows], self._firsts[places[has_rows]]


def margin_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema of rows on the way to their margin."""
    return schema.append(pa.field(HOST, pa.int64()))


def write_margin(directory: Path, main: Catalogue, spill: Spill) -> Catalogue:
    """Write the margins of all partitions that have one, as a catalogue that lacks its properties."""
    margin = Catalogue(directory, main.schema, with_skymap=False)
    pixels = {pixel.range29[0]: pixel for pixel in main.pixels}
    for host, pieces in groupby(_by_host(spill), key=lambda piece: piece[0]):
        margin.add(pixels[host], (table for _, table in pieces))
    return margin


def _by_host(spill: Spill) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each host, in one piece or more."""
    for table in spill.tables():
        hosts = table.column(HOST).to_numpy()
        rows = table.drop_columns(HOST)
        starts = np.flatnonzero(np.diff(hosts, prepend=-1))
        for start, end in pairwise([*starts.tolist(), len(hosts)]):
            yield int(hosts[start]), rows.slice(start, end - start)
