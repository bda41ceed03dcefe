"""Whether a service answers: the simplest question of its kind, from outside."""

import http.client
import socket

HEALTH_PATHS = {"tap": "/tap/availability", "czar": "/health", "ingest": "/health"}
"""What is asked, by kind of service, where listening is not enough: TAP takes connections before it can answer (VOSI 1.1, 5)."""

HTTP2_BEGIN = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2 begins: a preface, and settings, which are empty (RFC 9113, 3.4). A server answers with its own."""

ANSWER_TIMEOUT_S = 3.0
"""A process on this machine that takes longer for its simplest answer is as good as dead."""


def answers(kind: str, host: str, port: int) -> bool:
    """Return whether a service of this kind answers there: over HTTP where it has a health path, else by the first bytes of gRPC.

    To take a connection is no answer: the kernel does it for a process that is stopped.
    """
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (replaced, not bound)
    path = HEALTH_PATHS.get(kind)
    try:
        if path is None:
            with socket.create_connection((target, port), ANSWER_TIMEOUT_S) as grpc:
                grpc.sendall(HTTP2_BEGIN)
                return bool(grpc.recv(1))
        connection = http.client.HTTPConnection(target, port, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False
