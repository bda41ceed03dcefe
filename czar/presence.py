"""A czar among others: tells that it lives, how far its queries are and what its users do, and hears what the others do."""

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from czar.execution import Running
from czar.limits import Admission
from czar.usage import Usage
from qserv.errors import MetadataError
from qserv.metadata.czars import (
    Czar,
    bury_dead_czars,
    give_sign_of_life,
    remove_czar,
    requested_cancels,
    running_elsewhere,
    write_progress,
)
from qserv.metadata.engine import connect
from qserv.metadata.readings import add_readings, forget_readings, read_within

PULSE_S = 1.0
"""How often a sign of life is given. Within this time a request to stop a query is heard, and what users do on other czars."""

PULSES_A_LEASE = 4
"""A short lease has quicker pulses: one that comes late must not look like death."""

YOUNG_S = 1.0
"""Queries younger than this are not worth a word: most have ended by then."""

logger = logging.getLogger("czar.presence")


def this_process() -> Czar:
    """Return this process as a czar; each call is another one."""
    return Czar(uuid.uuid4().hex, socket.gethostname(), os.getpid())


class Presence:
    """Signs of life of one czar, from `start` to `close`.

    Parameters
    ----------
    running
        What the czar answers; read at every pulse.
    admission, usage
        What its users do, told to the other czars; they are told what those of the others do.
    lease_s
        Seconds after which a czar without a sign of life is dead to the others.
    """

    def __init__(  # noqa: PLR0913 (what a czar tells of itself)
        self, metadata: AsyncEngine, czar: Czar, *, running: Running, admission: Admission, usage: Usage, lease_s: float
    ) -> None:
        self._metadata, self._czar, self._running, self._lease_s = metadata, czar, running, lease_s
        self._admission, self._usage = admission, usage
        self._pulse_s = min(PULSE_S, lease_s / PULSES_A_LEASE)
        self._beating: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Join the czars.

        Raises
        ------
        MetadataError
            The metadata database does not answer.
        """
        await self._beat(bury=True)
        self._beating = asyncio.create_task(self._keep_beating())

    async def close(self) -> None:
        """Leave the czars."""
        if self._beating is None:
            return
        self._beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._beating
        with contextlib.suppress(MetadataError):
            async with connect(self._metadata) as connection, connection.begin():
                await add_readings(connection, self._usage.tell().read, self._usage.window_s)
                await remove_czar(connection, self._czar.czar_id)

    async def _keep_beating(self) -> None:
        loop = asyncio.get_running_loop()
        buried_s = loop.time()
        while True:
            await asyncio.sleep(self._pulse_s)
            bury = loop.time() - buried_s > self._lease_s
            try:
                await self._beat(bury=bury)
            except (MetadataError, SQLAlchemyError) as error:
                logger.warning("no sign of life could be given: %s", error)
                continue
            buried_s = loop.time() if bury else buried_s

    async def _beat(self, *, bury: bool) -> None:
        now = datetime.now(UTC)
        old = [one.progress for one in self._running.values() if (now - one.submitted).total_seconds() > YOUNG_S]
        told, window_s = self._usage.tell(), self._usage.window_s
        async with connect(self._metadata) as connection, connection.begin():
            oldest = min((one.catalogue_version for one in self._running.values()), default=None)
            await give_sign_of_life(connection, self._czar, self._admission.users, oldest)
            if bury:
                await bury_dead_czars(connection, self._lease_s)
                await forget_readings(connection, window_s)
            await write_progress(connection, old)
            await add_readings(connection, told.read, window_s)
            within = await read_within(connection, told.users, window_s)
            elsewhere = await running_elsewhere(connection, self._czar.czar_id)
            stopped = await requested_cancels(connection, self._czar.czar_id) if self._running else set()
        self._usage.hear(told, within)
        self._admission.hear(elsewhere)
        for query_id in stopped & self._running.keys():
            self._running[query_id].cancel()
