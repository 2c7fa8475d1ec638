"""What no sender may do ends its own association, with a clear refusal where there is one; nobody else notices."""

import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest
import structlog
from receiving import Running
from wire import ABORT, ACCEPT, COMMAND, CT, DATA, EXPLICIT, LAST, REJECT, RELEASE_REQUEST, Peer, element, number, store_command, uid

from appliance.receiver.limits import Limits, Patience
from appliance.vault import intake, keys

DATASET = bytes(100_000)


def good(receiver: Running) -> None:
    """Alice's scanner still gets its image in."""
    with Peer(receiver.port) as peer:
        assert peer.associate() == ACCEPT
        assert peer.store("1.2.999", DATASET) == 0
        peer.release()
    assert receiver.stored()["1.2.999"].dataset == DATASET
    assert receiver.left_over() == []


# -- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sop_instance",
    [b"", b"../../etc/passwd", b"1.2.\0\0.3", b"1." * 32 + b"1", b"1" * 5000, b"1..2", "1.2.٣".encode(), b"\xff" * 20, b"1.2\n"],
)
@pytest.mark.parametrize("place", ["class", "instance"])
def test_uids_that_make_no_sense_are_refused(receiver: Running, sop_instance: bytes, place: str) -> None:
    uids = (sop_instance, b"1.2.3") if place == "class" else (uid(CT), sop_instance)
    with Peer(receiver.port) as peer:
        peer.associate()
        peer.fragment(1, COMMAND | LAST, store_command(*uids))
        peer.dataset(DATASET)
        response = peer.response()
        assert response[0x0900] == number(0xC001)
        assert sop_instance == b"" or sop_instance not in b"".join(response.values())
        assert peer.store("1.2.3", DATASET) == 0
    assert set(receiver.stored()) == {"1.2.3"}


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\0" * 7,
        element(0x0100, number(1)),
        element(0x0100, number(0x8001)) + element(0x0110, number(1)) + element(0x0800, number(1)),
        element(0x0100, b"\1") + element(0x0110, number(1)) + element(0x0800, number(1)),
        struct.pack("<HHL", 0, 0x0002, 0xFFFFFFFF) + b"1.2.3",
        struct.pack("<HHL", 0x0008, 0x0018, 2) + b"1.",
        bytes(range(256)) * 20,
        bytes(20_000),
    ],
)
def test_a_command_set_of_no_known_form_ends_the_association(receiver: Running, command: bytes) -> None:
    with Peer(receiver.port) as peer:
        peer.associate()
        peer.fragment(1, COMMAND | LAST, command)
        assert peer.receive()[0] == ABORT
    good(receiver)


def test_a_command_set_in_pieces_is_one(receiver: Running) -> None:
    command = store_command(uid(CT), b"1.2.3\0")
    with Peer(receiver.port) as peer:
        peer.associate(maximum=16)  # and so is its answer, whose pieces the peer reads
        for start in range(0, len(command), 10):
            peer.fragment(1, COMMAND | (LAST if start + 10 >= len(command) else 0), command[start : start + 10])
        peer.dataset(DATASET)
        assert peer.status() == 0
        assert peer.store("1.2.4", b"") == 0


@pytest.mark.parametrize(("operation", "status"), [(0x0030, 0x0000), (0x0020, 0x0211), (0x0130, 0x0211), (0x0777, 0x0211)])
def test_other_operations_are_answered(receiver: Running, operation: int, status: int) -> None:
    with Peer(receiver.port) as peer:
        peer.associate()
        for dataset_type in (0x0101, 1):
            peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.3\0", field=operation, dataset_type=dataset_type))
            if dataset_type == 1:
                peer.dataset(DATASET)
            response = peer.response()
            assert response[0x0100] == number(0x8000 | operation)
            assert response[0x0120] == number(7)
            assert response[0x0900] == number(status)
        peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.3\0", field=0x0FFF, dataset_type=0x0101))  # C-CANCEL: no answer
        peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.3\0", dataset_type=0x0101))
        assert peer.status() == 0xC002
        assert peer.store("1.2.3", DATASET) == 0


