"""The processes that serve associations. The guard hands each a connection by its descriptor; none of them listens.

Sealing holds Python's lock, so threads of one process share one core; `docs/decisions/0027-receiver-processes.md` has the figures.
The guard's process never decodes anything, and a worker that dies takes only its own associations along.
"""

import contextvars
import multiprocessing
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkProcess

from ..log import log
from .layer import Acceptor
from .service import Service

_HANDED = struct.Struct(">I?")  # the connection's number, and whether TLS is to begin
_DONE = struct.Struct(">I")
_GRACE = 2.0  # seconds for all peers together to hear of the end


class Worker:
    """The guard's end of a worker: hand over connections, hear which are done. `hands` are the numbers it has.

    Forked, it shares the memory of what is imported, and nothing that comes later; `forget` is called there, to let go of what is
    the guard's alone. Not forked it is a thread, for tests that reach into the works.
    """

    def __init__(self, service: Service, *, forked: bool, forget: Callable[[], None]) -> None:
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.hands: set[int] = set()
        work = _Work(service, theirs)
        self._runner: threading.Thread | ForkProcess
        if not forked:
            self._runner = threading.Thread(target=work.run, daemon=True)
            self._runner.start()
            return

        def begin() -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # the guard's end is its own
            self.channel.close()
            forget()
            work.run()

        self._runner = multiprocessing.get_context("fork").Process(target=begin, daemon=True)
        self._runner.start()
        theirs.close()

    def hand(self, connected: socket.socket, number: int, *, tls: bool) -> None:
        """Raises OSError when the worker is gone."""
        socket.send_fds(self.channel, [_HANDED.pack(number, tls)], [connected.fileno()])
        self.hands.add(number)

    def done(self) -> int | None:
        """The number of a connection that has ended; None when the worker itself has. The channel is readable."""
        try:
            message = self.channel.recv(_DONE.size)
        except OSError:
            return None
        if not message:
            return None
        (number,) = _DONE.unpack(message)
        self.hands.discard(number)
        return int(number)

    def close(self) -> None:
        """Tell it to come to its end."""
        self.channel.close()

    def join(self) -> None:
        self._runner.join(2 * _GRACE)
        if isinstance(self._runner, ForkProcess):
            self._runner.kill()  # one that is stuck in the disk, say


class _Work:
    """What a worker does: a thread for each connection, until the guard closes the channel."""

    def __init__(self, service: Service, channel: socket.socket) -> None:
        self._service = service
        self._channel = channel
        self._lock = threading.Lock()
        self._serving: dict[threading.Thread, Acceptor | None] = {}
        self._stopping = False

    def run(self) -> None:
        with self._channel:
            while (handed := self._receive()) is not None:
                # So that its lines, too, say which process they are from.
                thread = threading.Thread(target=contextvars.copy_context().run, args=(self._serve, *handed), daemon=True)
                with self._lock:
                    self._serving[thread] = None
                thread.start()
            self._stop()

    def _receive(self) -> tuple[socket.socket, int, bool] | None:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._channel, _HANDED.size, 1)
        except OSError:
            return None
        if not message:
            return None
        number, tls = _HANDED.unpack(message)
        return socket.socket(fileno=descriptors[0]), number, tls

    def _serve(self, connected: socket.socket, number: int, tls: bool) -> None:
        try:
            with connected, suppress(OSError):  # gone before it began
                association = self._service.meet(connected, tls=tls)
                if association is not None and self._enter(association):
                    association.run_reactor()
        except Exception:  # noqa: BLE001 (the next connection is served)
            log.error("connection failed", exc_info=True)
        finally:
            with self._lock:
                del self._serving[threading.current_thread()]
            with suppress(OSError):  # the guard is gone
                self._channel.send(_DONE.pack(number))

    def _enter(self, association: Acceptor) -> bool:
        with self._lock:
            self._serving[threading.current_thread()] = association
            return not self._stopping

    def _stop(self) -> None:
        """Abort what is open: what is not acknowledged is sent again."""
        with self._lock:
            self._stopping = True
            left = dict(self._serving)
        for association in left.values():
            if association is not None:
                association.stop()
        until = time.monotonic() + _GRACE
        for thread in left:
            thread.join(max(0, until - time.monotonic()))
        with self._lock:
            stalled = [association for association in self._serving.values() if association is not None]
        for association in stalled:
            association.discard()
        log.info("worker stopped", aborted=len(left))
