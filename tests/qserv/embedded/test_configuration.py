import pytest

from qserv.embedded.configuration import GIB, MIB, ServerShare, postgresql_conf
from qserv.embedded.machine import Machine, this_machine


def settings_of(machine, memory_share=0.5, servers=4, version=18):
    text = postgresql_conf(ServerShare.of(machine, memory_share, servers), 15000, version)
    return dict(line.split(" = ") for line in text.splitlines() if not line.startswith("#"))


def size_mib(value):
    return int(value.removesuffix("MB"))


@pytest.mark.parametrize("memory_gib", [1, 2, 8, 24, 64, 512, 4096])
@pytest.mark.parametrize("servers", [2, 4, 17])
def test_all_servers_together_stay_within_their_share(memory_gib, servers):
    settings = settings_of(Machine(memory_gib * GIB, 8), servers=servers)
    smallest_mib = 32
    assert size_mib(settings["shared_buffers"]) * servers <= max(memory_gib * 1024 * 0.5, smallest_mib * servers)
    assert size_mib(settings["work_mem"]) >= 4


def test_a_machine_of_8_gib_with_three_nodes():
    settings = settings_of(Machine(8 * GIB, 4))
    assert (settings["shared_buffers"], settings["work_mem"], settings["maintenance_work_mem"]) == ("512MB", "32MB", "64MB")


def test_settings_of_newer_versions_are_left_out_for_older_ones():
    machine = Machine(8 * GIB, 4)
    assert settings_of(machine, version=18).keys() - settings_of(machine, version=15).keys() == {"io_method"}


def test_this_machine_has_a_size():
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory_bytes > 256 * MIB
