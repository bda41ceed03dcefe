"""`qserv sql` as people and programs use it, against a cluster with real stars."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import psycopg
import pytest

from qserv.cluster import NODE_DATABASE, Role
from tests.support.waiting import PATIENCE_S, until

QSERV = [sys.executable, "-m", "qserv.cli"]
SLOW = (
    "SELECT COUNT(*) AS n FROM stars.hipparcos AS h, tap_schema.columns AS a, tap_schema.columns AS b, "
    "tap_schema.columns AS c WHERE h.magnitude + a.column_index * b.column_index * c.column_index > 1e9"
)


@pytest.fixture
def environment(archive, tmp_path):
    return os.environ | {"QSERV_HOME": str(archive.home), "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "PAGER": "cat"}


@pytest.fixture
def qserv(environment):
    def run(*arguments):
        return subprocess.run([*QSERV, *arguments], capture_output=True, text=True, check=False, env=environment)

    return run


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, arguments, environment):
        # A terminal of its own, so that Ctrl-C typed into it is a signal to the program.
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.execve(arguments[0], arguments, environment)  # noqa: S606 (the program under test)
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.seen = ""

    def expect(self, pattern, within_s=PATIENCE_S):
        """Wait until the program has written something new that matches; forget what is before it."""
        deadline = time.monotonic() + within_s
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen!r}"
            if select.select([self.file], [], [], 0.1)[0]:
                written = os.read(self.file, 65536).decode()
                # prompt_toolkit asks where the cursor is, as terminals can tell.
                if "\x1b[6n" in written:
                    os.write(self.file, b"\x1b[1;1R")
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
        self.seen = self.seen[found.end() :]
        return found

    def type(self, text):
        os.write(self.file, text.encode())

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self):
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.file)


@pytest.fixture
def terminal(environment):
    opened = []

    def start(*arguments):
        opened.append(Terminal([*QSERV, *arguments], environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def busy(archive):
    """Return how many chunk queries PostgreSQL runs."""
    found = 0
    for node in archive.cluster.nodes:
        with psycopg.connect(node.postgres.conninfo(Role.ADMIN, NODE_DATABASE, archive.secrets)) as connection:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state = 'active' AND query LIKE '%%hipparcos%%'"
            found += connection.execute(asked, [Role.READER]).fetchone()[0]
    return found


def test_a_query_on_the_command_line(qserv):
    answer = qserv("sql", "SELECT hip, bv FROM stars.hipparcos WHERE hip IN (1, 2) ORDER BY hip")
    assert answer.returncode == 0
    assert [line.split() for line in answer.stdout.splitlines()[:3]] == [["hip", "bv"], ["1", "0.482"], ["2", "0.999"]]
    assert json.loads(qserv("sql", "--json", "SELECT hip FROM stars.hipparcos", "--max-rows", "1").stdout)["more"] is True
    wrong = qserv("sql", "SELECT hipp FROM stars.hipparcos")
    assert (wrong.returncode, wrong.stderr) == (4, "qserv: unknown column hipp; did you mean hip? (line 1, column 8)\n")


def test_ctrl_c_stops_the_query_on_the_nodes(archive, qserv, environment):
    with subprocess.Popen([*QSERV, "sql", SLOW], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        until(lambda: busy(archive))
        listed = qserv("queries").stdout
        assert "SELECT COUNT(*) AS n FROM stars.hipparcos" in listed
        client.send_signal(signal.SIGINT)
        until(lambda: not busy(archive))
        assert client.wait(PATIENCE_S) == 130


def test_a_query_is_stopped_by_the_beginning_of_its_id(archive, qserv, environment):
    with subprocess.Popen([*QSERV, "sql", SLOW], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        until(lambda: busy(archive))
        (query,) = json.loads(qserv("queries", "--json").stdout)["queries"]
        stopped = qserv("cancel", query["query_id"][:8], "--json")
        assert (stopped.returncode, json.loads(stopped.stdout)) == (0, {"cancelled": query["query_id"]})
        assert client.wait(PATIENCE_S) == 4
        assert b"given up" in client.stderr.read()
    unknown = qserv("cancel", "12345678")
    assert unknown.returncode == 4
    assert "qserv queries" in unknown.stderr


def test_a_conversation(terminal, tmp_path):
    prompt = terminal("sql")
    prompt.expect("qserv>")
    prompt.type("\\d hipparcos\r")
    prompt.expect(r"ra_degrees +double +deg")
    prompt.type("\\d\r")
    prompt.expect(r"stars\.hipparcos +director +118,218")
    prompt.expect("qserv>")
    prompt.type("select hip from stars.hipp\t")
    prompt.expect("arcos")
    prompt.type(" where hip = 7\r;\r")
    prompt.expect(r"hip\s+7\s+1 rows, \d")
    prompt.type("\\timing\r")
    prompt.expect("timing is off")
    prompt.type("select hipp from stars.hipparcos;\r")
    prompt.expect(r"query\.unknown_name: unknown column hipp; did you mean hip\?")
    prompt.type("\\e select hip from stars.hipparcos where hip = 7;\r")
    prompt.expect(r"chunks +1 of")
    prompt.type("\\nonsense\r")
    prompt.expect(r"\\nonsense is not known")
    prompt.type("\\q\r")
    assert prompt.wait() == 0
    assert "select hip from stars.hipparcos where hip = 7\n+;" in (tmp_path / "qserv" / "history").read_text()


def test_what_was_asked_before_is_asked_again(terminal):
    for_the_first_time = terminal("sql")
    for_the_first_time.expect("qserv>")
    for_the_first_time.type("select hip + 1 as next from stars.hipparcos where hip = 7;\r")
    for_the_first_time.expect(r"next\s+8\s+1 rows, \d")
    for_the_first_time.expect("qserv>")
    for_the_first_time.type("\x04")
    assert for_the_first_time.wait() == 0
    again = terminal("sql")
    again.expect("qserv>")
    again.type("\x1b[A")
    again.expect("where hip = 7;")
    again.type("\r")
    again.expect(r"next\s+8\s+1 rows, \d")
    again.expect("qserv>")
    again.type("\x04")
    assert again.wait() == 0


def test_ctrl_c_at_the_prompt_stops_the_query_and_not_the_prompt(archive, terminal):
    prompt = terminal("sql")
    prompt.expect("qserv>")
    prompt.type(SLOW + ";\r")
    prompt.expect(r"chunks .* \d+/\d+")
    until(lambda: busy(archive))
    prompt.type("\x03")
    until(lambda: not busy(archive))
    prompt.expect("stopped")
    prompt.type("select count(*) as n from stars.hipparcos;\r")
    prompt.expect(r"n\s+118218")
    prompt.expect("qserv>")
    prompt.type("\x04")
    assert prompt.wait() == 0


def test_long_answers_go_through_a_pager(terminal, environment):
    environment["PAGER"] = "sed s/^/paged:/"
    prompt = terminal("sql")
    prompt.expect("qserv>")
    prompt.type("select hip from stars.hipparcos where hip between 1 and 100 order by hip;\r")
    prompt.expect(r"paged:hip")
    prompt.type("\\pager\r")
    prompt.expect("the pager is off")
    prompt.expect("qserv>")
    prompt.type("\x04")
    assert prompt.wait() == 0
