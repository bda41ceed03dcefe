"""Reads visits all the time, and tells of each answer in which one is torn: rows of it missing in some table or chunk."""

import threading

from czar.service.client import Czar
from qserv.errors import QservError
from tests.ingest.appending.conftest import OBJECTS, SOURCES

WHOLE = OBJECTS + 1_000 * SOURCES + 10**6
"""What the rows of a visit add up to, over the three tables."""

SUMS = """
    SELECT visit, SUM(weight) AS found FROM (
        SELECT FLOOR((id - 9007199254740992) / 1000) AS visit, 1 AS weight FROM {db}.object
        UNION ALL SELECT FLOOR(source_id / 1000), 1000 FROM {db}.source
        UNION ALL SELECT band, 1000000 FROM {db}.filter) rows
    GROUP BY visit"""

COUNTS = "SELECT (SELECT COUNT(*) FROM {db}.object) AS o, (SELECT COUNT(*) FROM {db}.source) AS s, COUNT(*) AS f FROM {db}.filter"

JOINED = "SELECT o.id, COUNT(s.source_id) AS found FROM {db}.object o LEFT JOIN {db}.source s ON s.object_id = o.id GROUP BY o.id"


class Reader:
    """Reads in threads of its own, within a ``with`` block."""

    def __init__(self, home, database):
        self._home, self._database = home, database
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(query,)) for query in (SUMS, COUNTS, JOINED)]
        self.torn = []
        self.answers = 0
        self.visits = set()
        """Numbers of visits that were seen together."""

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _read(self, query):
        with Czar.of_home(self._home, user="reader") as czar:
            while not self._stop.is_set():
                try:
                    rows = czar.query(query.format(db=self._database)).to_pylist()
                except QservError as error:
                    if not error.retryable:  # else a process that was killed was asked
                        self.torn.append(error)
                    continue
                self.answers += 1
                if not self._is_whole(query, rows):
                    self.torn.append((query, rows))

    def _is_whole(self, query, rows):
        if query is SUMS:
            self.visits.add(len(rows))
            return {row["found"] for row in rows} == {WHOLE}
        if query is COUNTS:
            visits = rows[0]["f"]
            return rows == [{"o": visits * OBJECTS, "s": visits * SOURCES, "f": visits}]
        return {row["found"] for row in rows} == {SOURCES // OBJECTS} and len(rows) % OBJECTS == 0
