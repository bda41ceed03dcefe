"""Schemas of real catalogues, and the data of one, that come with the software."""

from importlib.resources import as_file, files
from pathlib import Path


def schema_path(name: str) -> Path:
    """Return the Felis file of a catalogue that comes with the software, such as ``stars``.

    Raises
    ------
    FileNotFoundError
        There is no such catalogue.
    """
    return _path(f"{name}.yaml")


def data_path(name: str) -> Path:
    """Return a data file that comes with the software, such as ``hipparcos.parquet``.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    return _path("data", name)


def _path(*parts: str) -> Path:
    """Return a file of this package. The package is always installed as plain files, so that the path outlives the context."""
    with as_file(files(__name__).joinpath(*parts)) as path:
        if not path.is_file():
            msg = f"{'/'.join(parts)} does not come with this software; it has {', '.join(sorted(_names()))}"
            raise FileNotFoundError(msg)
        return path


def _names() -> list[str]:
    return [item.name for item in (*files(__name__).iterdir(), *files(__name__).joinpath("data").iterdir()) if item.is_file()]
