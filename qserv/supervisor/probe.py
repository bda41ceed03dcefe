"""Whether a service answers: the simplest question of its kind, from outside."""

import http.client
import socket

HEALTH_PATHS = {"tap": "/tap/availability", "czar": "/health"}
"""What is asked, by kind of service, where listening is not enough: TAP takes connections before it can answer (VOSI 1.1, 5)."""

ANSWER_TIMEOUT_S = 3.0
"""A process on this machine that takes longer for its simplest answer is as good as dead."""


def answers(kind: str, host: str, port: int) -> bool:
    """Return whether a service of this kind answers there: over HTTP where it has a health path, else by taking a connection."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (replaced, not bound)
    path = HEALTH_PATHS.get(kind)
    try:
        if path is None:
            with socket.create_connection((target, port), ANSWER_TIMEOUT_S):
                return True
        connection = http.client.HTTPConnection(target, port, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()
    except (OSError, http.client.HTTPException):
        return False
