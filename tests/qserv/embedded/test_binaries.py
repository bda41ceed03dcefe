import pytest

from qserv.embedded.binaries import find_binaries
from qserv.errors import SettingsError


def fake_programs(directory, version):
    for name in ("postgres", "initdb"):
        program = directory / name
        program.write_text(f"#!/bin/sh\necho '{version}'\n")
        program.chmod(0o755)
    return directory


def test_the_newest_postgresql_of_the_wheel_is_used():
    assert find_binaries(None).version >= 18


def test_one_of_the_users_own_is_used(tmp_path):
    assert find_binaries(fake_programs(tmp_path, "postgres (PostgreSQL) 15.7 (Debian 15.7-0+deb12u1)")).version == 15


@pytest.mark.parametrize("version", ["postgres (PostgreSQL) 14.12", "mysqld 8.0"])
def test_too_old_or_another_program_is_refused(tmp_path, version):
    with pytest.raises(SettingsError, match="15 or newer is needed"):
        find_binaries(fake_programs(tmp_path, version))


def test_directory_without_postgresql_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="QSERV_PG_BIN: there is no postgres in"):
        find_binaries(tmp_path)
