"""What errors of the metadata server's databases mean to the user whose query met them."""

import adbc_driver_manager
import pyarrow as pa

from qserv.errors import MetadataError, QservError, QueryEvaluationError, TemporarySpaceError, TimeLimitError
from workers.postgresql.failures import LESS, connection_lost, fault

FAILURES = (adbc_driver_manager.Error, pa.ArrowException, OSError)
"""What a statement that PostgreSQL stops raises: pyarrow makes an error of its own, or an OSError, of one in mid-stream."""


def meaning(error: Exception, database: str) -> QservError:
    """Return the error of ours that one of PostgreSQL's stands for; ``database`` says whose, in messages."""
    message, sqlstate = message_of(error), getattr(error, "sqlstate", None)
    if _is_lost(error, sqlstate):
        msg = f"the {database} database stopped answering ({message}); ask again, and if that does not help look at `qserv status`"
        return MetadataError(msg)
    if "statement timeout" in message:
        return TimeLimitError("the query ran longer than its time limit; restrict it further, or raise the limit")
    if "temp_file_limit" in message:
        msg = f"sorts and hashes in the {database} database need more disk than one query may use ({message}); {LESS}"
        return TemporarySpaceError(msg)
    return fault(sqlstate, message) or QueryEvaluationError(message)


def _is_lost(error: Exception, sqlstate: str | None) -> bool:
    """Tell whether a connection broke. Where it did before the server said why, libpq has words of its own, without a state."""
    if sqlstate:
        return connection_lost(sqlstate)
    return isinstance(error, adbc_driver_manager.OperationalError | OSError) and "ERROR:" not in str(error)


def message_of(error: Exception) -> str:
    """Return PostgreSQL's own sentence out of ADBC's or Arrow's."""
    text = str(error)
    return text.rpartition("ERROR:" if "ERROR:" in text else "[libpq] ")[2].partition("\n")[0].strip()