# -- fragments ---------------------------------------------------------------------------------------------------------


def a_command(peer: Peer) -> None:
    peer.fragment(1, COMMAND | LAST, store_command(uid(CT), b"1.2.3\0"))


def a_dataset_without_command(peer: Peer) -> None:
    peer.fragment(1, LAST, b"data")


def a_command_in_a_dataset(peer: Peer) -> None:
    a_command(peer)
    peer.fragment(1, 0, b"data")
    a_command(peer)


def a_dataset_in_another_context(peer: Peer) -> None:
    a_command(peer)
    peer.fragment(3, LAST, b"data")


def a_fragment_without_header(peer: Peer) -> None:
    peer.send(DATA, struct.pack(">LB", 1, 1))


def a_fragment_longer_than_its_pdu(peer: Peer) -> None:
    peer.send(DATA, struct.pack(">LBB", 0xFFFFFFFF, 1, 0))


def an_endless_command(peer: Peer) -> None:
    for _ in range(3):
        peer.fragment(1, COMMAND, bytes(10_000))


def a_pdu_longer_than_agreed(peer: Peer) -> None:
    peer.socket.sendall(struct.pack(">BBL", DATA, 0, peer.maximum + 1))


def a_pdu_of_gigabytes(peer: Peer) -> None:
    peer.socket.sendall(struct.pack(">BBL", DATA, 0, 0xFFFFFFF0))


def a_pdu_of_no_kind(peer: Peer) -> None:
    peer.send(0x63, b"")


def an_association_in_an_association(peer: Peer) -> None:
    peer.send(1, bytes(68))


def a_release_that_is_too_long(peer: Peer) -> None:
    peer.send(RELEASE_REQUEST, bytes(5))


@pytest.mark.parametrize(
    "abuse",
    [
        a_dataset_without_command,
        a_command_in_a_dataset,
        a_dataset_in_another_context,
        a_fragment_without_header,
        a_fragment_longer_than_its_pdu,
        an_endless_command,
        a_pdu_longer_than_agreed,
        a_pdu_of_gigabytes,
        a_pdu_of_no_kind,
        an_association_in_an_association,
        a_release_that_is_too_long,
    ],
)
def test_abuse_of_the_protocol_ends_the_association(receiver: Running, abuse: Callable[[Peer], None]) -> None:
    with Peer(receiver.port) as peer:
        peer.associate([(CT, (EXPLICIT,)), (CT, (EXPLICIT,))])
        abuse(peer)
        assert peer.receive()[0] == ABORT
        assert peer.receive()[0] == 0  # and closed
    good(receiver)


def test_an_instance_over_the_limit_is_refused_and_one_without_end_is_cut(start: Callable[[Limits], Running]) -> None:
    receiver = start(Limits(instance=300_000, reserve=0))
    with Peer(receiver.port) as peer:
        peer.associate()
        assert peer.store("1.2.1", bytes(300_000)) == 0
        assert peer.store("1.2.2", bytes(300_001)) == 0xC003
        assert receiver.left_over() == []
        a_command(peer)
        peer.dataset(bytes(600_001), last=False)  # twice the limit, and a byte
        assert peer.receive()[0] == ABORT
    assert set(receiver.stored()) == {"1.2.1"}
    good(receiver)


# -- associations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", [b"\0" * 16, b" " * 16, b"\xff\xfe" * 8, b"A\nB", b"A\\B", "Ä".encode("latin-1")])
@pytest.mark.parametrize("whose", ["calling", "called"])
def test_ae_titles_that_are_none_end_the_association(receiver: Running, title: bytes, whose: str) -> None:
    with Peer(receiver.port) as peer:
        assert peer.associate(**{whose: title}) == ABORT
    good(receiver)


