"""A disk that is really full: a file system of a few MiB in memory, mounted where only this process sees it."""

import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = ["unshare", "--map-root-user", "--mount", "/bin/sh", "-ec"]

START = """
import sys
from pathlib import Path
from qserv.embedded.launch import embedded_postgres
from qserv.errors import StorageFullError
from qserv.settings import Settings
home = Path(sys.argv[1]) / "home"
try:
    with embedded_postgres(Settings(home=home, nodes=1, tap_port=0, memory_share=0.05)):
        print("started")
except StorageFullError as error:
    print(error)
print("left:", *sorted(path.name for path in home.iterdir() if path.name in {"metadata", "node-1", "template"}))
"""


def start_on_disk_of(size_mib, directory):
    script = f'mount -t tmpfs -o size={size_mib}m none "$1"; exec "$2" -c "$3" "$1"'
    arguments = [*MOUNT, script, "sh", str(directory), sys.executable, START]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout


@pytest.fixture(autouse=True)
def _private_mounts_or_skip(tmp_path):
    try:
        probe = subprocess.run([*MOUNT, 'mount -t tmpfs none "$1"', "sh", str(tmp_path)], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if probe.returncode:
        pytest.skip("this machine allows no mounts of our own")


@pytest.mark.parametrize(
    ("size_mib", "left"),
    # The template alone takes 40 MiB.
    [(20, "left:"), (60, "left: template"), (110, "left: template")],
    ids=["at initdb", "at the first copy", "at the second copy"],
)
def test_full_disk_at_the_first_start_leaves_nothing_half_made(tmp_path, size_mib, left):
    message, directories = start_on_disk_of(size_mib, tmp_path).splitlines()
    assert message.startswith(f"the disk that holds {tmp_path}/home is full (")
    assert "QSERV_HOME" in message
    assert directories == left


def test_full_disk_when_a_server_starts(cluster_home, tmp_path):
    home = cluster_home / "full"
    subprocess.run([sys.executable, "-c", START, str(home)], check=True, capture_output=True)
    used = subprocess.run(["/usr/bin/du", "-sm", str(home / "home")], capture_output=True, text=True, check=True).stdout.split()[0]
    assert Path(home / "home" / "metadata").exists()
    fill = 'cp -a "$5" "$1"; dd if=/dev/zero of="$1/filler" bs=64k 2>/dev/null || true'
    script = f'mount -t tmpfs -o size=$4m none "$1"; {fill}; exec "$2" -c "$3" "$1"'
    arguments = [*MOUNT, script, "sh", str(tmp_path), sys.executable, START, str(int(used) + 4), str(home / "home")]
    message = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    assert message.startswith(f"the disk that holds {tmp_path}/home is full (")
