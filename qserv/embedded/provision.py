"""Roles and databases of a server, as SQL that may run again on every start: who may do what is written here alone."""

import psycopg
from psycopg import sql

from qserv.cluster import METADATA_DATABASE, NODE_DATABASE, PROVENANCE_SCHEMA, SCRATCH_DATABASE, PostgresAddress, Role, Secrets

ADMIN_DATABASE = "postgres"
"""Database that every PostgreSQL server has; the launcher connects to it before there are others."""


def provision_node(address: PostgresAddress, secrets: Secrets, temporary_bytes: int) -> None:
    """Make the roles and the database of a node.

    The loader owns what it makes; the reader may look at it, and nothing else. ``temporary_bytes`` is the disk that one session of
    the reader may use for sorts and hashes: part of a query, not the whole disk.
    """
    with _connect(address, ADMIN_DATABASE, secrets) as connection:
        _role(connection, Role.LOADER, secrets)
        _role(connection, Role.READER, secrets)
        _run(connection, "ALTER ROLE {} SET default_transaction_read_only = on", Role.READER)
        _limit_temporary_files(connection, Role.READER, temporary_bytes)
        _keep_errors_out_of_the_log(connection, Role.READER)
        _database(connection, NODE_DATABASE, Role.ADMIN)
        _run(connection, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", NODE_DATABASE, Role.LOADER)
        _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", NODE_DATABASE, Role.READER)
    with _connect(address, NODE_DATABASE, secrets) as connection:
        _close_public_schema(connection)
        for privilege, objects in (("USAGE", "SCHEMAS"), ("SELECT", "TABLES")):
            text = f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}} GRANT {privilege} ON {objects} TO {{}}"
            _run(connection, text, Role.LOADER, Role.READER)


def provision_metadata(address: PostgresAddress, secrets: Secrets, temporary_bytes: int) -> None:
    """Make the roles and the databases of the metadata server.

    The metadata role owns both databases; the scratch role may make temporary tables in its own and nothing that lasts; the
    provenance role may read the views of provenance and nothing else. Each of these two may use ``temporary_bytes`` of disk in one
    session for sorts and hashes.
    """
    with _connect(address, ADMIN_DATABASE, secrets) as connection:
        _role(connection, Role.METADATA, secrets)
        for role in (Role.SCRATCH, Role.PROVENANCE):
            _role(connection, role, secrets)
            _limit_temporary_files(connection, role, temporary_bytes)
            _keep_errors_out_of_the_log(connection, role)
        _run(connection, "ALTER ROLE {} SET default_transaction_read_only = on", Role.PROVENANCE)
        _database(connection, METADATA_DATABASE, Role.METADATA)
        _database(connection, SCRATCH_DATABASE, Role.METADATA)
        _run(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", SCRATCH_DATABASE, Role.SCRATCH)
        _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", METADATA_DATABASE, Role.PROVENANCE)
    with _connect(address, METADATA_DATABASE, secrets) as connection:
        _close_public_schema(connection)
        _run(connection, "GRANT USAGE, CREATE ON SCHEMA public TO {}", Role.METADATA)
        _run(connection, "CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}", PROVENANCE_SCHEMA, Role.METADATA)
        _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", PROVENANCE_SCHEMA, Role.PROVENANCE)
        text = "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT SELECT ON TABLES TO {}"
        _run(connection, text, Role.METADATA, PROVENANCE_SCHEMA, Role.PROVENANCE)
    with _connect(address, SCRATCH_DATABASE, secrets) as connection:
        _close_public_schema(connection)


def _connect(address: PostgresAddress, database: str, secrets: Secrets) -> psycopg.Connection:
    return psycopg.connect(address.conninfo(Role.ADMIN, database, secrets), autocommit=True)


def _run(connection: psycopg.Connection, text: str, *names: str) -> None:
    connection.execute(sql.SQL(text).format(*(sql.Identifier(name) for name in names)))


def _limit_temporary_files(connection: psycopg.Connection, role: Role, limit_bytes: int) -> None:
    """Set the limit as the role's default: only a superuser may, so that the role itself cannot lift it."""
    _run(connection, f"ALTER ROLE {{}} SET temp_file_limit = '{max(1, limit_bytes // 1024)}kB'", role)


def _keep_errors_out_of_the_log(connection: psycopg.Connection, role: Role) -> None:
    """Log nothing of a role that runs queries of users but what ends its session: an error may name their constants."""
    _run(connection, "ALTER ROLE {} SET log_min_messages = 'log'", role)


def _role(connection: psycopg.Connection, role: Role, secrets: Secrets) -> None:
    """Make a role, or set its password again. The server gets the SCRAM verifier, so no password can reach its log."""
    password = secrets.passwords[role].get_secret_value().encode()
    verifier = connection.pgconn.encrypt_password(password, role.encode(), b"scram-sha-256").decode()
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role.value]).fetchone()
    verb = sql.SQL("ALTER" if exists else "CREATE")
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(verifier)))


def _database(connection: psycopg.Connection, database: str, owner: Role) -> None:
    """Make a database, if it is not there, that only its owner and those named later may enter."""
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        # FILE_COPY: some 10 ms against 60 ms of the default, which writes the template's pages to the WAL.
        _run(connection, "CREATE DATABASE {} STRATEGY file_copy", database)
    _run(connection, "ALTER DATABASE {} OWNER TO {}", database, owner)
    _run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", database)


def _close_public_schema(connection: psycopg.Connection) -> None:
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
