"""pynetdicom, extended: negotiation, release and abort stay its own; what comes as P-DATA goes straight to `messages`.

pynetdicom 3.0 serves an association with two threads that look for work every millisecond, takes received PDUs of any length, waits
for their bytes without a limit of time, gathers each dataset in memory and decodes it. Three of its classes are extended to do
otherwise: its state machine runs in one thread, which waits for the peer and for nothing else, and the bytes of a dataset are
received into the buffer they are sealed from. `tests/receiver/test_seams.py` checks each seam this relies on.
"""

import queue
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import InvalidEventError
from pynetdicom.pdu_primitives import A_ASSOCIATE, A_RELEASE
from pynetdicom.transport import AddressInformation, AssociationSocket

from ..log import log
from . import tls
from .command import Abuse
from .limits import Limits, Patience
from .messages import COMMAND, LAST, Messages
from .request import reduced

Reject = tuple[int, int, int]
"""Result, source and reason of an A-ASSOCIATE-RJ (PS3.8 9.3.4)."""

_AWAITING_REQUEST, _DATA_TRANSFER, _AWAITING_CLOSE = "Sta2", "Sta6", "Sta13"  # PS3.8 9.2
_CLOSED, _TIME_OVER, _INVALID = "Evt17", "Evt18", "Evt19"
_REQUEST, _P_DATA = 0x01, 0x04
_OTHERS = 4  # bytes: what all other PDUs hold that a requestor sends (PS3.8 9.3.6 to 9.3.8)
_PDU_HEADER = 6  # bytes: type, reserved, length
_PDV_HEADER = 6  # bytes: length, context, message control
_BY_US = 0x02  # PS3.8 9.3.8: abort by the service provider
_GIGABYTE = 1 << 30


Door = Callable[["Acceptor"], Reject | Callable[[], Messages]]
"""Whom an association lets in: settles the contexts and gives what will make its messages once they are negotiated, or says no."""


class Connection(AssociationSocket):
    """The peer's bytes: each wait has its end."""

    def __init__(self, association: Association, connected: socket.socket, patience: Patience) -> None:
        super().__init__(association, client_socket=connected)
        self._connected = connected
        self._patience = patience
        self.start_window()

    def take(self, view: memoryview, least: int, seconds: float) -> int:
        """Receive at least so many bytes into `view`, and more where there are more. Returns how many.

        Raises TimeoutError, and EOFError when the peer is gone.
        """
        deadline = time.monotonic() + seconds
        received = 0
        while received < least:
            self._connected.settimeout(max(0.001, deadline - time.monotonic()))
            count = self._connected.recv_into(view[received:])
            if not count:
                raise EOFError
            received += count
        self._count += received
        return received

    def fill(self, view: memoryview) -> None:
        """Receive all of `view`: the rest of a PDU that has begun. Raises as `take`."""
        self.take(view, len(view), self._patience.pdu)

    def answer(self, pdu: bytes) -> None:
        """Send all of a PDU. Raises OSError, and EOFError when the peer does not take it: a part of it cannot be gone on with."""
        self._connected.settimeout(self._patience.pdu)
        try:
            self._connected.sendall(pdu)
        except TimeoutError:
            log.warning("association given up", reason="the peer does not take its answers")
            raise EOFError from None

    def hurry(self) -> None:
        """Acknowledge at once. Called before each wait for a PDU.

        Senders that leave Nagle's algorithm on hold back the end of each instance until what went before is acknowledged. Linux
        delays that by 40 ms, and forgets that it should not.
        """
        self._connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def start_window(self) -> None:
        """From now on what comes is counted."""
        self._begun, self._count = time.monotonic(), 0

    def pace(self) -> None:
        """Raises TimeoutError when what came within the window came slower than the least rate."""
        elapsed = time.monotonic() - self._begun
        if elapsed >= self._patience.pdu:
            if self._count < elapsed * self._patience.rate:
                raise TimeoutError
            self.start_window()

    def drain(self) -> None:
        """Say that no more will come, wait until the peer closes too, and let pass what it still sends. Raises TimeoutError."""
        if not isinstance(self._connected, ssl.SSLSocket):
            self._connected.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + self._patience.first
        while time.monotonic() < deadline:
            self._connected.settimeout(max(0.001, deadline - time.monotonic()))
            if not self._connected.recv(65_536):
                return
        raise TimeoutError

    def interrupt(self) -> None:
        """End whatever wait another thread is in, as if the peer were gone."""
        with suppress(OSError):  # gone indeed
            socket.socket.shutdown(self._connected, socket.SHUT_RD)  # a TLS socket's own would unwrap it

    def release(self) -> None:
        """Close for good, also where the peer was gone before."""
        self.close()
        self._connected.close()


