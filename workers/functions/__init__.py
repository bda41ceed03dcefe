"""SQL functions of PostgreSQL schema ``qserv`` on every node: sphere, polygons, photometry, mathematics, Qserv's own names."""

from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Final

from qserv.failpoints import durable

if TYPE_CHECKING:
    import psycopg

FILES: Final = (
    "sphere.sql",
    "polygon.sql",
    "scisql_sphere.sql",
    "photometry.sql",
    "maths.sql",
    "native.sql",
    "mysql.sql",
    "htm.sql",
    "aggregates.sql",
    "sampling.sql",
)
"""In the order in which they are run: later ones call functions of earlier ones."""

_LOCK: Final = 0x71736572
"""Advisory lock: two that install at once would update the same catalogue rows, and one would fail."""


def statements() -> Iterator[str]:
    """Yield the text of each file. It may be run again: functions are replaced."""
    for name in FILES:
        yield resources.files(__name__).joinpath(name).read_text()


def install(connection: "psycopg.Connection") -> None:
    """Make or update the functions, in one transaction, and let everybody call them.

    Parameters
    ----------
    connection
        Of a role that may make schemas in the database, or owns schema ``qserv``.
    """
    with durable("worker.functions.install"), connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute("CREATE SCHEMA IF NOT EXISTS qserv")
        connection.execute("GRANT USAGE ON SCHEMA qserv TO PUBLIC")
        for text in statements():
            connection.execute(text)
