"""The receiver's front: listens, lets in whom the guard allows, and hands connections to the workers.

A connection gets a place only when its whole request is here. So whoever connects and keeps silent costs a descriptor for a few
seconds, and no thread, no memory, no place.
"""

import array
import fcntl
import selectors
import socket
import struct
import termios
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from ..log import log
from ..vault import intake
from .guard import Guard, Refusal, Refusals, Visitor
from .limits import workers
from .service import Service, Site
from .workers import Worker

_LOOK = 0.1  # seconds between looks at whether to stop, and who has waited too long
_BACKLOG = 128
_PDU_HEADER = struct.Struct(">BxL")
_REQUEST, _TLS_HANDSHAKE = 0x01, 0x16  # PS3.8 9.3.2; RFC 8446 5.1
_TLS_HEADER = 5  # bytes: type, version, length
_WHOLE = 32 << 10  # bytes of a first PDU to wait for at most; longer ones come whole while they are served
_ABORT = bytes((0x07, 0, 0, 0, 0, 4, 0, 0, 0x02, 0x01))  # PS3.8 9.3.8: by the service provider, unrecognized PDU
_FULL = bytes((0x03, 0, 0, 0, 0, 4, 0, 0x02, 0x03, 0x02))  # PS3.8 9.3.4: rejected-transient, local limit exceeded


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0: any."""

    host: str
    port: int
    tls: bool = False


class Receiver:
    """Listens from the moment it is made; answers while `serve` runs. `ports` are those it got, in the order of the addresses."""

    def __init__(self, addresses: list[Address], site: Site, *, processes: int | None = None, forked: bool = True) -> None:
        self._site = site
        self._guard = Guard(site.limits, site.modalities)
        self.refusals = Refusals()
        self._selector = selectors.DefaultSelector()
        self._connections: dict[int, socket.socket] = {}
        self._asked: list[Visitor] = []
        self._service = Service(site)
        self._forked = forked
        self._workers: list[Worker] = []
        self._listeners = [_listen(address) for address in addresses]
        self.ports = [int(listener.getsockname()[1]) for listener in self._listeners]
        self._tls = {listener for listener, address in zip(self._listeners, addresses, strict=True) if address.tls}
        for listener in self._listeners:
            self._selector.register(listener, selectors.EVENT_READ, listener)
        intake.sweep(site.intake)
        for _ in range(processes or workers()):
            self._begin_worker()

    def serve(self, stop: threading.Event) -> None:
        """Accept until `stop`, then abort what is open."""
        key = intake.read_public(self._site.intake) is not None
        log.info("receiver listening", ports=self.ports, workers=len(self._workers), key=key)
        if not self._site.modalities:
            log.warning("receiver is wide open: anybody in this network may send; name the practice's modalities")
        while not stop.is_set():
            for ready, _ in self._selector.select(_LOOK):
                match ready.data:
                    case socket.socket() as listener:
                        self._accept(listener, tls=listener in self._tls)
                    case Visitor() as visitor:
                        self._look_at(visitor)
                    case Worker() as worker:
                        self._hear(worker)
            self._seat_all()
            for visitor in self._guard.overdue(time.monotonic()):
                self._refuse(visitor, Refusal.FULL if visitor in self._asked else Refusal.SILENT)
        self._close()

    def _begin_worker(self) -> None:
        worker = Worker(self._service, forked=self._forked, forget=self._forget)
        self._workers.append(worker)
        self._selector.register(worker.channel, selectors.EVENT_READ, worker)

    def _forget(self) -> None:
        """In a forked worker: what is the guard's alone."""
        self._selector.close()
        for listener in self._listeners:
            listener.close()
        for connected in self._connections.values():
            connected.close()
        for worker in self._workers:
            worker.channel.close()

    # -- at the door ---------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, *, tls: bool) -> None:
        for _ in range(_BACKLOG):
            try:
                connected, peer = listener.accept()
            except BlockingIOError:
                return
            except OSError:  # gone again, or no descriptors left for it
                log.warning("connection cannot be accepted", exc_info=True)
                return
            met = self._guard.meet(peer[0], tls=tls, now=time.monotonic())
            if isinstance(met, Refusal):
                self.refusals.note(met, peer[0])
                connected.close()
                continue
            connected.setblocking(False)
            # Readable means from now on that a header is here, or that nothing more will come.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _PDU_HEADER.size)
            self._connections[met.number] = connected
            self._selector.register(connected, selectors.EVENT_READ, met)
            if surplus := self._guard.surplus():
                self._refuse(surplus, Refusal.EVICTED)

    def _look_at(self, visitor: Visitor) -> None:
        """Something came: wait on until the whole request is here."""
        connected = self._connections[visitor.number]
        try:
            head = connected.recv(_PDU_HEADER.size, socket.MSG_PEEK)
        except OSError:
            head = b""
        if len(head) < _PDU_HEADER.size:
            self._refuse(visitor, Refusal.LEFT)
            return
        kind, length = _PDU_HEADER.unpack(head)
        if visitor.tls and kind == _TLS_HANDSHAKE:
            need = _TLS_HEADER + int.from_bytes(head[3:5])
        elif visitor.tls or kind != _REQUEST:
            self._refuse(visitor, Refusal.NOT_TLS if visitor.tls else Refusal.NOT_DICOM, _ABORT)
            return
        elif length > self._site.limits.first_pdu:
            self._refuse(visitor, Refusal.TOO_LONG, _ABORT)
            return
        else:
            need = _PDU_HEADER.size + length
        need = min(need, _WHOLE)
        if _available(connected) >= need:
            self._selector.unregister(connected)
            self._asked.append(visitor)
        elif connected.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == need:
            self._refuse(visitor, Refusal.LEFT)  # readable, and yet not whole: it has closed its side
        else:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, need)
            self._selector.modify(connected, selectors.EVENT_READ, visitor)

    def _refuse(self, visitor: Visitor, refusal: Refusal, answer: bytes = b"") -> None:
        connected = self._connections.pop(visitor.number)
        if visitor in self._asked:
            self._asked.remove(visitor)
            answer = _FULL
        else:
            self._selector.unregister(connected)
        self._guard.leave(visitor.number)
        self.refusals.note(refusal, visitor.address)
        with connected, suppress(OSError):  # gone already
            if answer and not visitor.tls:
                # What is left unread would turn the close into a reset, which takes the answer back.
                connected.recv(_WHOLE)
                connected.send(answer)
                connected.shutdown(socket.SHUT_WR)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _seat_all(self) -> None:
        """Give places to those who have asked, in their order."""
        for visitor in list(self._asked):
            if self._guard.seat(visitor):
                self._asked.remove(visitor)
                self._hand_over(visitor)

    def _hand_over(self, visitor: Visitor) -> None:
        with self._connections.pop(visitor.number) as connected:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            connected.setblocking(True)
            worker = min(self._workers, key=lambda worker: len(worker.hands))
            try:
                worker.hand(connected, visitor.number, tls=visitor.tls)
            except OSError:
                self._guard.leave(visitor.number)
                log.error("connection lost, its worker is gone")

    def _hear(self, worker: Worker) -> None:
        """A worker is done with a connection, or is gone itself; then another takes its place."""
        number = worker.done()
        if number is not None:
            self._guard.leave(number)
            return
        log.error("worker ended; another begins", lost=len(worker.hands))
        for hand in worker.hands:
            self._guard.leave(hand)
        self._selector.unregister(worker.channel)
        self._workers.remove(worker)
        worker.close()
        self._begin_worker()

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()
        for connected in self._connections.values():
            connected.close()
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.join()
        self._selector.close()
        log.info("receiver stopped", refused={refusal.name: count for refusal, count in self.refusals.total.items()})


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _available(connected: socket.socket) -> int:
    """Bytes that are here and not yet read."""
    count = array.array("i", [0])
    fcntl.ioctl(connected, termios.FIONREAD, count)
    return count[0]
