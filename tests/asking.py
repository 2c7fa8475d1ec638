"""A modality that asks for storage commitment (PS3.4 J.3): it sends N-ACTION, and listens for what it is told."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from nodes import Node
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.events import Event

from appliance.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE

CT = "1.2.840.10008.5.1.4.1.1.2"
TITLE = "CT1"


class Told(NamedTuple):
    """A report: event type, transaction, instances kept, and the reasons of those that are not."""

    event_type: int
    transaction: str
    kept: list[str]
    failed: dict[str, int]
    caller: str


def wish(*instances: str, sop_class: str = CT, transaction: str | None = None) -> Dataset:
    """The action information for these instances."""
    dataset = Dataset()
    dataset.TransactionUID = transaction or generate_uid()
    dataset.ReferencedSOPSequence = []
    for instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        dataset.ReferencedSOPSequence.append(item)
    return dataset


def ask(
    node: Node, information: Dataset, *, title: str = TITLE, action: int = 1, instance: str = PUSH_MODEL_INSTANCE, klass: str = PUSH_MODEL
) -> Dataset | None:
    """Send N-ACTION. The status, or None where no context for it is accepted."""
    entity = AE(title)
    entity.add_requested_context(PUSH_MODEL)
    association = entity.associate(node.host, node.port, ae_title=node.ae_title)
    try:
        if not association.is_established:
            return None
        status, _ = association.send_n_action(information, action, klass, instance, meta_uid=PUSH_MODEL)
        return status
    finally:
        association.release()


class Listening:
    """What came, in order. `statuses`: what is answered to the next reports; success when there are no more."""

    def __init__(self) -> None:
        self._came: queue.Queue[Told] = queue.Queue()
        self.statuses: list[int] = []

    def take(self, event: Event) -> tuple[int, None]:
        status = self.statuses.pop(0) if self.statuses else 0
        information = event.event_information
        self._came.put(
            Told(
                event.event_type,
                information.TransactionUID,
                [item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence", [])],
                {item.ReferencedSOPInstanceUID: item.FailureReason for item in information.get("FailedSOPSequence", [])},
                event.assoc.requestor.primitive.calling_ae_title,
            )
        )
        return status, None

    def told(self, seconds: float = 60) -> Told:
        return self._came.get(timeout=seconds)

    def heard(self) -> Sequence[Told]:
        """All that came and was not taken yet."""
        return [self._came.get() for _ in range(self._came.qsize())]


@contextmanager
def listening(*, port: int = 0, provides: bool = True) -> Iterator[tuple[Node, Listening]]:
    """`provides` False: it accepts the context and does not say that anybody may be the provider in it."""
    entity = AE(TITLE)
    entity.add_supported_context(PUSH_MODEL, scu_role=provides or None, scp_role=provides or None)
    made = Listening()
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, made.take)])
    try:
        yield Node(TITLE, "127.0.0.1", server.server_address[1]), made
    finally:
        server.shutdown()
