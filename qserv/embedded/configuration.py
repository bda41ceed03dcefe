"""``postgresql.conf`` and ``pg_hba.conf`` of an embedded server, computed from the machine's size."""

from dataclasses import dataclass

from qserv.embedded.machine import Machine

MIB = 1024 * 1024
GIB = 1024 * MIB

SHARED_BUFFERS_SHARE = 0.5
"""Of a server's memory; the rest is for sorts, hashes and index builds. Few chunks are so large beside it that PostgreSQL reads
them past the buffers, through a ring of few pages: tables that fit are scanned without a copy from the kernel."""

MIN_SHARED_BUFFERS_BYTES = 32 * MIB
MAX_SHARED_BUFFERS_BYTES = 8 * GIB
"""Below the one, index look-ups of a few queries push each other out; above the other, gains are small and restarts slow."""

MAX_CONNECTIONS = 100
"""A worker's threads, loads and health checks, or the metadata pools of every service, with room for a person with psql."""

MAX_LOCKS_PER_TRANSACTION = 1024
"""Times `MAX_CONNECTIONS` is the lock table: a batch of 500 drops takes some 2,000 locks, a backend that plans over 2,000 chunk
tables 8,000. Costs about 30 MB of address space, used only as far as needed."""

MAX_WAL_BYTES = 2 * GIB
"""WAL kept between checkpoints: bulk rows go past the WAL (wal_level minimal), so this is index builds and the metadata."""


@dataclass(frozen=True)
class ServerShare:
    """What one of several servers on a machine may use."""

    memory_bytes: int
    cores: int

    @classmethod
    def of(cls, machine: Machine, memory_share: float, servers: int) -> "ServerShare":
        """Return the share of each of some servers: memory is divided, cores are not (servers are seldom all busy)."""
        return cls(int(machine.memory_bytes * memory_share / servers), machine.cores)


def postgresql_conf(share: ServerShare, port: int, version: int) -> str:
    """Return the whole ``postgresql.conf`` of a server, for a PostgreSQL of this major version."""
    shared_buffers = min(max(int(share.memory_bytes * SHARED_BUFFERS_SHARE), MIN_SHARED_BUFFERS_BYTES), MAX_SHARED_BUFFERS_BYTES)
    rest = max(share.memory_bytes - shared_buffers, 64 * MIB)
    settings: dict[str, str | int] = {
        # This machine only, TCP only: a socket directory would need a short path.
        "listen_addresses": "'127.0.0.1'",
        "port": port,
        "unix_socket_directories": "''",
        "max_connections": MAX_CONNECTIONS,
        "password_encryption": "scram-sha-256",
        # A client that died must not leave its query running.
        "client_connection_check_interval": "'1s'",
        "shared_buffers": _mib(shared_buffers),
        "effective_cache_size": _mib(rest + shared_buffers),
        # Four large sorts or hashes for each core, before the server's share is used up.
        "work_mem": _mib(min(max(rest // (4 * share.cores), 4 * MIB), GIB)),
        "maintenance_work_mem": _mib(min(max(rest // (2 * share.cores), 32 * MIB), 2 * GIB)),
        "max_locks_per_transaction": MAX_LOCKS_PER_TRANSACTION,
        # The czar runs many chunks side by side: workers inside one statement would only compete with them.
        "max_parallel_workers_per_gather": 0,
        "max_parallel_maintenance_workers": 0,
        # Absent from wheels, and did not pay on chunk queries.
        "jit": "off",
        # Loading into a table made in the same transaction writes no WAL; nothing here replicates at this level.
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "fsync": "on",
        "full_page_writes": "on",
        "max_wal_size": _mib(MAX_WAL_BYTES),
        "min_wal_size": _mib(80 * MIB),
        "checkpoint_timeout": "'15min'",
        "checkpoint_completion_target": "0.9",
        # Base tables switch it off and are vacuumed at publish; the metadata needs it.
        "autovacuum": "on",
        "autovacuum_max_workers": 2,
        "autovacuum_naptime": "'1min'",
        # Data lies on SSDs or in the file cache.
        "random_page_cost": "1.1",
        "log_destination": "'stderr'",
        "logging_collector": "off",
        "log_line_prefix": "'%m [%p] '",
        "log_checkpoints": "off",
        # What users write stays out of the log: no text of a statement that failed, none of one whose process crashed (a detail).
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "datestyle": "'iso, ymd'",
        "lc_messages": "'C'",
        "lc_monetary": "'C'",
        "lc_numeric": "'C'",
        "lc_time": "'C'",
    }
    if version >= 18:  # noqa: PLR2004 (the version that brought the setting)
        # Several chunks are read at a time and the kernel reads ahead: a process that reads for a scan only copies.
        settings["io_method"] = "sync"
    lines = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(["# Written by the launcher at every start; changes here are lost.", *lines, ""])


def pg_hba_conf() -> str:
    """Return ``pg_hba.conf``: passwords only, from this machine only."""
    return "# Written by the launcher at every start.\nhost all all 127.0.0.1/32 scram-sha-256\n"


def _mib(size_bytes: int) -> str:
    return f"{size_bytes // MIB}MB"
