"""A malformed image is not lost: acknowledged, kept, and told at the desk with a reason. So is one sent twice."""

import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import structlog
from stack import Stack
from wire import ACCEPT, EXPLICIT, Peer

from appliance.deeds.ingest import Ingest
from appliance.dicom.cage import Cage
from appliance.dicom.reasons import Reason
from appliance.domain.audit import Action
from appliance.domain.modalities import parse
from appliance.receiver.limits import Limits
from appliance.receiver.server import Address, Receiver
from appliance.receiver.service import Site
from appliance.vault.blobs import Local

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNDEFINED = b"\xff\xff\xff\xff"
LEVEL = b"\x08\0\x40\x11SQ\0\0" + UNDEFINED + b"\xfe\xff\0\xe0" + UNDEFINED


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Explicit VR Little Endian (PS3.5 7.1.2)."""
    length = struct.pack("<xxI", len(value)) if vr in (b"OB", b"UN") else struct.pack("<H", len(value))
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr) + length + value


def image(instance: bytes, **changed: bytes) -> bytes:
    """A dataset of 10 × 10 grey bytes, its elements in the order of their tags, changed as wished."""
    values = {
        "charset": b"ISO_IR 100",
        "study": b"1.2.10",
        "rows": struct.pack("<H", 10),
        "columns": struct.pack("<H", 10),
        "frames": b"1 ",
        "pixels": bytes(100),
        "more": b"",
        **changed,
    }
    return b"".join(
        (
            element(0x00080005, b"CS", values["charset"]),
            element(0x00080016, b"UI", SECONDARY_CAPTURE.encode() + b"\0"),
            element(0x00080018, b"UI", instance + b"\0" * (len(instance) % 2)),
            values["more"],
            element(0x00100010, b"PN", b"M\xfcller^Alice"),
            element(0x0020000D, b"UI", values["study"]),
            element(0x0020000E, b"UI", b"1.2.20"),
            element(0x00280002, b"US", b"\1\0"),
            element(0x00280008, b"IS", values["frames"]),
            element(0x00280010, b"US", values["rows"]),
            element(0x00280011, b"US", values["columns"]),
            element(0x00280100, b"US", b"\x08\0"),
            element(0x7FE00010, b"OB", values["pixels"]),
        )
    )


# Datasets no reader should meet, by their SOP Instance UID, and what is wrong with each.
MALFORMED: list[tuple[Callable[[bytes], bytes], Reason]] = [
    (lambda _: b"", Reason.NOT_DICOM),
    (lambda _: b"GIF89a" * 100, Reason.REPRESENTATION),
    (lambda uid: image(uid, more=LEVEL * 65), Reason.TOO_DEEP),
    (lambda uid: image(uid, more=LEVEL * 10_000), Reason.TOO_DEEP),
    (lambda uid: image(uid)[:-104] + b"\xff\xff\xff\x7f" + bytes(100), Reason.TRUNCATED),  # a length beyond the end
    (lambda uid: image(uid)[:-1], Reason.TRUNCATED),
    (lambda uid: image(uid, pixels=bytes(98)), Reason.FEWER_PIXELS),
    (lambda uid: image(uid, pixels=bytes(200)), Reason.MORE_PIXELS),
    (lambda uid: image(uid, rows=b"\xff\xff", columns=b"\xff\xff"), Reason.ABSURD_SIZE),
    (lambda uid: image(uid, frames=b"2000000000"), Reason.ABSURD_SIZE),
    (lambda uid: image(uid, study=b"../../etc/"), Reason.NO_IDENTIFIER),
    (lambda _: image(b"1.2.9.9"), Reason.TWO_IDENTITIES),
]


class Practice:
    """A receiver and an ingester in this process, on the rooms of a stack. `parsed` counts what came to the cage."""

    def __init__(self, stack: Stack, cage: Cage, port: int) -> None:
        self.stack = stack
        self.port = port
        self.parsed = 0
        describe = cage.describe

        def counting(header: bytes) -> object:
            self.parsed += 1
            return describe(header)

        cage.describe = counting  # type: ignore[method-assign,assignment]
        quarantine = Local(stack.places.quarantine)
        self.ingest = Ingest(
            stack.places.intake, stack.objects, quarantine, stack.registry, stack.keyholder("ingester"), cage, stack.now, readers=1
        )

    def send(self, *instances: tuple[str, bytes]) -> None:
        with Peer(self.port) as peer:
            assert peer.associate([(SECONDARY_CAPTURE, (EXPLICIT,))]) == ACCEPT
            for instance, dataset in instances:
                assert peer.store(instance, dataset, sop_class=SECONDARY_CAPTURE) == 0
            peer.release()

    def take_in(self) -> None:
        while self.ingest.run_once():
            pass

    def said(self, action: Action) -> list[str | None]:
        return [row.detail for row in self.stack.registry.audit() if row.action == action]


@pytest.fixture
def practice(stack: Stack) -> Iterator[Practice]:
    with structlog.testing.capture_logs(), Cage(workers=1, memory=1 << 30, seconds=30) as cage, listening(stack) as port:
        made = Practice(stack, cage, port)
        made.ingest.publish_key()
        yield made
        made.ingest.close()


@contextmanager
def listening(stack: Stack) -> Iterator[int]:
    site = Site(stack.places.intake, "BILDBRIEF", Limits(reserve=0), parse("*@127.0.0.1"), stack.now, lambda: None)
    receiver = Receiver([Address("127.0.0.1", 0)], site, processes=1, forked=False)
    stop = threading.Event()
    thread = threading.Thread(target=receiver.serve, args=(stop,))
    thread.start()
    try:
        yield receiver.ports[0]
    finally:
        stop.set()
        thread.join()


def test_malformed_images_are_acknowledged_and_told_with_a_reason(practice: Practice) -> None:
    sent = [(uid := f"1.2.3.{place}", make(uid.encode())) for place, (make, _) in enumerate(MALFORMED)]
    practice.send(*sent, ("1.2.3", image(b"1.2.3")))
    practice.take_in()
    aside = practice.stack.inspecting.quarantine()
    assert Counter(file.reason for file in aside) == Counter(reason for _, reason in MALFORMED)
    assert {file.source_ae for file in aside} == {"ALICE"}
    assert len(practice.stack.registry.studies()) == 1
    assert practice.parsed == 1  # none but the good one was given to a parser


def test_a_character_set_that_lies_costs_no_image(practice: Practice) -> None:
    lies = {"1.2.4.1": b"ISO_IR 192", "1.2.4.2": b"NONSENSE", "1.2.4.3": b"\xff\xfe"}
    practice.send(*((uid, image(uid.encode(), charset=lie)) for uid, lie in lies.items()))
    practice.take_in()
    assert practice.stack.inspecting.quarantine() == []
    (study,) = practice.stack.registry.studies()
    assert len(practice.stack.registry.instances(study.study_id)) == 3


def test_the_same_uid_again_is_kept_once_and_with_other_bytes_as_a_revision(practice: Practice) -> None:
    first, other = image(b"1.2.5"), image(b"1.2.5", pixels=b"\1" * 100)
    practice.send(("1.2.5", first), ("1.2.5", first), ("1.2.5", other))
    practice.send(("1.2.5", first))
    practice.take_in()
    (study,) = practice.stack.registry.studies()
    assert sorted(row.revision for row in practice.stack.registry.all_instances(study.study_id)) == [1, 2]
    assert practice.said(Action.INSTANCE_REVISED) == ['{"count":1}']


def test_deflated_is_not_offered(practice: Practice) -> None:
    with Peer(practice.port) as peer:
        assert peer.associate([(SECONDARY_CAPTURE, (DEFLATED,)), (SECONDARY_CAPTURE, (DEFLATED, EXPLICIT))]) == ACCEPT
        assert peer.accepted == {3: EXPLICIT}
        assert peer.store("1.2.6", image(b"1.2.6"), sop_class=SECONDARY_CAPTURE, context_id=1) == 0x0122
        assert peer.store("1.2.6", image(b"1.2.6"), sop_class=SECONDARY_CAPTURE, context_id=3) == 0
