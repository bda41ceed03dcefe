"""Who may call a Flight server of the cluster: who knows its secret."""

import hmac
from collections.abc import Callable

from pyarrow import flight

from workers.protocol import AUTHORIZATION


class Authorization(flight.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow ships no types
    """Lets only calls in that carry the cluster secret.

    Parameters
    ----------
    secret
        The cluster secret.
    refusal
        Makes what others are told.
    begun
        Makes what goes with each call that is let in.
    """

    def __init__(
        self,
        secret: str,
        refusal: Callable[[], flight.FlightError],
        begun: Callable[[], flight.ServerMiddleware | None] = lambda: None,
    ) -> None:
        self._expected, self._refusal, self._begun = f"Bearer {secret}".encode(), refusal, begun

    def start_call(self, _info: flight.CallInfo, headers: dict[str, list[str | bytes]]) -> flight.ServerMiddleware | None:
        """Check the secret, in a time that does not depend on how much of it is right."""
        values = next((value for key, value in headers.items() if key.lower() == AUTHORIZATION), [])
        given = values[0] if values else ""
        if not hmac.compare_digest(given.encode() if isinstance(given, str) else given, self._expected):
            raise self._refusal()
        return self._begun()
