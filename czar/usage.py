"""What users have read lately: rows and bytes of answers, over a window that slides."""

from collections import deque
from dataclasses import dataclass, field

from czar.measures import Clock
from czar.shown_sql import amount
from qserv.errors import UserBytesError, UserRowsError
from qserv.settings import Settings

PIECES = 60
"""Pieces of the window; what was read leaves it piece by piece."""


@dataclass
class Reading:
    """What one user has read. A piece is (its number, rows, bytes)."""

    pieces: deque[tuple[int, int, int]] = field(default_factory=deque)
    rows: int = 0
    size_bytes: int = 0

    def add(self, piece: int, rows: int, size_bytes: int) -> None:
        """Count rows that were read in a piece of time."""
        self.rows += rows
        self.size_bytes += size_bytes
        if self.pieces and self.pieces[-1][0] == piece:
            _, before_rows, before_bytes = self.pieces.pop()
            rows, size_bytes = rows + before_rows, size_bytes + before_bytes
        self.pieces.append((piece, rows, size_bytes))

    def forget(self, before: int) -> None:
        """Take what is older than a piece off."""
        while self.pieces and self.pieces[0][0] < before:
            _, rows, size_bytes = self.pieces.popleft()
            self.rows -= rows
            self.size_bytes -= size_bytes


class Usage:
    """What the users of a czar have read within the window. For one thread.

    Parameters
    ----------
    settings
        The window, and how much a user may read within it.
    clock
        Seconds.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._window_s, self._max_rows, self._max_bytes = (
            settings.user_window_s,
            settings.max_rows_per_user,
            settings.max_bytes_per_user,
        )
        self._clock = clock
        self._users: dict[str, Reading] = {}

    def add(self, user: str, rows: int, size_bytes: int) -> None:
        """Count what a user reads.

        Raises
        ------
        UserRowsError, UserBytesError
            It is more than a user may.
        """
        self._users.setdefault(user, Reading()).add(self._piece(), rows, size_bytes)
        self._check(user, self._max_rows + 1, self._max_bytes + 1)

    def check(self, user: str) -> None:
        """Refuse a query of a user who has read all that a user may.

        Raises
        ------
        UserRowsError, UserBytesError
            So it is.
        """
        before = self._piece() - PIECES
        for name, reading in list(self._users.items()):
            reading.forget(before)
            if not reading.pieces:
                del self._users[name]
        self._check(user, self._max_rows, self._max_bytes)

    def _check(self, user: str, rows: int, size_bytes: int) -> None:
        reading = self._users.get(user)
        if reading is None:
            return
        reading.forget(self._piece() - PIECES)
        rest = f"within {self._window_s:g} s; try again later, or aggregate by GROUP BY"
        if reading.rows >= rows:
            msg = f"{user} has read the {self._max_rows:,} rows that a user may {rest}"
            raise UserRowsError(msg)
        if reading.size_bytes >= size_bytes:
            msg = f"{user} has read the {amount(self._max_bytes)} that a user may {rest}"
            raise UserBytesError(msg)

    def _piece(self) -> int:
        return int(self._clock() * PIECES / self._window_s)