@pytest.mark.parametrize("title", [b"../../../etc", b"'; DROP TABLE--", b"<script>", b"%s%n{0}", b"X" * 16])
def test_odd_ae_titles_are_kept_as_they_are(receiver: Running, title: bytes) -> None:
    with Peer(receiver.port) as peer:
        assert peer.associate(calling=title, called=title) == ACCEPT
        assert peer.store("1.2.3", DATASET) == 0
    assert receiver.stored()["1.2.3"].meta.SendingApplicationEntityTitle == title.decode()


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", bytes(1000), b"\4\0\0\0\0\0", b"\1\0\0\x10\0\0"]
)
def test_a_first_pdu_that_is_none_is_closed_soon(start: Callable[[Limits], Running], first: bytes) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(first=0.5)))
    with Peer(receiver.port, seconds=3) as peer:
        peer.socket.sendall(first)
        while (kind := peer.receive()[0]) != 0:
            assert kind == ABORT
    good(receiver)


def test_a_first_pdu_over_its_limit_is_not_waited_for(receiver: Running) -> None:
    with Peer(receiver.port, seconds=3) as peer:
        peer.socket.sendall(struct.pack(">BBL", 1, 0, (1 << 20) + 1))
        assert peer.receive()[0] == ABORT
    good(receiver)


def test_all_contexts_that_fit_are_negotiated(receiver: Running) -> None:
    with Peer(receiver.port) as peer:
        assert peer.associate([(f"1.2.840.10008.5.1.4.1.1.{n}", (EXPLICIT,)) for n in range(128)]) == ACCEPT
        assert len(peer.accepted) == 128


@pytest.mark.parametrize("stall", ["nothing", "half a PDU", "idle"])
def test_who_keeps_silent_is_closed(start: Callable[[Limits], Running], stall: str) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(first=0.3, pdu=0.3, idle=0.5)))
    with Peer(receiver.port, seconds=5) as peer:
        if stall != "nothing":
            peer.associate()
        if stall == "half a PDU":
            a_command(peer)
            peer.socket.sendall(struct.pack(">BBL", DATA, 0, 1000) + bytes(500))
        while peer.receive()[0] != 0:
            pass
    good(receiver)


def test_a_dripping_peer_is_closed(start: Callable[[Limits], Running]) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(first=0.5, pdu=0.5, idle=5)))
    with Peer(receiver.port) as peer:
        peer.associate()
        peer.socket.sendall(struct.pack(">BBL", DATA, 0, 1000))
        with pytest.raises(OSError):
            for _ in range(40):
                peer.socket.sendall(b"\0")
                time.sleep(0.1)
    good(receiver)


def test_who_does_not_read_the_answers_is_closed(start: Callable[[Limits], Running]) -> None:
    """And not served on with answers of which one is cut."""
    receiver = start(Limits(reserve=0, patience=Patience(pdu=0.5)))
    command = store_command(b"1.2.840.10008.1.1\0", b"", field=0x0030, dataset_type=0x0101)
    echo = struct.pack(">BBLLBB", DATA, 0, len(command) + 6, len(command) + 2, 1, COMMAND | LAST) + command
    with Peer(receiver.port) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.associate()
        with pytest.raises(ConnectionError):
            while True:
                peer.socket.sendall(echo * 1000)
    good(receiver)


def test_more_associations_than_allowed_are_told_to_come_back(start: Callable[[Limits], Running]) -> None:
    receiver = start(Limits(reserve=0, connections=2, patience=Patience(first=0.5)))
    with Peer(receiver.port) as alice, Peer(receiver.port) as bob:
        assert alice.associate() == bob.associate() == ACCEPT
        with Peer(receiver.port) as charlie:
            assert charlie.associate() == REJECT
            assert charlie.answer == bytes([0, 2, 3, 2])  # rejected-transient, local limit exceeded
        assert alice.store("1.2.1", DATASET) == bob.store("1.2.2", DATASET) == 0
    wait_until_free(receiver)
    good(receiver)


def test_idle_connections_beyond_the_limit_are_closed_at_once(receiver: Running) -> None:
    idle = [Peer(receiver.port, seconds=3) for _ in range(8)]
    assert idle[-1].receive()[0] == 0
    for peer in idle:
        peer.socket.close()
    wait_until_free(receiver)
    good(receiver)


def wait_until_free(receiver: Running) -> None:
    until = time.monotonic() + 10
    while True:
        with Peer(receiver.port) as peer:
            try:
                if peer.associate() == ACCEPT:
                    peer.release()
                    return
            except OSError:
                pass
        assert time.monotonic() < until
        time.sleep(0.05)


