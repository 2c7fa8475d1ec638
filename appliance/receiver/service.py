"""What an association is served with: whom it lets in, in which contexts, and where its files go."""

import socket
import ssl
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from pydicom.uid import UID
from pynetdicom import AE, _config, build_context
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from ..domain.commitment import PUSH_MODEL
from ..domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from ..domain.modalities import Modality, address_of, senders
from ..log import log
from ..vault import intake
from .layer import Acceptor, Reject
from .limits import Limits
from .messages import Context, Messages, Session
from .syntaxes import VERIFICATION, choose, is_storage
from .tls import reason as tls_reason

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1: the only one
_NO_SUCH_APPLICATION: Reject = (0x01, 0x01, 0x02)  # PS3.8 9.3.4: rejected-permanent, by the user, application context not supported
_NOT_CALLED_SO: Reject = (0x01, 0x01, 0x03)  # rejected-permanent, by the user, calling AE title not recognized
_COME_BACK: Reject = (0x02, 0x03, 0x01)  # rejected-transient, by the presentation layer, temporary congestion


@dataclass(frozen=True, slots=True)
class Site:
    """What every association here is told and measured by. `now` tells UTC seconds; `tls` makes the context of a TLS connection,
    and raises OSError where there is none to make. `committed_to`: the AE titles to whom storage commitment can be reported; None: it
    is not offered.
    """

    intake: Path
    ae_title: str
    limits: Limits
    modalities: Sequence[Modality]
    now: Callable[[], int]
    tls: Callable[[], ssl.SSLContext]
    committed_to: Collection[str] | None = None


class Service:
    """Makes associations of connections. Threads share it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        _config.LOG_HANDLER_LEVEL = "none"  # its own lines would quote what passes
        self._entity = AE(site.ae_title)
        self._entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        self._entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        self._entity.maximum_associations = 1 << 16  # the guard has counted already

    def meet(self, connected: socket.socket, *, tls: bool) -> Acceptor | None:
        """The association of a connection, to be served; None when TLS came to nothing. Raises OSError when the peer is gone."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = connected.getpeername()
        if tls:
            connected.settimeout(self._site.limits.patience.first)
            try:
                connected = self._site.tls().wrap_socket(connected, server_side=True)
            except OSError as refused:
                log.warning("TLS handshake failed", peer=address[0], reason=tls_reason(refused))
                return None
        return Acceptor(self._entity, connected, address, self._admit, self._site.limits)

    def _admit(self, association: Acceptor) -> Reject | Callable[[], Messages]:
        request = cast(A_ASSOCIATE, association.requestor.primitive)
        calling, called = _clean(request.calling_ae_title), _clean(request.called_ae_title)
        who = {"peer": association.peer, "calling": calling, "called": called}
        if association.only_ae_title not in (None, calling):
            log.warning("association rejected, the certificate is for another AE title", **who)
            return _NOT_CALLED_SO
        modalities = self._site.modalities
        if modalities and not any(entry.is_called(calling) for entry in senders(modalities, address_of(association.peer))):
            log.warning("association rejected, calling AE title is not on the list of modalities", **who)
            return _NOT_CALLED_SO
        if request.application_context_name != _APPLICATION_CONTEXT:
            log.warning("association rejected, its application context is not DICOM's", **who)
            return _NO_SUCH_APPLICATION
        files = self._files()
        if files is None:
            log.warning("association rejected, no intake key yet", **who)
            return _COME_BACK
        _settle_contexts(association, request.presentation_context_definition_list, commits=self._site.committed_to is not None)
        return partial(self._messages, association, files, calling, called)

    def _messages(self, association: Acceptor, files: intake.Association, calling: str, called: str) -> Messages:
        site = self._site
        return Messages(
            Session(
                contexts={
                    cast(int, context.context_id): Context(str(context.abstract_syntax), str(context.transfer_syntax[0]))
                    for context in association.accepted_contexts
                },
                peer=association.peer,
                calling=calling,
                called=called,
                begin=files.begin,
                room=lambda: intake.room(site.intake),
                instance_limit=site.limits.instance,
                reserve=site.limits.reserve,
                ask=partial(files.begin, request=True) if calling in (site.committed_to or ()) else None,
            )
        )

    def _files(self) -> intake.Association | None:
        """Where the files of a new association go. The key is read anew each time: there is a new one every day."""
        try:
            key = intake.read_public(self._site.intake)
            return intake.Association(self._site.intake, key, self._site.now) if key else None
        except Exception:  # noqa: BLE001 (whatever it is, what cannot be sealed is not taken)
            log.error("intake key cannot be used", exc_info=True)
            return None


def _settle_contexts(association: Acceptor, proposed: Iterable[PresentationContext], *, commits: bool) -> None:
    """Make the choice for each proposed context; pynetdicom then finds nothing else to choose.

    Support is declared for just what was chosen: so any storage class is taken, and no list of all is copied for each association. A
    class stays supported where no transfer syntax is: so the sender is told which of the two it was (PS3.8 9.3.3.2).
    """
    services = {VERIFICATION, PUSH_MODEL} if commits else {VERIFICATION}
    supported: dict[str, set[str]] = {}
    for context in proposed:
        sop_class = str(context.abstract_syntax)
        if sop_class not in services and not is_storage(sop_class):
            continue
        taken = supported.setdefault(sop_class, set())
        chosen = choose(context.transfer_syntax)
        if chosen is not None:
            context.transfer_syntax = [UID(chosen)]
            taken.add(chosen)
    association.acceptor.supported_contexts = [build_context(sop_class, sorted(taken)) for sop_class, taken in supported.items()]


def _clean(title: str) -> str:
    """An AE title as it may stand in files and logs (PS3.5 6.2)."""
    return "".join(character for character in title if " " <= character <= "~" and character != "\\").strip()[:16]
