"""Reporting a storage commitment (PS3.4 J.3.3): N-EVENT-REPORT, on an association of our own in which we are the provider."""

import ssl
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from ..domain import commandset
from ..domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Reference, Verdict
from ..domain.node import Node
from .association import Association, Patience
from .negotiation import Offer
from .reasons import Lost, Reason

N_EVENT_REPORT: Final = 0x0100
SUCCESSFUL, FAILURES_EXIST = 1, 2  # event types (PS3.4 J.3.3.1.1)
OFFER: Final = Offer(PUSH_MODEL, "1.2.840.10008.1.2", as_scp=True)
"""In the default transfer syntax alone: everybody takes it (PS3.5 10.1)."""


def report(
    node: Node, calling: str, verdict: Verdict, *, tls: ssl.SSLContext | None = None, patience: Patience | None = None
) -> Reason | None:
    """Tell a modality. None if it took the report, else why it did not; telling it again does no harm."""
    command: dict[int, int | str] = {
        commandset.AFFECTED_SOP_CLASS: PUSH_MODEL,
        commandset.FIELD: N_EVENT_REPORT,
        commandset.AFFECTED_SOP_INSTANCE: PUSH_MODEL_INSTANCE,
        commandset.EVENT_TYPE: FAILURES_EXIST if verdict.failed else SUCCESSFUL,
    }
    try:
        with Association(node, calling, [OFFER], tls=tls, patience=patience) as association:
            if refused := association.refused.get(OFFER):
                return refused
            response = association.request(OFFER, command, (information(verdict),))
    except Lost as lost:
        return lost.reason
    return None if response.status == 0 else Reason.STATUS


def information(verdict: Verdict) -> bytes:
    """The event information, Implicit VR Little Endian."""
    dataset = Dataset()
    dataset.TransactionUID = verdict.request.transaction
    if verdict.kept:
        dataset.ReferencedSOPSequence = [_item(reference) for reference in verdict.kept]
    if verdict.failed:
        dataset.FailedSOPSequence = [_item(reference, failure) for reference, failure in verdict.failed]
    return encode(dataset, True, True) or b""


def _item(reference: Reference, failure: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    if failure is not None:
        item.FailureReason = int(failure)
    return item