def test_who_leaves_before_an_association_leaves_its_place(start: Callable[[Limits], Running]) -> None:
    receiver = start(Limits(reserve=0, connections=1, patience=Patience(first=60)))
    for _ in range(5):
        Peer(receiver.port).socket.close()
    wait_until_free(receiver)


def test_a_stop_is_no_failure_to_anybody(receiver: Running) -> None:
    with structlog.testing.capture_logs() as lines, Peer(receiver.port), Peer(receiver.port) as alice:
        alice.associate()
        receiver.stop()
        assert alice.receive()[0] == ABORT
    assert [line["event"] for line in lines if line["log_level"] != "info"] == []


def test_a_stop_does_not_wait_for_who_stalls(start: Callable[[Limits], Running]) -> None:
    receiver = start(Limits(reserve=0, patience=Patience(pdu=60)))
    with Peer(receiver.port) as peer:
        peer.associate()
        a_command(peer)
        peer.socket.sendall(struct.pack(">BBL", DATA, 0, 1000) + bytes(500))
        time.sleep(0.1)
        begun = time.monotonic()
        receiver.stop()
        assert time.monotonic() - begun < 30
    assert receiver.left_over() == []


def test_four_at_once(receiver: Running) -> None:
    failures: list[BaseException] = []

    def send(who: int) -> None:
        try:
            with Peer(receiver.port) as peer:
                peer.associate()
                for instance in range(20):
                    assert peer.store(f"1.{who}.{instance}", bytes([who, instance]) * 40_000) == 0
                peer.release()
        except BaseException as failure:
            failures.append(failure)
            raise

    senders = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert failures == []
    stored = receiver.stored()
    assert len(stored) == 80
    assert all(stored[f"1.{who}.{instance}"].dataset == bytes([who, instance]) * 40_000 for who in range(4) for instance in range(20))
    # One association key each, whatever the order they came in.
    assert len({arrived.envelope for arrived in intake.waiting(receiver.directory)}) == 4


# -- the intake key ----------------------------------------------------------------------------------------------------


def test_without_an_intake_key_nobody_gets_in_and_with_it_everybody(receiver: Running) -> None:
    public = receiver.directory / "public.json"
    kept = public.read_bytes()
    for content in (None, b"", b"{", b"[]", b'{"key_id": "00c0ffee"}', b'{"key_id": 1, "public": "AAAA"}'):
        public.unlink(missing_ok=True)
        if content is not None:
            public.write_bytes(content)
        with Peer(receiver.port) as peer:
            assert peer.associate() == REJECT
            assert peer.answer == bytes([0, 2, 3, 1])  # rejected-transient, temporary congestion
    public.write_bytes(kept)
    good(receiver)


def test_a_new_intake_key_counts_from_the_next_association(receiver: Running) -> None:
    _, public = keys.new_pair()
    with Peer(receiver.port) as before, Peer(receiver.port) as after:
        before.associate()
        intake.write_public(receiver.directory, intake.PublicKey("0000beef", public))
        after.associate()
        assert before.store("1.2.1", DATASET) == after.store("1.2.2", DATASET) == 0
    assert sorted(arrived.key_id for arrived in intake.waiting(receiver.directory)) == ["0000beef", "00c0ffee"]


# -- logs --------------------------------------------------------------------------------------------------------------


def test_logs_name_the_peer_and_never_what_it_sent(receiver: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        with Peer(receiver.port) as peer:
            peer.associate(calling=b"ALICE")
            assert peer.store("1.2.3456789", b"Mustermann^Erika" * 100) == 0
            assert peer.store("1.2.3456789", b"x", sop_class="1.2.840.10008.1.3.10") == 0x0122
            peer.fragment(1, LAST, b"Mustermann^Erika")
            assert peer.receive()[0] == ABORT
            peer.receive()
        receiver.stop()
    said = str(lines)
    assert "'calling': 'ALICE'" in said
    assert "'stored': 1" in said
    assert "Mustermann" not in said
    assert "3456789" not in said
