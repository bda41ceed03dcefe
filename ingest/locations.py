"""Where files are: on this machine, behind http(s), in an object store; one of them, a directory of them, or all of a pattern."""

import glob
import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit

from ingest.hats import hats_files
from qserv.errors import BadFileError, RemoteFileError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from fsspec import AbstractFileSystem

WEB: Final = frozenset({"http", "https"})
STORES: Final = frozenset({"s3", "gs", "gcs", "az", "abfs"})
"""Object stores that fsspec knows; each needs a package of its own, and takes who asks from where its own tools do."""

BLOCK_BYTES: Final = 8 << 20
"""Of a file that is elsewhere, read at a time."""

PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
"""What a server says, beside its own errors, that it may not say the next time."""

CONNECT_S: Final = 10.0
SILENCE_S: Final = 60.0
"""How long a web server may take to be connected to, and may send nothing. All of a file may take as long as it likes."""

SCHEME_END: Final = "://"
MOST_TEXT_BYTES: Final = 64 << 20
"""Of a file that describes others, such as a list of some millions of them."""

HIDDEN: Final = (".", "_")
"""Begins of names that are passed over in a directory: writers put what is no row of the table into such files (``_SUCCESS``)."""


class RemoteFile:
    """A file behind a URL. What stands behind ``?`` in it may be a signature: it is used, and never shown."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, self._place = _file_system(url)

    @property
    def name(self) -> str:
        """Last part of its path."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def suffixes(self) -> list[str]:
        """Endings of its path."""
        return PurePosixPath(urlsplit(self.url).path).suffixes

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Open it to read bytes; not every server lets any place in it be read.

        Raises
        ------
        OSError
            It is not there, or its server says no.
        """
        with _as_os_errors():
            file = self._fs.open(self._place, mode, block_size=BLOCK_BYTES if self._gives_parts else 0)
        return cast("IO[bytes]", io.BufferedReader(_Remote(file, is_seekable=self._gives_parts), BLOCK_BYTES))

    @cached_property
    def _gives_parts(self) -> bool:
        """Whether its server gives parts of it: one of the web need not, and then gives all of it for each."""
        if urlsplit(self.url).scheme.lower() not in WEB:
            return True
        found = self._fs.info(self._place)
        if not found.get("size") or found.get("partial") is False:
            return False
        with self._fs.open(self._place, "rb", block_size=1) as file:
            file.seek(found["size"] - 1)
            try:
                return len(file.read(1)) == 1
            except ValueError:  # so fsspec tells that all of it would come
                return False

    def identity(self) -> tuple[object, ...]:
        """Return what changes when the file does, as far as its server tells."""
        with _as_os_errors():
            found = self._fs.info(self._place)
        return tuple(found.get(key) for key in ("size", "ETag", "mtime", "LastModified", "last_modified"))

    def __str__(self) -> str:
        return shown(self.url)

    def __repr__(self) -> str:
        return f"RemoteFile({shown(self.url)!r})"


Location = Path | RemoteFile
"""A file to be read. Its text names it in messages, and holds no secret."""


def word_of(location: Location) -> str:
    """Return what `located` finds a file by, with all that may be secret in it."""
    return location.url if isinstance(location, RemoteFile) else str(location)


def shown(url: str) -> str:
    """Return a URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}{SCHEME_END}{parts.netloc.rpartition('@')[2]}{parts.path}"


def identity(location: Location) -> tuple[object, ...]:
    """Return what changes when a file does."""
    if isinstance(location, RemoteFile):
        return location.identity()
    found = location.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def located(text: str) -> list[Location]:
    """Return the files that a text names: one, those below a directory, or those that match a pattern, in the order of their names.

    Of a directory that is a HATS catalogue, they are those of its rows.

    Raises
    ------
    BadFileError
        There is none, or nothing can be read there.
    """
    if SCHEME_END in text:
        return _remote(text)
    path = Path(text)
    if path.is_dir():
        if (partitions := hats_files(_LocalDirectory(path))) is not None:
            return [path / name for name in partitions]
        return _any([each for each in sorted(path.rglob("*")) if each.is_file() and not _is_hidden(each.relative_to(path))], text)
    if path.exists() or not glob.has_magic(text):
        return [path]
    matching = glob.glob(text, recursive=True)  # noqa: PTH207 (the text may begin at the root)
    return _any([each for each in map(Path, sorted(matching)) if each.is_file()], text)


def _remote(url: str) -> list[Location]:
    fs, place = _file_system(url)
    if not glob.has_magic(place) and not PurePosixPath(urlsplit(url).path).suffix:
        directory = _RemoteDirectory(url)
        if (partitions := hats_files(directory)) is not None:
            return [directory.file(name) for name in partitions]
    if urlsplit(url).scheme.lower() in WEB:
        return [RemoteFile(url)]
    scheme = url.partition(SCHEME_END)[0]
    try:
        with _as_os_errors():
            if glob.has_magic(place):
                found = fs.glob(place)
            elif fs.isdir(place):
                found = [each for each in fs.find(place) if not _is_hidden(PurePosixPath(each).relative_to(place))]
            else:
                return [RemoteFile(url)]
    except UnansweredError as error:
        msg = f"{shown(url)} cannot be listed: {error}; try again"
        raise RemoteFileError(msg) from error
    except OSError as error:
        msg = f"{shown(url)} cannot be listed: {error}"
        raise BadFileError(msg) from error
    return _any([RemoteFile(f"{scheme}{SCHEME_END}{each}") for each in sorted(found)], shown(url))


