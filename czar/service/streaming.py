"""A response that is computed while its reader is watched: when the reader goes away, the work is cancelled."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from qserv.errors import QservError

log = structlog.get_logger("czar.service")


@dataclass(frozen=True)
class Opened:
    """What a response begins with, and the rest of its body."""

    status: int
    media_type: str
    first: bytes
    rest: AsyncGenerator[bytes, None] | None = None
    headers: dict[str, str] = field(default_factory=dict)


class WatchedResponse(Response):
    """Sends what ``opening`` returns. Nothing is sent before it does, so that an error there can have its own status."""

    def __init__(self, opening: Callable[[], Awaitable[Opened]]) -> None:
        super().__init__()
        self._opening = opening

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (the protocol of ASGI)
        """Send the response, or stop when the client is gone."""
        sending = asyncio.create_task(self._send(send))
        watching = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            if not sending.done():
                sending.cancel()
            await asyncio.gather(sending, watching, return_exceptions=True)
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        opened = await self._opening()
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in opened.headers.items()]
        headers.append((b"content-type", opened.media_type.encode("latin-1")))
        if opened.rest is None:
            headers.append((b"content-length", str(len(opened.first)).encode()))
        await send({"type": "http.response.start", "status": opened.status, "headers": headers})
        await send({"type": "http.response.body", "body": opened.first, "more_body": opened.rest is not None})
        if opened.rest is None:
            return
        async with aclosing(opened.rest) as rest:
            try:
                async for piece in rest:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except QservError as error:
                # The format cannot say so: an answer without its end tells the client, the log says why.
                log.warning("answer broken off", reason=str(error))
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    """Wait until the client has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass
