"""A file that is sent away as it is written."""

import io


class Outbox(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        """Return True: it can be written to."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._position

    def write(self, data: object) -> int:
        """Keep some bytes."""
        written = bytes(memoryview(data))  # type: ignore[arg-type]  # pyarrow hands in buffers
        self._written.append(written)
        self._position += len(written)
        return len(written)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken
