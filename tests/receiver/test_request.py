"""Association requests: what is no proper one ends, what is not offered is left out, and none costs much more than an honest one."""

import struct
import time
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pynetdicom.pdu import A_ASSOCIATE_RQ
from receiving import Running
from test_hostile import good
from wire import ABORT, ACCEPT, APPLICATION, CT, EXPLICIT, REJECT, Peer, context, item, user

from appliance.receiver.command import Abuse
from appliance.receiver.request import reduced
from appliance.receiver.syntaxes import TRANSFER_SYNTAXES

DICOM = item(0x10, APPLICATION)
GOOD = DICOM + context(1, CT, EXPLICIT) + user()
MOST = 1 << 20


def pdu(items: bytes, version: int = 1) -> bytes:
    body = struct.pack(">HH16s16s32x", version, 0, b"BILDBRIEF".ljust(16), b"ALICE".ljust(16)) + items
    return struct.pack(">BBL", 1, 0, len(body)) + body


# -- at a receiver -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "answer"), [(0, REJECT), (2, REJECT), (1, ACCEPT), (3, ACCEPT), (0xFFFF, ACCEPT)])
def test_of_the_protocol_version_only_bit_0_counts(receiver: Running, version: int, answer: int) -> None:
    with Peer(receiver.port) as peer:
        assert peer.ask(GOOD, version=version) == answer
        assert answer == ACCEPT or peer.answer == bytes([0, 1, 2, 2])  # rejected-permanent, by the ACSE, version not supported
    good(receiver)


@pytest.mark.parametrize("application", [b"", item(0x10, b""), item(0x10, b"1.2.3"), item(0x10, b"\xff" * 70)])
def test_another_application_context_is_rejected(receiver: Running, application: bytes) -> None:
    with Peer(receiver.port) as peer:
        assert peer.ask(application + context(1, CT, EXPLICIT) + user()) == REJECT
        assert peer.answer == bytes([0, 1, 1, 2])  # rejected-permanent, by the user, application context name not supported
    good(receiver)


BROKEN = {
    "no context": b"",
    "an even id": context(2, CT, EXPLICIT),
    "id 0": context(0, CT, EXPLICIT),
    "an id twice": context(1, CT, EXPLICIT) * 2,
    "129 contexts": b"".join(context(2 * number % 256 + 1, CT, EXPLICIT) for number in range(129)),
    "a context of nothing": item(0x20, b""),
    "no transfer syntax": context(1, CT),
    "no abstract syntax": item(0x20, b"\1\0\0\0" + item(0x40, EXPLICIT.encode())),
    "an abstract syntax that is none": context(1, "../../etc", EXPLICIT),
    "a very long abstract syntax": context(1, "1.2" * 10_000, EXPLICIT),
    "a transfer syntax that is none": context(1, CT, "1..2"),
    "longer than its context": item(0x20, b"\1\0\0\0" + item(0x30, CT.encode()) + b"\x40\0\xff\xff1.2"),
    "longer than the request": context(1, CT, EXPLICIT) + b"\x20\0\xff\xff",
    "a head cut off": context(1, CT, EXPLICIT) + b"\x50\0",
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_answered_ends_the_association(receiver: Running, case: str) -> None:
    with Peer(receiver.port) as peer:
        assert peer.ask(DICOM + BROKEN[case]) == ABORT
        assert peer.receive()[0] == 0
    good(receiver)


def test_a_request_shorter_than_its_fixed_part(receiver: Running) -> None:
    with Peer(receiver.port) as peer:
        peer.send(1, bytes(67))
        assert peer.receive()[0] == ABORT
    good(receiver)


UNOFFERED = {
    "a window of operations": item(0x53, struct.pack(">HH", 0, 0)),
    "roles": item(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\0\1"),
    "a very long version name": item(0x55, b"V" * 1000),
    "extended negotiation": item(0x56, struct.pack(">H", len(CT)) + CT.encode() + bytes(10)),
    "common extended negotiation": item(0x57, struct.pack(">H3sH3sH", 3, b"1.2", 3, b"1.2", 0)),
    "a name": item(0x58, b"\1\1" + struct.pack(">H5sH", 5, b"ALICE", 0)),
    "a name and a password": item(0x58, b"\2\1" + struct.pack(">H5sH3s", 5, b"ALICE", 3, b"123")),
    "an identity of no kind": item(0x58, b"\xff" * 20),
    "an unknown kind": item(0x99, b"?"),
    "a role for nobody": item(0x54, b""),
    "a second length": item(0x51, b"\0\0\0\1") + item(0x51, b"?"),
}


@pytest.mark.parametrize("case", UNOFFERED)
def test_what_is_not_offered_is_left_unanswered(receiver: Running, case: str) -> None:
    with Peer(receiver.port) as peer:
        items = DICOM + item(0x77, b"unknown") + context(1, CT, EXPLICIT) + user(16384, UNOFFERED[case]) + item(0x99, b"")
        assert peer.ask(items) == ACCEPT
        assert set(peer.user) == {0x51, 0x52, 0x55}
        assert peer.accepted == {1: EXPLICIT}
        assert peer.store("1.2.3", b"x" * 1000) == 0
    good(receiver)


# -- by itself ---------------------------------------------------------------------------------------------------------


def test_only_what_is_negotiated_is_left() -> None:
    several = context(3, CT, "1.2.3", EXPLICIT, "1.2.4", EXPLICIT)
    items = item(0x77, b"?") + user(99, item(0x58, bytes(9))) + several + item(0x10, APPLICATION + b"\0") + context(1, CT, "1.2.3", "1.2.4")
    left = DICOM + context(3, CT, EXPLICIT) + context(1, CT, "1.2.3") + item(0x50, item(0x51, struct.pack(">L", 99)))
    assert reduced(pdu(items)) == pdu(left)
    assert reduced(pdu(left)) == pdu(left)


HONEST = DICOM + b"".join(context(2 * n + 1, f"1.2.840.10008.5.1.4.1.1.{n + 1}", *TRANSFER_SYNTAXES) for n in range(128)) + user()
HOSTILE = {
    "many of nothing": item(0x77, b""),
    "many empty application contexts": item(0x10, b""),
    "many user informations": user(),
    "many tiny transfer syntaxes": item(0x20, b"\3\0\0\0" + item(0x30, b"1.2") + item(0x40, b"1.2") * 9000),
    "many empty transfer syntaxes": item(0x20, b"\3\0\0\0" + item(0x30, b"1.2") + item(0x40, b"1.2") + item(0x40, b"") * 16_000),
    "long syntaxes": item(0x20, b"\3\0\0\0" + item(0x30, b"1.2") + item(0x40, b"1." * 32_000)),
    "many roles": item(0x50, item(0x54, b"\0\3" + b"1.2" + b"\1\1") * 5000),
    "many extensions": item(0x50, item(0x56, b"\0\3" + b"1.2" + b"x") * 5000),
    "many related classes": item(0x50, item(0x57, struct.pack(">H3sH3sH", 3, b"1.2", 3, b"1.2", 50_000) + b"\0\x011" * 16_666)),
    "many lengths": item(0x50, item(0x51, bytes(3)) * 9000),
    "a long identity": item(0x50, item(0x58, b"\1\0\xfe\0" + bytes(65_026))),
}


def served(request: bytes) -> float:
    """Seconds of this thread's processor for reading a request, for each of its bytes."""
    begun = time.thread_time()
    with suppress(Abuse):
        A_ASSOCIATE_RQ().decode(bytes(reduced(request)))
    return (time.thread_time() - begun) / len(request)


def stretched(kind: str) -> bytes:
    """A request as long as may be, whose contexts are all different."""
    filling = HOSTILE[kind]
    fit = (MOST - len(pdu(GOOD))) // len(filling)
    if filling[0] != 0x20:
        return pdu(GOOD + filling * fit)
    return pdu(GOOD + b"".join(filling.replace(b"\3\0\0\0", bytes([2 * n + 3, 0, 0, 0]), 1) for n in range(fit)))


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_byte_of_a_hostile_request_costs_no_more_than_one_of_an_honest_one(kind: str) -> None:
    request, honest = stretched(kind), pdu(HONEST)
    assert len(request) > 900_000
    assert served(request) < 2 * max(served(honest) for _ in range(3))
    tracemalloc.start()
    served(request)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@given(some.binary(max_size=300).map(pdu) | some.binary(max_size=100))
def test_any_bytes_are_a_request_or_abuse(data: bytes) -> None:
    readable(data)


SHORT = pdu(DICOM + b"".join(context(2 * number + 1, CT, EXPLICIT, "1.2.3") for number in range(5)) + user())


@given(some.lists(some.tuples(some.integers(74, len(SHORT) - 1), some.integers(0, 255)), max_size=5), some.integers(0, len(SHORT)))
def test_an_altered_request_is_a_request_or_abuse(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(SHORT)
    for at, value in changes:
        data[at] = value
    readable(bytes(data[:end]))


def readable(data: bytes) -> None:
    """What is let through, pynetdicom reads without another word."""
    try:
        request = reduced(data)
    except Abuse:
        return
    assert reduced(request) == request
    if data[:74] == SHORT[:74]:  # AE titles are for pynetdicom to judge
        decoded = A_ASSOCIATE_RQ()
        decoded.decode(bytes(request))
        decoded.to_primitive()
