"""Files that are compressed: gzip, bzip2, zstd, xz, known by their first bytes whatever their names."""

import bz2
import gzip
import io
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Self, cast

import pyarrow as pa

from ingest.locations import Location
from qserv.errors import BadFileError, StorageFullError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Python's readers tell a file that was cut off; Arrow's decompression ends silently with what is there.
_OPENERS: Final[dict[bytes, Callable[..., Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\x28\xb5\x2f\xfd": zstd.open,
    b"\xfd7zXZ\x00": lzma.open,
}

ENDINGS: Final = frozenset({".gz", ".bz2", ".zst", ".xz"})

LARGE_BYTES: Final = 1 << 30
MOST_TIMES: Final = 1000
"""A file of more than `LARGE_BYTES` that is so many times as large as it was compressed holds no rows of a catalogue."""

PIECE_BYTES: Final = 1 << 20


def open_bytes(path: Location) -> IO[bytes]:
    """Open a file, decompressed if it is compressed, to be read from its begin to its end."""
    opener, size_bytes = _opener(path)
    file = path.open("rb")
    return file if opener is None else cast("IO[bytes]", _Bounded(opener(file, "rb"), file, path, size_bytes))


def is_copied(path: Location) -> bool:
    """Whether `seekable` copies a file."""
    with path.open("rb") as file:
        return not file.seekable() or _opener(path)[0] is not None


@contextmanager
def seekable(path: Location) -> Iterator[pa.NativeFile]:
    """Lend a file in which any place can be read: itself, or a copy on the disk for temporary files, of what is compressed or comes
    from a server that gives no parts of files.

    The copy has no name: nothing is left of it, even if the process is killed.

    Raises
    ------
    StorageFullError
        There is no room for the copy.
    """
    if isinstance(path, Path) and _opener(path)[0] is None:
        with pa.OSFile(str(path)) as source:
            yield source
        return
    if _opener(path)[0] is None:
        with path.open("rb") as file:
            if file.seekable():
                yield pa.PythonFile(file, mode="r")
                return
    # Not buffered: what a buffer holds when the disk is full would be written once more, and fail again, when the file is closed.
    with tempfile.TemporaryFile(buffering=0) as copy, open_bytes(path) as file:
        while piece := file.read(PIECE_BYTES):
            _write(copy, piece, path)
        copy.seek(0)
        yield pa.PythonFile(copy, mode="r")


def _write(copy: IO[bytes], piece: bytes, path: Location) -> None:
    left = memoryview(piece)
    while left:
        try:
            left = left[copy.write(left) :]
        except OSError as error:
            msg = f"{path} is copied to be read, and there is no room in {tempfile.gettempdir()} for it: {error}; set TMPDIR"
            raise StorageFullError(msg) from error


def _opener(path: Location) -> tuple[Callable[..., Any] | None, int]:
    """Return what decompresses a file, if it is compressed, and its size in bytes, 0 where that is not known."""
    with path.open("rb") as file:
        begin = file.read(max(map(len, _OPENERS)))
        size_bytes = file.seek(0, io.SEEK_END) if file.seekable() else 0
    return next((opener for magic, opener in _OPENERS.items() if begin.startswith(magic)), None), size_bytes


class _Bounded:
    """A file that is read only as long as it is no bomb."""

    def __init__(self, file: IO[bytes], compressed: IO[bytes], path: Location, size_bytes: int) -> None:
        self._file, self._compressed, self._path = file, compressed, path
        self._most_bytes = max(LARGE_BYTES, MOST_TIMES * size_bytes)
        self._read_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()
        self._compressed.close()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._file.read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._counted(cast("Any", self._file).read1(size))

    def _counted(self, data: bytes) -> bytes:
        self._read_bytes += len(data)
        if self._read_bytes > self._most_bytes:
            msg = f"{self._path} is over {MOST_TIMES} times as large as it is compressed: decompress it, if it is to be so"
            raise BadFileError(msg)
        return data
