"""What users have read lately, from all czars together: rows and bytes of answers, over a window that slides.

Each czar counts its own row by row. With every sign of life it adds that up in the metadata database, and hears what the users that
it knows have read from others meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from czar.shown_sql import amount
from qserv.errors import UserBytesError, UserRowsError
from qserv.metadata.readings import Reading
from qserv.settings import Settings


@dataclass(frozen=True)
class Told:
    """What a czar tells the database: what was read since it last did, and the users of whom it wants to know more."""

    read: Mapping[str, Reading]
    users: frozenset[str]


class Usage:
    """What the users of a czar have read within the window. For one thread.

    Parameters
    ----------
    settings
        The window, and how much a user may read within it.
    """

    def __init__(self, settings: Settings) -> None:
        self.window_s = settings.user_window_s
        self._max_rows, self._max_bytes = settings.max_rows_per_user, settings.max_bytes_per_user
        self._written: dict[str, Reading] = {}
        """What is in the database, by the users who asked here within the window."""
        self._here: dict[str, Reading] = {}
        """What was read here and is not in the database yet."""

    def add(self, user: str, rows: int, size_bytes: int) -> None:
        """Count what a user reads.

        Raises
        ------
        UserRowsError, UserBytesError
            It is more than a user may.
        """
        self._here[user] = self._here.get(user, Reading()).plus(rows, size_bytes)
        self._check(user, self._max_rows + 1, self._max_bytes + 1)

    def check(self, user: str) -> None:
        """Refuse a query of a user who has read all that a user may.

        Raises
        ------
        UserRowsError, UserBytesError
            So it is.
        """
        self._written.setdefault(user, Reading())
        self._check(user, self._max_rows, self._max_bytes)

    def tell(self) -> Told:
        """Return what is to be added up in the database; then `hear`."""
        return Told(dict(self._here), frozenset(self._written.keys() | self._here.keys()))

    def hear(self, told: Told, within: Mapping[str, Reading]) -> None:
        """Take note of what is in the database now.

        Parameters
        ----------
        told
            What was added.
        within
            What each of its users has read within the window, from all czars. Who is not there has read nothing.
        """
        for user, each in told.read.items():
            self._here[user] = self._here[user].minus(each)
        self._here = {user: each for user, each in self._here.items() if each != Reading()}
        asked_since = {user: each for user, each in self._written.items() if user not in told.users}
        self._written = asked_since | dict(within)

    def _check(self, user: str, rows: int, size_bytes: int) -> None:
        read = self._written.get(user, Reading()).plus(*self._here.get(user, Reading()))
        rest = f"within {self.window_s:g} s; try again later, or aggregate by GROUP BY"
        if read.rows >= rows:
            msg = f"{user} has read the {self._max_rows:,} rows that a user may {rest}"
            raise UserRowsError(msg)
        if read.size_bytes >= size_bytes:
            msg = f"{user} has read the {amount(self._max_bytes)} that a user may {rest}"
            raise UserBytesError(msg)
