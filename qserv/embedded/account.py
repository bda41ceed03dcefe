"""As whom PostgreSQL runs. It refuses uid 0: as root it gets a user namespace of its own, or an account with fewer rights."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qserv.embedded.binaries import Binaries
from qserv.errors import ClusterError

NAMESPACE_ID = 65534
"""Uid and gid that root has inside the user namespace: ``nobody`` on every Linux."""

NAMESPACE = ("unshare", "--user", f"--map-user={NAMESPACE_ID}", f"--map-group={NAMESPACE_ID}", "--")
"""Runs a program in a user namespace where root is `NAMESPACE_ID`: files of root stay readable, without any chown."""

ACCOUNTS = ("postgres", "nobody")
"""Accounts to drop to where user namespaces are off, besides the one that called sudo."""


CAPABILITY = "dac_override"
"""Lets an account pass through directories of mode 700, such as a home of root. Containers without user namespaces grant it."""

PASSABLE = 0o711
"""Mode of a home that another account must reach into: it can open what it knows the name of and may read."""


@dataclass(frozen=True)
class Account:
    """How to start a program that must not be root: with words before it, or under another uid.

    Words before it change the uid themselves; ``uid`` is then whose the files are.
    """

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def popen(self, arguments: list[str], output: IO[bytes] | int, directory: Path) -> subprocess.Popen[bytes]:
        """Start a program in a session of its own, so that a Ctrl-C on the terminal reaches the launcher alone."""
        return subprocess.Popen(
            [*self.prefix, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
            user=None if self.prefix else self.uid,
            group=None if self.prefix else self.gid,
            extra_groups=None if self.prefix or self.uid is None else [],
        )

    def own(self, path: Path) -> None:
        """Give a file or a tree to the account that PostgreSQL runs as, if it is another one's.

        Raises
        ------
        ClusterError
            It belongs to someone else, and we may not change that.
        """
        uid = os.geteuid() if self.uid is None else self.uid
        if path.stat().st_uid == uid:
            return
        if os.geteuid() != 0:
            owner = _user_name(path.stat().st_uid)
            msg = f"{path} belongs to {owner}; start the cluster as that user, or set QSERV_HOME to a home of yours"
            raise ClusterError(msg)
        gid = os.getegid() if self.gid is None else self.gid
        for place in (path, *path.rglob("*")):
            os.chown(place, uid, gid, follow_symlinks=False)

    def can(self, arguments: list[str]) -> bool:
        """Return whether a program runs well under this account."""
        try:
            return self.popen(arguments, subprocess.DEVNULL, Path("/")).wait() == 0
        except OSError:
            return False


@dataclass(frozen=True)
class Installation:
    """PostgreSQL's programs and as whom they run."""

    binaries: Binaries
    account: Account


def choose_account(binaries: Binaries, home: Path) -> Account:
    """Return as whom PostgreSQL is to run: ourselves, or as root a user namespace, or the first account that can.

    Raises
    ------
    ClusterError
        We are root, user namespaces are off, and no account can read the programs and reach the home.
    """
    if os.geteuid() != 0:
        return Account()
    version = [str(binaries.postgres), "--version"]
    if shutil.which(NAMESPACE[0]) and Account(NAMESPACE).can(version):
        return Account(NAMESPACE)
    return choose_lesser_account(version, home)


def choose_lesser_account(version: list[str], home: Path) -> Account:
    """Return the first account of less rights that can run PostgreSQL and reach the home; for root without user namespaces.

    An account that can do so by itself goes first; then one that is let through the directories of root by one capability.
    """
    entries = [entry for entry in _entries((os.environ.get("SUDO_USER", ""), *ACCOUNTS)) if entry.pw_uid != 0]
    for entry in entries:
        account = Account(uid=entry.pw_uid, gid=entry.pw_gid)
        if account.can(version) and account.can(["test", "-x", str(home.parent)]):
            # It must pass through the home to its data; the secrets there have a mode of their own.
            home.chmod(PASSABLE)
            return account
    for entry in entries:
        account = Account(_let_through(entry), entry.pw_uid, entry.pw_gid)
        if shutil.which(account.prefix[0]) and account.can(version) and account.can(["stat", f"{home}/."]):
            return account
    tried = [entry.pw_name for entry in entries]
    msg = (
        "PostgreSQL refuses to run as root, user namespaces are off here (`unshare --user` fails), and none of the accounts"
        f" {', '.join(tried)} can both run {version[0]} and reach {home}; start the cluster as an ordinary user, or put the Python"
        " environment and QSERV_HOME where such an account can read them"
    )
    raise ClusterError(msg)


def _entries(names: Iterable[str]) -> list[pwd.struct_passwd]:
    """Return the accounts of these names that there are."""
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return [known[name] for name in dict.fromkeys(names) if name in known]


def _let_through(entry: pwd.struct_passwd) -> tuple[str, ...]:
    identity = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups")
    return ("setpriv", *identity, f"--inh-caps=+{CAPABILITY}", f"--ambient-caps=+{CAPABILITY}", "--")


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
