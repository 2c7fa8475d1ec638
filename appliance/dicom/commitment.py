"""The action information of a storage commitment request (PS3.4 J.3.2.1): read in the cage, checked outside of it."""

import io
import re
from typing import Final

from pydicom import dcmread

from ..domain.commitment import Reference, Request
from ..domain.node import ae_title

REFERENCE_LIMIT: Final = 50_000
"""References looked at in one request; a study of so many instances has not been seen."""

_UID: Final = re.compile(r"[0-9.]{1,64}")


def read(file: bytes) -> bytes:
    """In the cage: who asks, the Transaction UID, SOP class and instance of each reference, a line each. Raises what pydicom raises."""
    dataset = dcmread(io.BytesIO(file))
    pairs = [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in dataset.ReferencedSOPSequence]
    asks = str(dataset.file_meta.SourceApplicationEntityTitle)  # the receiver wrote it
    return "\n".join([asks, dataset.TransactionUID, *(uid for pair in pairs for uid in pair)]).encode("ascii")


def check(answer: bytes) -> Request:
    """What came out of the cage. Raises ValueError for what is no request."""
    calling, transaction, *uids = answer.decode("ascii").split("\n")
    if not uids or len(uids) % 2 or len(uids) > 2 * REFERENCE_LIMIT or not all(map(_UID.fullmatch, (transaction, *uids))):
        raise ValueError("no request")
    return Request(ae_title(calling), transaction, tuple(map(Reference, uids[::2], uids[1::2])))
