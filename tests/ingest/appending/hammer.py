"""Asks for rows all the time while a column is added, and tells of answers that are neither of before nor of after."""

import threading
from collections import Counter

from czar.service.client import Czar
from qserv.errors import QservError

SORTED_BY = {"id", "other", "source_id", "low"}
"""Columns of the answers that make their order the same."""


class Hammer:
    """Asks in threads of its own, within a ``with`` block."""

    WHOLE = "SELECT * FROM {db}.object"
    COUNTED = "SELECT COUNT(*) AS n, MIN(id) AS low FROM {db}.object WHERE ra < 400 OR ra IS NULL"
    NEAR = """SELECT a.*, b.id AS other FROM {db}.object a, {db}.object b
        WHERE DISTANCE(a.ra, a.dec, b.ra, b.dec) < 0.05 AND a.id < b.id"""
    DEPENDENT = "SELECT o.*, s.source_id FROM {db}.object o JOIN {db}.source s ON s.object_id = o.id"

    def __init__(self, night, database, column, value):
        self._night, self._database, self._column, self._value = night, database, column, value
        self._stop = threading.Event()
        queries = (self.WHOLE, self.WHOLE, self.COUNTED, self.NEAR, self.DEPENDENT)
        self._before = {query: self._ask(night.czar, query) for query in queries}
        self._threads = [threading.Thread(target=self._hammer, args=(query,)) for query in queries]
        self.wrong, self.lost = [], []
        """Answers that must not be, and those that did not come, as where a process was killed."""
        self.answered, self.wide = Counter(), 0
        """How many answers each query had, and how many had the column."""

    @property
    def answers(self):
        """How many there were."""
        return self.answered.total()

    def _ask(self, czar, query):
        rows = czar.query(query.format(db=self._database))
        return rows.sort_by([(name, "ascending") for name in rows.column_names if name in SORTED_BY])

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _hammer(self, query):
        seen = False
        with Czar.of_home(self._night.running.cluster.home, user="hammer") as czar:
            while not self._stop.is_set():
                try:
                    rows = self._ask(czar, query)
                except QservError as error:
                    (self.lost if error.retryable else self.wrong).append((query, error))
                    continue
                self.answered[query] += 1
                if self._column in rows.column_names:
                    seen = True
                    self.wide += 1
                    if set(rows[self._column].to_pylist()) != {self._value}:
                        self.wrong.append((query, rows[self._column]))
                    rows = rows.drop_columns([self._column])
                elif seen:
                    self.wrong.append((query, "the column was there before"))
                if rows != self._before[query]:
                    self.wrong.append((query, rows))
