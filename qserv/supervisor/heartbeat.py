"""Ends a process that lives and says nothing any more, such as one that was stopped: the supervisor then starts it again."""

import logging
import threading
import time
from collections.abc import Sequence

from qserv.supervisor.probe import answers
from qserv.supervisor.process import ServiceProcess

TIMES_OF_SILENCE = 2.0
"""Who waits for a worker gives it up after the setting ``worker_silence_s``; so many times that, and nobody waits any more."""

LONGEST_PAUSE_S = 5.0
"""How often a process is asked at the least: it costs nothing."""

logger = logging.getLogger("qserv.supervisor")


class Heartbeat:
    """Asks services for signs of life, from `start` to `stop`, each in a thread of its own.

    A process is not ended before it has answered once: how long it may take to start is another matter.

    Parameters
    ----------
    processes
        Services whose simplest answer needs nothing but themselves.
    silence_s
        Setting ``worker_silence_s``.
    """

    def __init__(self, processes: Sequence[ServiceProcess], silence_s: float) -> None:
        self._limit_s = TIMES_OF_SILENCE * silence_s
        self._pause_s = min(self._limit_s / 8, LONGEST_PAUSE_S)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(process,), name=f"heartbeat-{process.service.name}", daemon=True)
            for process in processes
        ]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _ask(self, process: ServiceProcess) -> None:
        service = process.service
        heard_pid, heard_s = None, 0.0
        while not self._stopping.wait(self._pause_s):
            pid = process.pid
            if answers(service.kind, service.host, service.port):
                heard_pid, heard_s = pid, time.monotonic()
            elif pid is not None and pid == heard_pid and time.monotonic() - heard_s > self._limit_s:
                logger.warning("%s said nothing for %.1f s; it is ended and started again", service.name, self._limit_s)
                process.kill(pid)
                heard_pid = None
