"""DICOM over TLS: whoever shows a trusted certificate sends as before, by the profile's means only; nobody else gets to speak DICOM."""

import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from certificates import Pair, Workshop
from cryptography import x509
from programs import which
from pynetdicom import AE, _config, build_context
from receiving import NOW, Running, Sample
from structlog.testing import capture_logs
from wire import ACCEPT, COMMAND, CT, DATA, EXPLICIT, LAST, REJECT, Peer, store_command, uid

from appliance.certificates import pem
from appliance.receiver import credentials
from appliance.receiver.credentials import Credentials
from appliance.receiver.guard import Refusal
from appliance.receiver.limits import Limits, Patience
from appliance.receiver.tls import AE_URI, ae_of, context
from appliance.vault import intake

TODAY = 1_790_000_000  # in 2026, when certificates that are made here begin
DATASET = bytes(300_000)


class Practice:
    """A receiver with a certificate of its own making, for Alice's scanner CT1 and whoever else is let in."""

    def __init__(self, directory: Path, start: Callable[..., Running], patience: Patience = Patience()) -> None:  # noqa: B008 (frozen)
        self.directory = directory / "dicom"
        (self.directory / "trusted").mkdir(parents=True)
        self.credentials = Credentials(self.directory, lambda: TODAY)
        self.credentials.make(["localhost", "127.0.0.1"])
        self.ca = directory / "ca.pem"
        self.ca.write_text(pem(self.credentials.authority.certificate))
        self.shop = Workshop(directory / "shop")
        self.ct1 = self.issue("CT1")
        self.trust(self.ct1)
        self.receiver = start(Limits(reserve=0, patience=patience), tls=partial(context, self.directory))

    @property
    def port(self) -> int:
        return self.receiver.tls_port

    def issue(self, ae_title: str) -> Pair:
        """A modality's certificate, made here, and not let in yet."""
        files = self.credentials.issue(ae_title).files
        directory = self.shop.directory / quote(ae_title, safe="")
        directory.mkdir()
        pair = Pair(directory / "key.pem", directory / "certificate.pem")
        for path in pair:
            path.write_bytes(files[path.name])
        return pair

    def trust(self, pair: Pair) -> None:
        """As `bildbrief dicom trust add`, which would look closer."""
        certificate = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        (self.directory / "trusted" / f"{certificate.serial_number:x}.pem").write_text(pem(certificate))

    def client(self, pair: Pair | None, **settings: object) -> ssl.SSLContext:
        """A peer that would take anything, unless told otherwise."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def peer(self, pair: Pair | None, **settings: object) -> Peer:
        peer = Peer(self.port)
        try:
            peer.socket = self.client(pair, **settings).wrap_socket(peer.socket, server_hostname="127.0.0.1")
        except BaseException:
            peer.socket.close()
            raise
        return peer

    def send(self, sop_instance: str, pair: Pair, *, calling: bytes = b"CT1") -> None:
        with self.peer(pair) as peer:
            assert peer.associate(calling=calling) == ACCEPT
            assert peer.store(sop_instance, DATASET) == 0
            peer.release()
        assert self.receiver.stored()[sop_instance].dataset == DATASET

    def refuses(self, pair: Pair | None) -> None:
        """No DICOM is spoken with whoever has this. In TLS 1.3 a client learns that only when it reads."""
        before = set(self.receiver.stored())
        with pytest.raises((ssl.SSLError, ConnectionError)), self.peer(pair) as peer:
            peer.send(1, bytes(1000))
            assert peer.receive() == (0, b""), "an answer"
            raise ConnectionError
        assert set(self.receiver.stored()) == before


@pytest.fixture
def practice(tmp_path: Path, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> Practice:
    monkeypatch.setattr(credentials, "_BITS", 2048)  # made in a fraction of the time
    return Practice(tmp_path, start)


def program(name: str, *words: str | Path, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run([which(name), *words], input=stdin, capture_output=True, text=True, timeout=60, check=False)


# -- who is let in, and what comes of it -------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_every_file_arrives_byte_for_byte(
    practice: Practice, samples: list[Sample], version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # the file's bytes, unread
    pairs = sorted({(sample.sop_class, sample.transfer_syntax) for sample in samples})
    context = practice.client(practice.ct1, minimum_version=version, maximum_version=version)
    association = AE("CT1").associate(
        "127.0.0.1", practice.port, contexts=[build_context(*pair) for pair in pairs], tls_args=(context, "127.0.0.1")
    )
    assert association.is_established
    for sample in samples:
        assert association.send_c_store(sample.path).Status == 0
    association.release()
    stored = practice.receiver.stored()
    assert {uid: one.dataset for uid, one in stored.items()} == {sample.sop_instance: sample.dataset for sample in samples}
    assert {str(one.meta.TransferSyntaxUID) for one in stored.values()} == {sample.transfer_syntax for sample in samples}
    assert {arrived.arrived_at for arrived in intake.waiting(practice.receiver.directory)} == {NOW}


@pytest.mark.parametrize("profile", ["--profile-bcp195-nd", "--profile-bcp195", "--profile-bcp195-ex"])
def test_dcmtk_sends_by_each_of_its_profiles(
    practice: Practice, start: Callable[..., Running], samples: list[Sample], profile: str
) -> None:
    plain = start(Limits(reserve=0))
    tls = ["+tls", practice.ct1.key, practice.ct1.certificate, "+cf", practice.ca, profile]
    files = [each.path for each in samples if (each.sop_class, each.transfer_syntax) == (CT, EXPLICIT)]
    for options, port in ((tls, practice.port), ([], plain.port)):
        for name, sent in (("echoscu", []), ("storescu", files)):
            done = program(name, *options, "-aet", "CT1", "-aec", "BILDBRIEF", "127.0.0.1", str(port), *sent)
            assert done.returncode == 0, done.stderr
    assert practice.receiver.stored() == plain.stored()
    assert len(plain.stored()) == len(files) > 0


def test_dcmtk_without_a_certificate(practice: Practice) -> None:
    assert program("echoscu", "+tla", "-ic", "-aet", "CT1", "127.0.0.1", str(practice.port)).returncode != 0


def test_many_small_messages_in_one_record_are_all_answered(practice: Practice) -> None:
    """What is decrypted already, no `select` on the socket announces."""

    def pdu(control: int, data: bytes) -> bytes:
        return struct.pack(">BBLLBB", DATA, 0, len(data) + 6, len(data) + 2, 1, control) + data

    with practice.peer(practice.ct1) as peer:
        peer.associate(calling=b"CT1")
        commands = [store_command(uid(CT), uid(f"1.2.{number}")) for number in range(20)]
        peer.socket.sendall(b"".join(pdu(COMMAND | LAST, command) + pdu(LAST, b"small.") for command in commands))
        assert [peer.status() for _ in commands] == [0] * 20
        peer.release()
    assert len(practice.receiver.stored()) == 20


@pytest.mark.parametrize("kind", ["rsa:2048", "P-256", "P-384"])
def test_modalities_that_make_their_own_certificate(practice: Practice, kind: str) -> None:
    own = practice.shop.modality("MR", kind=kind)
    practice.refuses(own)
    practice.trust(own)
    practice.send("1.2.1", own, calling=b"ANY NAME")


def test_modalities_of_an_authority_that_is_trusted(practice: Practice) -> None:
    hospital = practice.shop.authority()
    between = practice.shop.authority("radiology", signer=hospital)
    direct, by_chain = practice.shop.modality("MR", signer=hospital), practice.shop.modality("US", signer=between)
    practice.refuses(direct)
    practice.trust(hospital)
    practice.send("1.2.1", direct)
    by_chain.certificate.write_bytes(by_chain.certificate.read_bytes() + between.certificate.read_bytes())
    practice.send("1.2.2", by_chain)


def test_a_certificate_that_was_made_here_is_for_one_ae_title(practice: Practice) -> None:
    title = practice.issue("CT 2/B")
    practice.trust(title)
    practice.send("1.2.1", title, calling=b"CT 2/B")
    with practice.peer(title) as peer:
        assert peer.associate(calling=b"CT1") == REJECT
        assert peer.answer[1:4] == bytes([1, 1, 3])  # PS3.8 9.3.4: permanent, by the user, calling AE title not recognized
        assert peer.receive()[0] == 0


@pytest.mark.parametrize(
    ("names", "title"),
    [
        ([("URI", f"{AE_URI}CT1")], "CT1"),
        ([("URI", f"{AE_URI}CT%201%2FA")], "CT 1/A"),
        ([], None),
        ([("DNS", "ct1.praxis")], None),
        ([("URI", "urn:other:ae:CT1")], None),
        ([("URI", f"{AE_URI}CT1"), ("DNS", "ct1.praxis")], None),  # we make no such certificate
    ],
)
def test_whose_certificate_it_is(names: list[tuple[str, str]], title: str | None) -> None:
    assert ae_of({"subjectAltName": tuple(names)} if names else {}) == title


# -- who is not --------------------------------------------------------------------------------------------------------


def test_no_certificate(practice: Practice) -> None:
    practice.refuses(None)
    practice.send("1.2.1", practice.ct1)


def test_other_certificates(practice: Practice) -> None:
    shop = practice.shop
    odd = {
        "ended": shop.modality("ended", dates="20200101:20210101"),
        "not yet": shop.modality("early", dates="20480101:20490101"),
        "a server's": shop.server("server"),
        "of 1024 bits": shop.modality("weak", kind="rsa:1024"),
    }
    for pair in odd.values():
        practice.trust(pair)
    leaf = shop.make("leaf", "basicConstraints=CA:false", "extendedKeyUsage=clientAuth")
    practice.trust(leaf)
    odd["by somebody who may not sign"] = shop.modality("forged", signer=leaf)
    sha1 = shop.authority("old")
    practice.trust(sha1)
    odd["signed with SHA-1"] = shop.modality("sha1", signer=sha1, md="sha1")
    odd["made here, but never let in"] = practice.issue("CT9")
    for pair in odd.values():
        practice.refuses(pair)
    practice.send("1.2.1", practice.ct1)


def test_trust_withdrawn_counts_from_the_next_connection_on(practice: Practice) -> None:
    (before,) = practice.credentials.trusted()
    practice.send("1.2.1", practice.ct1)
    practice.credentials.distrust(before.fingerprint)
    practice.refuses(practice.ct1)


def test_a_new_certificate_counts_from_the_next_connection_on(practice: Practice) -> None:
    def shown() -> bytes | None:
        with practice.peer(practice.ct1) as peer:
            assert isinstance(peer.socket, ssl.SSLSocket)
            return peer.socket.getpeercert(binary_form=True)

    first = shown()
    practice.credentials.make(["127.0.0.1"])
    assert shown() != first
    (practice.directory / "server.pem").unlink()
    practice.refuses(practice.ct1)
    practice.credentials.make(["127.0.0.1"])
    practice.send("1.2.1", practice.ct1)


# -- versions and ciphers ----------------------------------------------------------------------------------------------


def s_client(practice: Practice, *options: str, stdin: str = "") -> str:
    """What openssl tells of a handshake; "" if there was none. It takes a line "R" for an order to renegotiate."""
    pair = practice.ct1
    words = ["-connect", f"127.0.0.1:{practice.port}", "-cert", pair.certificate, "-key", pair.key, "-CAfile", practice.ca, *options]
    done = program("openssl", "s_client", *words, stdin=stdin)
    return done.stdout + done.stderr if "Verify return code: 0 (ok)" in done.stdout and "Cipher is (NONE)" not in done.stdout else ""


@pytest.mark.parametrize(
    ("options", "spoken"),
    [
        ([], "TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"),
        (["-tls1_2"], "TLSv1.2, Cipher is ECDHE-RSA-AES256-GCM-SHA384"),
        (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "TLSv1.2, Cipher is ECDHE-RSA-AES128-GCM-SHA256"),
        (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"], "Cipher is ECDHE-RSA-AES256-GCM-SHA384"),
        (["-ciphersuites", "TLS_AES_128_GCM_SHA256"], "TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"),
        (["-groups", "P-256"], "Server Temp Key: ECDH, prime256v1"),
        (["-groups", "X25519"], "Server Temp Key: X25519"),
    ],
)
def test_what_the_profile_asks_for_is_spoken(practice: Practice, options: list[str], spoken: str) -> None:
    assert spoken in s_client(practice, *options)


@pytest.mark.parametrize(
    "options",
    [
        ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "AES256-GCM-SHA384"],  # no ephemeral key
        ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"],  # CBC
        ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA"],
        ["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"],
        ["-tls1_2", "-cipher", "AECDH-AES256-SHA:@SECLEVEL=0"],  # nobody shows a certificate
        ["-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0"],
    ],
)
def test_what_the_profile_does_not_allow_is_refused(practice: Practice, options: list[str]) -> None:
    assert s_client(practice, *options) == ""
    assert s_client(practice) != ""


def test_no_session_is_resumed_and_none_renegotiated(practice: Practice) -> None:
    assert "TLS session ticket:" not in s_client(practice, "-tls1_2")
    assert "New Session Ticket arrived" not in s_client(practice, "-tls1_3", "-ign_eof")
    told = s_client(practice, "-tls1_2", "-reconnect")
    assert told.count("New, TLSv1.2") == 6, "five times more"
    assert "Reused" not in told
    assert "no renegotiation" in s_client(practice, "-tls1_2", stdin="R\n")


# -- what is no TLS, or does not go on ---------------------------------------------------------------------------------


def test_plain_dicom_on_the_tls_port(practice: Practice) -> None:
    with capture_logs() as lines:
        with Peer(practice.port) as peer:
            assert peer.associate(calling=b"CT1") not in (ACCEPT, REJECT)
        practice.receiver.stop()
    assert practice.receiver.refusals.total == {Refusal.NOT_TLS: 1}
    assert "CT1" not in repr(lines)


def test_tls_on_the_plain_port(practice: Practice) -> None:
    with socket.create_connection(("127.0.0.1", practice.receiver.port), timeout=10) as raw, pytest.raises((ssl.SSLError, ConnectionError)):
        practice.client(practice.ct1).wrap_socket(raw, server_hostname="127.0.0.1").close()
    practice.send("1.2.1", practice.ct1)


@pytest.fixture
def stalling(practice: Practice) -> Iterator[list[socket.socket]]:
    """Peers that open a connection and say nothing, or the beginning of a handshake."""
    found = [socket.create_connection(("127.0.0.1", practice.port), source_address=(f"127.0.0.{who}", 0)) for who in range(2, 8)]
    for one in found[2:]:
        one.sendall(b"\x16\x03\x01\x00\x04\x01")
    for one in found[4:]:
        one.sendall(b"\x00\x01\x00")  # the record is whole, the handshake has begun
    yield found
    for one in found:
        one.close()


def test_who_stalls_in_the_handshake_holds_up_nobody(practice: Practice, stalling: list[socket.socket]) -> None:
    practice.send("1.2.1", practice.ct1)
    for one in stalling:
        one.setblocking(False)
        with pytest.raises(BlockingIOError):  # they are still there
            one.recv(1)


def test_who_stalls_is_let_go(tmp_path: Path, start: Callable[..., Running]) -> None:
    practice = Practice(tmp_path, start, Patience(first=0.5))
    with closing(socket.create_connection(("127.0.0.1", practice.port), timeout=30)) as silent:
        assert silent.recv(1) == b""
    with closing(socket.create_connection(("127.0.0.1", practice.port), timeout=30)) as dripping:
        with suppress(ConnectionError):
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 40:
                dripping.sendall(bytes([byte]))
                if threading.Event().wait(0.05):
                    break
        with suppress(ConnectionError):
            assert dripping.recv(1) == b""
    practice.send("1.2.1", practice.ct1)


def test_a_connection_that_is_cut_leaves_nothing_behind(practice: Practice) -> None:
    with practice.peer(practice.ct1) as peer:
        peer.associate(calling=b"CT1")
        peer.fragment(1, 3, b"")
        peer.reset()
    practice.send("1.2.1", practice.ct1)
    assert practice.receiver.left_over() == []
