import os
import socket

import pytest

from qserv.embedded.ports import PORT_RANGE, find_free_port, holder, is_free, listens, require_free
from qserv.errors import ClusterError, PortInUseError


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_taken_port_is_not_free(listening):
    assert not is_free(listening)


def test_a_found_port_is_free_and_not_one_already_given_away():
    taken = set()
    for _ in range(20):
        port = find_free_port(taken)
        assert port in PORT_RANGE
        assert port not in taken
        assert is_free(port)
        taken.add(port)


def test_error_says_who_holds_the_port_and_what_to_do(listening):
    with pytest.raises(PortInUseError, match=rf"port {listening} .* \(process {os.getpid()}\).*QSERV_TAP_PORT"):
        require_free(listening, "127.0.0.1", "QSERV_TAP_PORT")


def test_a_listener_is_known_as_the_process_that_holds_the_socket(listening):
    assert listens(os.getpid(), listening)
    assert not listens(os.getppid(), listening)
    assert not listens(os.getpid(), find_free_port(set()))


def test_nobody_known_holds_a_free_port():
    assert holder(find_free_port(set())) == "another program"


def test_address_of_another_machine_is_an_error():
    with pytest.raises(ClusterError, match=r"192\.0\.2\.1"):
        is_free(8080, "192.0.2.1")