class UpperLayer(DULServiceProvider):
    """The state machine of PS3.8 9.2, run by whoever asks it for the next primitive."""

    def __init__(self, association: "Acceptor", limits: Limits) -> None:
        super().__init__(association)
        self._limits = limits
        self._acceptor = association
        self.connection: Connection
        self.messages: Messages | None = None
        self._head = memoryview(bytearray(_PDU_HEADER + _PDV_HEADER))

    def is_alive(self) -> bool:
        """Whether the state machine has not come to its end."""
        return not self._kill_thread

    def stop_dul(self) -> bool:
        """Run the state machine to its end: the peer has some seconds to close."""
        self._settle()
        while self.is_alive():
            self._wait()
            self._settle()
        return True

    def send_pdu(self, primitive: Any) -> None:
        super().send_pdu(primitive)
        self._settle()

    def receive_pdu(self, wait: bool = False, timeout: float | None = None) -> Any:  # noqa: ARG002 (each wait has an end of its own)
        """The next primitive for the association: a request, a release or an abort; None when there will be none."""
        self._settle()
        while wait and self.is_alive() and self.to_user_queue.empty():
            self._wait()
            self._settle()
        return super().receive_pdu(wait=False)

    def _settle(self) -> None:
        """Let the state machine do what is due."""
        while self.is_alive():
            try:
                event = self.event_queue.get(block=False)
            except queue.Empty:
                if not self._process_recv_primitive():
                    return
                continue
            try:
                self.state_machine.do_action(event)
            except InvalidEventError:
                self.kill_dul()  # something came after the end

    def _wait(self) -> None:
        """Wait for what the peer does next, and put down the event it is."""
        state = self.state_machine.current_state
        try:
            if state == _AWAITING_CLOSE:
                self.connection.drain()
                self.event_queue.put(_CLOSED)
            else:
                self._read(state)
        except Abuse as abuse:
            log.warning("association aborted", reason=str(abuse))
            self.event_queue.put(_INVALID)
        except TimeoutError:
            if state == _DATA_TRANSFER:
                log.warning("association aborted", reason="the peer is silent, or too slow")
                self.assoc.acse.send_abort(_BY_US)
            else:
                self.event_queue.put(_TIME_OVER)
        except (EOFError, OSError):
            if self._acceptor.stopping and state == _DATA_TRANSFER:
                self.assoc.acse.send_abort(_BY_US)
            else:
                self.event_queue.put(_CLOSED)

    def _read(self, state: str) -> None:
        """Read PDUs until one is not P-DATA of an association; that one is for the state machine."""
        limits, connection = self._limits, self.connection
        transfer = state == _DATA_TRANSFER
        while True:
            connection.hurry()
            midway = self.messages is not None and self.messages.midway
            patience = limits.patience
            seconds = (patience.pdu if midway else patience.idle) if transfer else patience.first
            read = connection.take(self._head, _PDU_HEADER, seconds)
            kind, length = struct.unpack_from(">BxL", self._head)
            if length > self._most(kind, transfer=transfer):
                raise Abuse("a PDU longer than agreed")
            if kind != _P_DATA or not transfer:
                break
            self._data(length, read - _PDU_HEADER)
            connection.pace() if midway else connection.start_window()
        body = bytearray(self._head[_PDU_HEADER : min(read, _PDU_HEADER + length)])
        rest = bytearray(length - len(body))
        connection.take(memoryview(rest), len(rest), patience.pdu if transfer else patience.first)
        whole = bytearray(self._head[:_PDU_HEADER]) + body + rest
        if kind == _REQUEST and not transfer:
            whole = reduced(whole)
        try:
            pdu, event = self._decode_pdu(whole)
            pdu.to_primitive()  # the state machine does it again, and stumbles where nobody catches it
        except Exception:  # noqa: BLE001 (whatever its decoder stumbles over)
            raise Abuse("a PDU of no known form") from None
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _most(self, kind: int, *, transfer: bool) -> int:
        """How long a PDU may be, by its type and whether it comes within an association."""
        if transfer:
            return self._limits.pdu if kind == _P_DATA else _OTHERS
        return self._limits.first_pdu if kind == _REQUEST else _OTHERS

    def _data(self, length: int, read: int) -> None:
        """Take a P-DATA-TF PDU (PS3.8 9.3.5) of `length` bytes, of which the header's buffer holds so many already."""
        if self.messages is None:
            raise Abuse("data before an association")
        item = self._head[_PDU_HEADER:]
        while length:
            if length < _PDV_HEADER:
                raise Abuse("a fragment without a header")
            self.connection.fill(item[read:])
            read = 0
            size, context_id, control = struct.unpack(">LBB", item)
            if not 2 <= size <= length - 4:
                raise Abuse("a fragment of no possible length")
            length -= size + 4
            answer = self.messages.fragment(context_id, control, size - 2, self.connection.fill)
            if answer is not None:
                self._send_command(context_id, answer)

    def _send_command(self, context_id: int, command: bytes) -> None:
        most = self.assoc.requestor.maximum_length or _GIGABYTE  # 0: no limit
        step = max(1, most - _PDV_HEADER)
        for start in range(0, len(command), step):
            piece = command[start : start + step]
            control = COMMAND | (LAST if start + step >= len(command) else 0)
            self.connection.answer(struct.pack(">BxLLBB", _P_DATA, len(piece) + _PDV_HEADER, len(piece) + 2, context_id, control) + piece)


