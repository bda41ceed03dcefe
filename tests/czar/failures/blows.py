"""What happens to a cluster while it answers. Each is a context: at its end what was frozen or stalled goes on."""

import contextlib
import signal


@contextlib.contextmanager
def worker_killed(battered, node):
    battered.kill(f"{node}-worker")
    yield


@contextlib.contextmanager
def worker_frozen(battered, node):
    with battered.frozen(f"{node}-worker"):
        yield


@contextlib.contextmanager
def postgresql_restarted(battered, node):
    """By an immediate shutdown: sessions end without a word, the data is recovered when it is back."""
    battered.kill(f"{node}-postgres", signal.SIGQUIT)
    yield


@contextlib.contextmanager
def scratch_restarted(battered, _node):
    battered.kill("metadata-postgres", signal.SIGQUIT)
    yield


@contextlib.contextmanager
def connection_reset(battered, node):
    battered.proxies[node].cut("RST")
    yield


@contextlib.contextmanager
def connection_ended(battered, node):
    battered.proxies[node].cut("FIN")
    yield


@contextlib.contextmanager
def connection_stalled(battered, node):
    with battered.proxies[node].stalled():
        yield


BLOWS = {
    blow.__name__: blow
    for blow in (
        worker_killed,
        worker_frozen,
        postgresql_restarted,
        scratch_restarted,
        connection_reset,
        connection_ended,
        connection_stalled,
    )
}
