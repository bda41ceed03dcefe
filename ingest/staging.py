"""Tables that replace published ones are loaded beside these, in a database of another name, and take their place at the end.

So users see the old rows until the new ones are all there, and a load that fails before changes nothing. While they change places,
which takes seconds, the tables are hidden; a node that is lost in these seconds takes old and new rows with it.
"""

import hashlib
from dataclasses import dataclass

from qserv.errors import QservError


def staged_database(database: str) -> str:
    """Return the name of the database in which replacements for tables of a database are made: no user's name begins with ``~``.

    It is a hash, because the index of a director has the name of database and table together, which must not get longer.
    """
    return "~" + hashlib.blake2b(database.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Staging:
    """Where the tables of a load are made.

    Attributes
    ----------
    database
        Name of the database that is loaded.
    replaced
        Tables of it that are published and replaced; empty for a load that replaces none.
    """

    database: str
    replaced: frozenset[str] = frozenset()

    def home(self, table: str) -> str:
        """Return the database in which a table is found during the load."""
        return staged_database(self.database) if table in self.replaced else self.database

    def names_staged(self, error: QservError) -> bool:
        """Whether an error names the database in which replacements are made."""
        return staged_database(self.database) in str(error)

    def as_users_know(self, error: QservError) -> QservError:
        """Return an error with the name of the database that users know: itself, if it names no other one."""
        if not self.names_staged(error):
            return error
        return type(error)(str(error).replace(staged_database(self.database), self.database))