class Acceptor(Association):
    """One association with a peer that has connected. `run_reactor` serves it in the calling thread, to its end."""

    def __init__(self, entity: ApplicationEntity, connected: socket.socket, address: tuple[Any, ...], door: Door, limits: Limits) -> None:
        super().__init__(entity, MODE_ACCEPTOR)
        self.stopping = False
        self.peer = str(address[0])
        self.only_ae_title = tls.ae_of(connected.getpeercert() or {}) if isinstance(connected, ssl.SSLSocket) else None
        self._door = door
        layer = UpperLayer(self, limits)
        self.dul = layer
        self._layer = layer
        self._connection = Connection(self, connected, limits.patience)
        layer.connection = self._connection
        self.set_socket(self._connection)
        self.acceptor.ae_title = entity.ae_title
        self.acceptor.maximum_length = limits.pdu
        self.acceptor.implementation_class_uid = entity.implementation_class_uid
        self.acceptor.implementation_version_name = entity.implementation_version_name
        self.acceptor.address_info = AddressInformation.from_tuple(connected.getsockname())
        self.requestor.address_info = AddressInformation.from_tuple(address)

    def run_reactor(self) -> None:
        """Serve the association. However it ends, nothing half received or secret stays."""
        try:
            self._serve()
            self.dul.stop_dul()
        except Exception:  # noqa: BLE001 (a peer must not be able to kill more than its own association)
            log.warning("association failed", exc_info=True)
        finally:
            if self._layer.messages is not None:
                self._layer.messages.close()
                self._layer.messages = None
            self._connection.release()

    def stop(self) -> None:
        """From another thread: abort once what is being stored is answered."""
        self.stopping = True
        self._connection.interrupt()

    def discard(self) -> None:
        """From another thread, when stopping took too long: leave nothing of what is half received. The process ends next."""
        if (messages := self._layer.messages) is not None:
            messages.close()

    def _serve(self) -> None:
        request = self.dul.receive_pdu(wait=True)
        if not isinstance(request, A_ASSOCIATE):
            return
        self.requestor.primitive = request
        entrance = self._door(self)
        if isinstance(entrance, tuple):
            self.acse.send_reject(*entrance)
            return
        self.acse.negotiate_association()
        if not self.is_established:
            return
        self._layer.messages = entrance()
        if isinstance(self.dul.receive_pdu(wait=True), A_RELEASE):
            self.acse.send_release(is_response=True)
