"""Files that are compressed: gzip, bzip2, zstd, xz, known by their first bytes whatever their names."""

import bz2
import gzip
import lzma
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Self, cast

import pyarrow as pa

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


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, decompressed if it is compressed, to be read from its begin to its end."""
    opener = _opener(path)
    if opener is None:
        return path.open("rb")
    return cast("IO[bytes]", _Bounded(opener(path, "rb"), path))


@contextmanager
def seekable(path: Path) -> Iterator[pa.NativeFile]:
    """Lend a file in which any place can be read: itself, or a decompressed copy on the disk for temporary files.

    The copy has no name: nothing is left of it, even if the process is killed.

    Raises
    ------
    StorageFullError
        There is no room for the copy.
    """
    if _opener(path) is None:
        with pa.OSFile(str(path)) as source:
            yield source
        return
    # Not buffered: what a buffer holds when the disk is full would be written once more, and fail again, when the file is closed.
    with tempfile.TemporaryFile(buffering=0) as copy, open_bytes(path) as file:
        while piece := file.read(PIECE_BYTES):
            _write(copy, piece, path)
        copy.seek(0)
        yield pa.PythonFile(copy, mode="r")


def _write(copy: IO[bytes], piece: bytes, path: Path) -> None:
    left = memoryview(piece)
    while left:
        try:
            left = left[copy.write(left) :]
        except OSError as error:
            msg = f"{path} is compressed, and there is no room in {tempfile.gettempdir()} for it as it was: {error}; set TMPDIR"
            raise StorageFullError(msg) from error


def _opener(path: Path) -> Callable[..., Any] | None:
    with path.open("rb") as file:
        begin = file.read(max(map(len, _OPENERS)))
    return next((opener for magic, opener in _OPENERS.items() if begin.startswith(magic)), None)


class _Bounded:
    """A file that is read only as long as it is no bomb."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self._most_bytes = max(LARGE_BYTES, MOST_TIMES * path.stat().st_size)
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
