"""Keeps the catalogue of the published tables current."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from czar.catalogue import Catalogue
from czar.reading import read_catalogue, read_changes
from qserv.metadata.catalogue import load_catalogue, load_changes
from qserv.metadata.engine import connect
from qserv.metadata.lookups import Lookups


class CatalogueReader:
    """Asks for the version before every query, and reads the catalogue again where it has changed."""

    def __init__(self, metadata: AsyncEngine, lookups: Lookups) -> None:
        self._metadata, self._lookups = metadata, lookups
        self.last: Catalogue | None = None
        """As it was read last; None if it never was."""
        self._reading = asyncio.Lock()

    async def current(self) -> Catalogue:
        """Return the published tables as of now.

        Raises
        ------
        MetadataError
            The metadata database does not answer.
        """
        version = await self._lookups.catalogue_version()
        if self.last is None or self.last.version < version:
            async with self._reading:
                if self.last is None or self.last.version < version:
                    self.last = await self._read(self.last)
        return self.last

    async def _read(self, known: Catalogue | None) -> Catalogue:
        """Read what has changed, or all of it."""
        async with connect(self._metadata) as connection:
            changes = await load_changes(connection, known.version) if known is not None else None
        if known is not None and changes is not None:
            return read_changes(known, changes)
        async with connect(self._metadata) as connection:
            return read_catalogue(await load_catalogue(connection, statistics=True))
