"""Runs commands side by side; the output of each is printed whole when it ends."""

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a run. Each command gets them once, and ends in its own way."""


@dataclass(frozen=True)
class Ended:
    code: int
    minutes: float


@dataclass
class SideBySide:
    """Commands by name, begun in their order, ``at_once`` at a time."""

    commands: dict[str, list[str]]
    at_once: int
    ended: dict[str, Ended] = field(default_factory=dict)
    _running: list[asyncio.subprocess.Process] = field(default_factory=list)
    _stopped_by: int | None = None

    def run(self):
        """Run the commands and print how long each took; return the exit code of all."""
        began = time.monotonic()
        asyncio.run(self._run())
        minutes = (time.monotonic() - began) / 60
        say(" minutes ".center(80, "="))
        for name, ended in self.ended.items():
            say(f"{ended.minutes:6.2f}  {name}{f': failed, exit code {ended.code}' if ended.code else ''}")
        say(f"{minutes:6.2f}  all, {self.at_once} at a time")
        if self._stopped_by is not None:
            return 128 + self._stopped_by
        return int(any(ended.code for ended in self.ended.values()))

    async def _run(self):
        loop = asyncio.get_running_loop()
        for number in STOPS:
            # What is handled here has its default in the commands, even if a shell began all this with "&", deaf to SIGINT.
            loop.add_signal_handler(number, self._stop, number)
        free = asyncio.Semaphore(self.at_once)
        await asyncio.gather(*(self._one(name, free) for name in self.commands))

    async def _one(self, name, free):
        async with free:
            if self._stopped_by is not None:
                return
            say(f"{name} begins")
            began = time.monotonic()
            with tempfile.TemporaryFile() as output:
                # In a group of its own: a terminal would send it Ctrl-C, too, and a second one cuts its cleaning up short.
                command = await asyncio.create_subprocess_exec(
                    *self.commands[name], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0
                )
                self._running.append(command)
                code = await command.wait()
                self._running.remove(command)
                output.seek(0)
                say(f" {name} ".center(80, "="), output.read().decode(errors="replace"))
            self.ended[name] = Ended(code, (time.monotonic() - began) / 60)

    def _stop(self, number):
        self._stopped_by = number
        for command in self._running:
            command.send_signal(number)


def say(*lines):
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()
