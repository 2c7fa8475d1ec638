"""The Storage SCP: whom it lets in, with what, and what they leave."""

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

from pydicom.uid import UID
from pynetdicom import AE, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from ..domain.commitment import PUSH_MODEL
from ..domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from ..log import log
from ..vault import intake
from .layer import Exchange, Patience, Server, extend
from .messages import Context, Messages, Session
from .syntaxes import TRANSFER_SYNTAXES, VERIFICATION, choose, is_storage

_COME_BACK = (0x02, 0x03, 0x01)  # PS3.8 9.3.4: rejected-transient, by the presentation layer, temporary congestion
_LOOK = 0.2  # seconds between looks at whether to stop
_GRACE = 2.0  # seconds for all peers together to hear of it


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer, and all together, may take. Sizes in bytes, times in seconds."""

    instance: int = 4 << 30
    reserve: int = 1 << 30  # left free on the volume of the intake
    associations: int = 16
    pdu: int = 256 << 10  # offered, and enforced
    patience: Patience = field(default_factory=Patience)


class Receiver:
    """Listens from the moment it is made; answers while `serve` runs. `port` is the one it got when asked for port 0."""

    def __init__(
        self,
        intake_dir: Path,
        *,
        host: str,
        port: int,
        ae_title: str,
        limits: Limits,
        now: Callable[[], int],
        committed_to: Collection[str] | None = None,
    ) -> None:
        """`committed_to`: the AE titles to whom storage commitment can be reported; None: it is not offered."""
        self._committed_to = committed_to
        self._intake = intake_dir
        self._limits = limits
        self._now = now
        _config.LOG_HANDLER_LEVEL = "none"  # its own lines would quote what passes
        _config.PASS_CONTEXTVARS = True  # so that lines from its threads say, too, which process they are from
        entity = AE(ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_pdu_size = limits.pdu
        entity.maximum_associations = limits.associations
        entity.acse_timeout, entity.network_timeout = limits.patience.first, limits.patience.idle
        self._server = entity.make_server(
            (host, port),
            contexts=[build_context(VERIFICATION)],
            evt_handlers=[(evt.EVT_CONN_OPEN, self._connected), (evt.EVT_REQUESTED, self._requested)],
            server_class=Server,
        )
        self._server.timeout = _LOOK
        self.port: int = self._server.server_address[1]
        intake.sweep(intake_dir)

    def serve(self, stop: threading.Event) -> None:
        """Accept until `stop`, then abort what is open: what is not acknowledged is sent again."""
        log.info("receiver listening", port=self.port, key=intake.read_public(self._intake) is not None)
        while not stop.is_set():
            self._server.handle_request()
        self._server.server_close()
        left = self._server.active_associations
        for association in left:
            if association.is_established:
                association.abort(block=False)
            else:
                association.dul.kill_dul()
        until = time.monotonic() + _GRACE
        for association in left:  # each ends by itself once its peer has been told; who stalls is not waited for
            association.join(max(0, until - time.monotonic()))
            if association.is_alive() and association.dul.socket is not None:
                association.dul.socket.close()
                association.join()
        log.info("receiver stopped", aborted=len(left))

    def _connected(self, event: Event) -> None:
        extend(event.assoc, self._limits.patience)

    def _requested(self, event: Event) -> None:
        association = event.assoc
        request = cast(A_ASSOCIATE, association.requestor.primitive)
        calling, called = _clean(request.calling_ae_title), _clean(request.called_ae_title)
        who = {"peer": cast(AddressInformation, association.requestor.address_info).address, "calling": calling, "called": called}
        files = self._files()
        if files is None:
            log.warning("association rejected, no intake key yet", **who)
            association.acse.send_reject(*_COME_BACK)
            association.kill()
            return
        log.info("association requested", **who)
        _settle_contexts(association, request.presentation_context_definition_list, commits=self._committed_to is not None)
        cast(Exchange, association.dimse).open(lambda: self._messages(association, files, calling, called))

    def _files(self) -> intake.Association | None:
        """Where the files of a new association go. The key is read anew each time: there is a new one every day."""
        try:
            key = intake.read_public(self._intake)
            return intake.Association(self._intake, key, self._now) if key else None
        except Exception:  # noqa: BLE001 (pynetdicom would let the association in after any exception)
            log.error("intake key cannot be used", exc_info=True)
            return None

    def _messages(self, association: Association, files: intake.Association, calling: str, called: str) -> Messages:
        contexts = {
            cast(int, context.context_id): Context(str(context.abstract_syntax), str(context.transfer_syntax[0]))
            for context in association.accepted_contexts
        }
        return Messages(
            Session(
                contexts=contexts,
                calling=calling,
                called=called,
                begin=files.begin,
                room=lambda: intake.room(self._intake),
                instance_limit=self._limits.instance,
                reserve=self._limits.reserve,
                ask=partial(files.begin, request=True) if calling in (self._committed_to or ()) else None,
            )
        )


def _settle_contexts(association: Association, proposed: Iterable[PresentationContext], *, commits: bool) -> None:
    """Make the choice for each proposed context; pynetdicom then finds nothing else to choose.

    Support is declared for just what is proposed: so any storage class is taken, and no list of all is copied for each association.
    """
    supported = {VERIFICATION, PUSH_MODEL} if commits else {VERIFICATION}
    for context in proposed:
        chosen = choose(context.transfer_syntax)
        if chosen is not None and is_storage(str(context.abstract_syntax)):
            context.transfer_syntax = [UID(chosen)]
            supported.add(str(context.abstract_syntax))
    association.acceptor.supported_contexts = [build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in supported]


def _clean(title: str) -> str:
    """An AE title as it may stand in files and logs (PS3.5 6.2)."""
    return "".join(character for character in title if " " <= character <= "~" and character != "\\").strip()[:16]
