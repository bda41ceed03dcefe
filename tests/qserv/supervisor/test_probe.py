import http.server
import socket
import threading

import pytest
from pyarrow import flight

from qserv.supervisor import probe
from qserv.supervisor.probe import answers


class Availability(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self):
        self.send_response(self.status if self.path == "/tap/availability" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def http_port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Availability) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def silent_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_tap_answers_when_it_says_it_is_available(http_port, monkeypatch):
    assert answers("tap", "127.0.0.1", http_port)
    monkeypatch.setattr(Availability, "status", 503)
    assert not answers("tap", "127.0.0.1", http_port)


def test_tap_on_all_addresses_is_asked_on_this_machine(http_port):
    assert answers("tap", "0.0.0.0", http_port)  # noqa: S104 (asked, not bound)


def test_a_worker_answers_when_it_says_how_it_speaks():
    with flight.FlightServerBase("grpc://127.0.0.1:0") as server:
        assert answers("worker", "127.0.0.1", server.port)


def test_listening_is_not_enough(silent_port, monkeypatch):
    monkeypatch.setattr(probe, "ANSWER_TIMEOUT_S", 0.2)
    assert not answers("worker", "127.0.0.1", silent_port)
    assert not answers("tap", "127.0.0.1", silent_port)


def test_nobody_answers_on_a_closed_port(silent_port):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert port != silent_port
    assert not answers("worker", "127.0.0.1", port)
    assert not answers("tap", "127.0.0.1", port)
