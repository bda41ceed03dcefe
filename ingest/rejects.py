"""Rows that are set aside rather than loaded: how many may be, and the file that says which."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from ingest.rows import RefusedRowError, SetAside
from qserv.errors import BadRowError, IngestError


class Rejects:
    """Takes bad rows of a load, up to ``most`` of all its tables. Without any, there is no file.

    A line of the file is a JSON object: table, file, row (from 1), column, value, reason. JSON rather than CSV, which spreadsheets
    compute: values are those of files that nobody has checked.
    """

    def __init__(self, path: Path, most: int) -> None:
        self._path, self._most = path, most
        self.counts: Counter[str] = Counter()
        """Rows that were set aside, by table."""

    @property
    def allowed(self) -> bool:
        """Whether any row may be set aside."""
        return self._most > 0

    def of(self, table: str) -> SetAside:
        """Return what takes the rows of a table.

        It raises `BadRowError` when there are too many.
        """

        def take(error: RefusedRowError) -> None:
            self._take(table, error)

        return take

    def unrecorded(self, error: RefusedRowError) -> None:
        """Pass over a row that is met again later, unless none may be set aside."""
        if not self._most:
            raise error

    def _take(self, table: str, error: RefusedRowError) -> None:
        taken = self.counts.total()
        if taken >= self._most:
            if not self._most:
                raise error
            msg = f"{error}; {taken:,} bad rows were set aside before it, in {self._path}, and more are not allowed"
            raise BadRowError(msg) from error
        line = json.dumps({"table": table, **asdict(error.reject)}, ensure_ascii=False)
        try:
            with self._path.open("a" if taken else "w", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as problem:
            msg = f"{self._path}, which names the rows that are set aside, cannot be written: {problem.strerror}"
            raise IngestError(msg) from error
        self.counts[table] += 1
