"""Brings the metadata database to the tables of this version, by the migrations in ``qserv/metadata/migrations``."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from qserv.errors import MetadataError
from qserv.metadata.engine import CONNECT_TIMEOUT_S, driver_url

UPGRADE_LOCK = 0x7173657276
"""Key of the advisory lock that makes services that start together upgrade one after the other (the bytes spell ``qserv``)."""


def upgrade(url: str | URL) -> None:
    """Bring the metadata database to this version's tables. Does nothing where they are there already.

    Raises
    ------
    MetadataError
        The database does not answer.
    """
    connecting = {"connect_timeout": int(CONNECT_TIMEOUT_S)}
    engine = create_engine(driver_url(url, "psycopg"), poolclass=NullPool, connect_args=connecting)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
            command.upgrade(alembic_config(connection), "head")
    except OperationalError as error:
        where = engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
        msg = f"metadata database {where} does not answer: {error.orig}; is its PostgreSQL running?"
        raise MetadataError(msg) from error


def alembic_config(connection: Connection) -> Config:
    """Return Alembic's configuration over an open connection; ``migrations/env.py`` takes the connection from it."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