class _LocalDirectory:
    """A directory of this machine; see `ingest.hats.Directory`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def text(self, name: str) -> str | None:
        try:
            return _text(self._path / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            msg = f"{self._path / name} cannot be read: {error.strerror or error}"
            raise BadFileError(msg) from error

    def names(self, name: str) -> list[str]:
        base = self._path / name
        return sorted(each.relative_to(base).as_posix() for each in base.rglob("*") if each.is_file())


class _RemoteDirectory:
    """A directory behind a URL, which its server need not list."""

    def __init__(self, url: str) -> None:
        path, mark, query = url.partition("?")
        self._path, self._query = path.rstrip("/"), f"{mark}{query}"

    def __str__(self) -> str:
        return shown(self._path)

    def file(self, name: str) -> RemoteFile:
        """Return a file below it, be it there or not."""
        return RemoteFile(f"{self._path}/{name}{self._query}")

    def text(self, name: str) -> str | None:
        try:
            return _text(self.file(name))
        except UnansweredError as error:
            msg = f"{self}/{name} cannot be read: {error}; try again"
            raise RemoteFileError(msg) from error
        except OSError:  # servers of stores say of a file that is not there that nobody may read it
            return None

    def names(self, name: str) -> list[str]:
        fs, place = _file_system(f"{self._path}/{name}".rstrip("/"))
        if urlsplit(self._path).scheme.lower() in WEB:
            msg = f"{self}: nobody can list the files of {name} there; a catalogue that is read from the web names them all"
            raise BadFileError(msg)
        with _as_os_errors():
            return sorted(PurePosixPath(each).relative_to(place).as_posix() for each in fs.find(place))


def _text(file: Location) -> str:
    with file.open("rb") as opened:
        content: bytes = opened.read(MOST_TEXT_BYTES + 1)
    if len(content) > MOST_TEXT_BYTES:
        msg = f"{file} has more than {MOST_TEXT_BYTES >> 20} MiB, which is no description of other files"
        raise BadFileError(msg)
    return content.decode("utf-8", errors="replace")


def _any(found: list[Any], text: str) -> list[Location]:
    if not found:
        msg = f"there is no file in {text}" if not glob.has_magic(text) else f"no file matches {text}"
        raise BadFileError(msg)
    return found


def _is_hidden(path: Path | PurePosixPath) -> bool:
    return any(part.startswith(HIDDEN) for part in path.parts)


def _file_system(url: str) -> "tuple[AbstractFileSystem, str]":
    """Return the file system of a URL, and the place in it."""
    scheme = urlsplit(url).scheme.lower()
    if scheme not in WEB | STORES:
        msg = f"{shown(url)}: files are read from paths and from {', '.join(sorted(WEB | STORES))} URLs"
        raise BadFileError(msg)
    if "@" in urlsplit(url).netloc:
        msg = f"{shown(url)}: a URL must not hold a password; let the server sign it, or configure the store's own credentials"
        raise BadFileError(msg)
    from fsspec.core import url_to_fs  # noqa: PLC0415 (who reads paths alone need not load it)

    try:
        return cast("tuple[AbstractFileSystem, str]", url_to_fs(url, **_patience(scheme)))
    except ImportError as error:
        msg = f"{shown(url)} needs a package that is not installed: {error}"
        raise BadFileError(msg) from error


def _patience(scheme: str) -> dict[str, Any]:
    """Return what tells a file system of the web how long to wait; those of stores have limits of their own."""
    if scheme not in WEB:
        return {}
    from aiohttp import ClientTimeout  # noqa: PLC0415 (as above)

    return {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)}}


class UnansweredError(OSError):
    """A server does not answer, or not now: trying again may help."""


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Turn what file systems raise into errors of the system: theirs may name the URL with its secrets."""
    try:
        yield
    except FileNotFoundError as error:
        if error.__cause__ is None or getattr(error.__cause__, "status", None) == HTTPStatus.NOT_FOUND:
            raise FileNotFoundError from None
        raise _told(error.__cause__) from None
    except Exception as error:  # noqa: BLE001 (each package of a store has its own)
        raise _told(error) from None


def _told(error: BaseException) -> OSError:
    status, reason = getattr(error, "status", None), getattr(error, "message", "")
    if status:
        may_pass = status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return (UnansweredError if may_pass else OSError)(f"its server says {status} {reason}".strip())
    why = error.strerror if isinstance(error, OSError) else None
    kind = OSError if isinstance(error, PermissionError) else UnansweredError
    return kind(f"its server does not answer as it should ({why or type(error).__name__})")


class _Remote(io.RawIOBase):
    """An open file of fsspec."""

    def __init__(self, file: Any, *, is_seekable: bool) -> None:  # noqa: ANN401 (fsspec's files have no common type)
        self._file, self._is_seekable = file, is_seekable

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._is_seekable

    def readinto(self, buffer: "WriteableBuffer") -> int:
        with memoryview(buffer) as view, _as_os_errors():
            data = self._file.read(len(view))
            view[: len(data)] = data
            return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _as_os_errors():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()
