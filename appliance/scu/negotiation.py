"""What is said before an association: which contexts we propose, and which of them the peer takes (PS3.8 9.3.2, 9.3.3).

pynetdicom encodes and decodes.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context, build_role

from ..domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from .reasons import Lost, Reason, of_context

CONTEXTS: Final = 128
"""Presentation contexts in one association at most: their ids are the odd numbers of a byte (PS3.8 9.3.2.2)."""
PDU: Final = 16 << 10
"""Longest PDU of a message that we take, in bytes; only responses come."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_HEAD = 6  # bytes of a PDU before its content


class Offer(NamedTuple):
    """A presentation context to propose. `as_scp`: we want to be the provider in it, though we call (PS3.7 D.3.3.4)."""

    abstract_syntax: str
    transfer_syntax: str
    as_scp: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """Ids of the contexts that can be used, why the others cannot, and the longest PDU that the peer takes, in bytes, 0 for any."""

    ids: dict[Offer, int]
    refused: dict[Offer, Reason]
    longest: int


def request(calling: str, called: str, offers: Sequence[Offer]) -> bytes:
    """The A-ASSOCIATE-RQ that proposes these contexts, at most `CONTEXTS`; their ids are 1, 3, 5…"""
    longest, implementation, version = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
    )
    longest.maximum_length_received = PDU
    implementation.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    roles = [build_role(offer.abstract_syntax, scu_role=False, scp_role=True) for offer in offers if offer.as_scp]
    wish = A_ASSOCIATE()
    wish.application_context_name = _APPLICATION_CONTEXT
    wish.calling_ae_title, wish.called_ae_title = calling, called
    contexts = [build_context(offer.abstract_syntax, offer.transfer_syntax) for offer in offers]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    wish.presentation_context_definition_list = contexts
    wish.user_information = [longest, implementation, version, *roles]
    return A_ASSOCIATE_RQ(wish).encode()


def agreement(pdu: bytes, offers: Sequence[Offer]) -> Agreement:
    """What an A-ASSOCIATE-AC says of what was proposed. Raises Lost."""
    found = A_ASSOCIATE_AC()
    try:
        found.decode(pdu)
        accepted = found.to_primitive()
        longest = int(accepted.maximum_length_received)  # type: ignore[arg-type]  # what has none is no such PDU (PS3.7 D.3.3.1)
    except Exception:  # noqa: BLE001 (pynetdicom raises whatever its own code meets in what is none)
        raise Lost(Reason.NONSENSE) from None
    results = {context.context_id: context for context in accepted.presentation_context_definition_results_list}
    as_scp = {
        item.sop_class_uid for item in accepted.user_information if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.scp_role
    }
    ids, refused = {}, {}
    for number, offer in enumerate(offers):
        context = results.get(2 * number + 1)
        if context is None or context.result != 0:
            refused[offer] = of_context(context.result if context else None)
        elif context.transfer_syntax != [offer.transfer_syntax]:
            refused[offer] = Reason.TRANSFER_SYNTAX
        elif offer.as_scp and offer.abstract_syntax not in as_scp:
            refused[offer] = Reason.ROLE
        else:
            ids[offer] = 2 * number + 1
    return Agreement(ids, refused, longest)


def rejection(pdu: bytes) -> Reason:
    """Why the peer lets nobody in, as its A-ASSOCIATE-RJ says (PS3.8 9.3.4)."""
    source, reason = struct.unpack(">xxBB", pdu[_HEAD:]) if len(pdu) == _HEAD + 4 else (0, 0)
    named = {(1, 3): Reason.CALLING_UNKNOWN, (1, 7): Reason.CALLED_UNKNOWN, (3, 1): Reason.BUSY, (3, 2): Reason.BUSY}
    return named.get((source, reason), Reason.REJECTED)
