"""pynetdicom, extended: negotiation, release and abort stay its own; what comes as P-DATA goes to `messages`.

pynetdicom 3.0 takes received PDUs of any length, waits for their bytes without a limit of time, gathers each dataset in memory
and decodes it. Four of its classes are extended to do otherwise; `tests/receiver/test_seams.py` checks each seam they rely on.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationServer, AssociationSocket

from ..log import log
from . import tls
from .command import Abuse
from .messages import COMMAND, LAST, Messages

_FIRST_PDU_LIMIT = 1 << 20  # bytes; 128 contexts with 38 transfer syntaxes each take a third of it
_AWAITING_REQUEST, _DATA_TRANSFER = "Sta2", "Sta6"  # PS3.8 9.2
_POLL = 0.02  # seconds
_PDV_HEADER = 6  # bytes: length, context, message control


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for the whole of a PDU before and after, for the whole of one during, and between those of data transfer."""

    first: float = 5
    pdu: float = 30
    idle: float = 120


class Connection(AssociationSocket):
    """The peer's bytes: PDUs no longer than agreed, each whole within its time, waited for and not asked for.

    `credentials`: the directory for TLS; None: not encrypted.
    """

    def __init__(self, assoc: Association, client_socket: socket.socket, patience: Patience, credentials: Path | None) -> None:
        super().__init__(assoc, client_socket=client_socket)
        self._raw = client_socket
        self._patience = patience
        self._credentials = credentials

    def secure(self) -> bool:
        """The TLS handshake, where there is to be one, within the time of a first PDU. False: the peer is not let in."""
        if self._credentials is None:
            return True
        self._raw.settimeout(self._patience.first)
        try:
            self._raw = self.socket = tls.context(self._credentials).wrap_socket(self._raw, server_side=True)
        except OSError as refused:
            log.warning("TLS handshake failed", reason=tls.reason(refused))
            return False
        return True

    @property
    def only_ae_title(self) -> str | None:
        """What the peer's certificate lets it call itself. None: anything."""
        return tls.ae_of(self._raw.getpeercert() or {}) if isinstance(self._raw, ssl.SSLSocket) else None

    def recv(self, nr_bytes: int) -> bytearray:
        """As the overridden one, but raises OverflowError for more than agreed and TimeoutError when it takes too long."""
        state = self.assoc.dul.state_machine.current_state
        if nr_bytes > (_FIRST_PDU_LIMIT if state == _AWAITING_REQUEST else self.assoc.acceptor.maximum_length or 0):
            log.warning("PDU longer than agreed", length=nr_bytes)
            raise OverflowError
        seconds = self._patience.pdu if state == _DATA_TRANSFER else self._patience.first
        deadline = time.monotonic() + seconds
        self._raw.settimeout(seconds)
        # Senders that leave Nagle's algorithm on hold back the end of each instance until what went before is acknowledged.
        # Linux delays that by 40 ms, and forgets that it should not.
        self._raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        data = bytearray(nr_bytes)
        with memoryview(data) as view:
            received = 0
            while received < nr_bytes and (count := self._raw.recv_into(view[received:])):
                received += count
                if time.monotonic() > deadline:
                    raise TimeoutError
        return data if received == nr_bytes else data[:received]

    @property
    def ready(self) -> bool:
        """As the overridden one, but while data flows it waits for the peer, because nobody else has anything to say."""
        decrypted = isinstance(self._raw, ssl.SSLSocket) and self._raw.pending() > 0
        if not decrypted and self.assoc.dul.state_machine.current_state == _DATA_TRANSFER and self._raw.fileno() >= 0:
            with suppress(OSError, ValueError):  # closed meanwhile; the overridden one says so
                select.select([self._raw], [], [], _POLL)
        return super().ready

    def release(self) -> None:
        """Close for good, also where the peer was gone before."""
        self.close()
        self._raw.close()


class UpperLayer(DULServiceProvider):
    """The thread that reads. However it ends, nothing half received or secret stays."""

    def run_reactor(self) -> None:
        try:
            if cast(Connection, self.socket).secure():
                super().run_reactor()
        except Exception:  # noqa: BLE001 (a peer must not be able to kill more than its own association)
            log.warning("association failed", exc_info=True)
        finally:
            exchange, connection = self.assoc.dimse, self.socket
            if isinstance(exchange, Exchange) and isinstance(connection, Connection):
                exchange.close()
                connection.release()
            # Nobody need wait any longer, neither for this thread to begin nor for a first PDU: None is what a timeout gives.
            self.assoc._dul_ready.set()
            self.to_user_queue.put(None)  # type: ignore[arg-type]


class Exchange(DIMSEServiceProvider):
    """Hands P-DATA on, as it comes, and sends what is answered. Takes nothing before `open`."""

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self._open: Callable[[], Messages] | None = None
        self._messages: Messages | None = None

    def open(self, messages: Callable[[], Messages]) -> None:
        """From now on take messages; `messages` is called with the first, when the contexts are settled."""
        self._open = messages

    def receive_primitive(self, primitive: P_DATA) -> None:
        try:
            for context_id, data in primitive.presentation_data_value_list:
                self._take(context_id, memoryview(data))
        except Abuse as abuse:
            log.warning("association aborted", reason=str(abuse))
            self.dul.event_queue.put("Evt19")  # PS3.8 9.2: an invalid PDU; the state machine sends the A-ABORT

    def _take(self, context_id: int, fragment: memoryview) -> None:
        if self._messages is None:
            if self._open is None:
                raise Abuse("data before an association")
            self._messages = self._open()
        if not fragment:
            raise Abuse("a fragment without a header")
        answer = self._messages.fragment(context_id, fragment[0], fragment[1:])
        if answer is not None:
            self._send(context_id, answer)

    def _send(self, context_id: int, command: bytes) -> None:
        step = max(1, (self.maximum_pdu_size or len(command) + _PDV_HEADER) - _PDV_HEADER)
        for start in range(0, len(command), step):
            control = COMMAND | (LAST if start + step >= len(command) else 0)
            primitive = P_DATA()
            primitive.presentation_data_value_list.append((context_id, bytes([control]) + command[start : start + step]))
            self.dul.send_pdu(primitive)

    def close(self) -> None:
        messages, self._messages, self._open = self._messages, None, None
        if messages is not None:
            messages.close()


def extend(association: Association, patience: Patience, credentials: Path | None) -> None:
    """Put our classes into an association that pynetdicom has made and not yet started. `credentials`: see `Connection`."""
    accepted = cast(socket.socket, cast(AssociationSocket, association.dul.socket).socket)
    association.dul = UpperLayer(association)
    association.dul.socket = Connection(association, accepted, patience, credentials)
    association.dimse = Exchange(association)
    # Setting a timeout sets the timers of `dul`, and that is another one now.
    association.acse_timeout = patience.first
    association.network_timeout = patience.idle


class Server(AssociationServer):
    """Accepts connections: as many as may negotiate and as many again, who are told to come back; more are closed at once."""

    request_queue_size = 64

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        accepted, address = super().get_request()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return accepted, address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        if len(self.ae.active_associations) < 2 * self.ae.maximum_associations:
            return True
        log.warning("connection refused, too many", peer=client_address[0])
        return False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        log.warning("connection failed", peer=client_address[0], exc_info=True)
