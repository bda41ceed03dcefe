"""A connection on the way between two parts, which a test holds up, lets go on, or cuts."""

import contextlib
import socket
import struct
import threading

PIECE_BYTES = 1 << 14

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: close by RST, at once."""


class Proxy:
    """Forwards connections to a port. All methods may be called from any thread; close it at the end."""

    def __init__(self, port, host="127.0.0.1"):
        self._target = (host, port)
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._pairs = []
        self._stalled = False
        self._left_bytes = None
        self._cuts = 0
        self.answered_bytes = 0
        """Bytes that came from the target."""
        self._closed = False
        threading.Thread(target=self._accept, name="proxy-accept", daemon=True).start()

    @contextlib.contextmanager
    def held_after(self, size_bytes):
        """Forward so many bytes more from the target, then none in either direction until the block is left."""
        with self._changed:
            self._left_bytes = size_bytes
        yield
        with self._changed:
            self._left_bytes = None
            self._changed.notify_all()

    @property
    def is_held(self):
        """Whether so many bytes have come."""
        return self._left_bytes == 0

    @contextlib.contextmanager
    def stalled(self):
        """Forward nothing until the block is left; new connections are taken and not served."""
        with self._changed:
            self._stalled = True
        yield
        with self._changed:
            self._stalled = False
            self._changed.notify_all()

    def cut(self, how):
        """End all connections, by ``RST`` or by ``FIN``; new ones are served."""
        with self._changed:
            pairs, self._pairs = self._pairs, []
        for one in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                if how == "RST":
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    # A thread that reads from it would keep it open.
                    one.shutdown(socket.SHUT_RD)
                    one.close()
                else:
                    one.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._cuts += 1
            self._changed.notify_all()

    def close(self):
        self._closed = True
        self._listener.close()
        self.cut("FIN")

    def _accept(self):
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), name="proxy-serve", daemon=True).start()

    def _serve(self, near):
        with self._changed:
            self._changed.wait_for(self._may_pass)
        try:
            far = socket.create_connection(self._target)
        except OSError:
            near.close()
            return
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._pairs.append((near, far))
        asking = threading.Thread(
            target=self._forward, args=(near, far), kwargs={"is_answer": False}, name="proxy-asking", daemon=True
        )
        asking.start()
        self._forward(far, near, is_answer=True)
        asking.join()
        near.close()
        far.close()

    def _may_pass(self):
        return self._closed or not (self._stalled or self.is_held)

    def _forward(self, source, target, *, is_answer):
        try:
            while piece := source.recv(PIECE_BYTES):
                while piece:
                    piece = self._pass(target, piece, is_answer)
        except OSError:
            pass
        for one, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                one.shutdown(how)

    def _pass(self, target, piece, is_answer):
        """Forward what may be forwarded; return the rest."""
        with self._changed:
            cuts = self._cuts
            self._changed.wait_for(lambda: self._may_pass() or self._cuts > cuts)
            if self._cuts > cuts:
                raise ConnectionError
            size = len(piece) if self._left_bytes is None or not is_answer else min(len(piece), self._left_bytes)
            if is_answer:
                self.answered_bytes += size
                if self._left_bytes is not None:
                    self._left_bytes -= size
        target.sendall(piece[:size])
        return piece[size:]
