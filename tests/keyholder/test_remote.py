"""The keyholder's door for other machines: who is let in, as whom, and that nobody there keeps others out or learns anything."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from keyhouse import House
from structlog.testing import capture_logs
from test_roles import NONSENSE, SENSE

from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY
from appliance.keyholder import client, doors, server
from appliance.keyholder.authority import LIFETIME, Authority
from appliance.keyholder.calls import CALLS, FRAME_LIMIT, REMOTE, ROLES
from appliance.keyholder.client import Keyholder, Opened
from appliance.keyholder.tls import ROLE_URI, SERVER_NAME, Remote, client_context
from appliance.vault.keys import new_id, new_key

SOON = datetime(2099, 1, 1, tzinfo=UTC)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


class Abroad:
    """A keyholder with a door for other machines, and the appliance on machine "praxis" that it has enrolled."""

    def __init__(self, house: House, base: Path) -> None:
        self.house = house
        self.base = base
        self.operator = Keyholder(house.sockets / "operator.sock", timeout=10)
        self.authority = Authority(house.ring)
        self._clients: list[Keyholder] = [self.operator]
        self.enrol()

    @property
    def port(self) -> int:
        return self.house.port

    def enrol(self, host: str = "praxis") -> None:
        for role, credentials in self.operator.enrol(host).items():
            self.file(role).write_text(credentials)

    def file(self, name: str) -> Path:
        return self.base / f"{name}.pem"

    def keyholder(self, credentials: str, timeout: float = 10) -> Keyholder:
        """As whoever has these credentials sees it."""
        self._clients.append(Keyholder(Remote("127.0.0.1", self.port, self.file(credentials)), timeout))
        return self._clients[-1]

    def forge(self, name: str, names: Sequence[str], *, known: bool = True, authority: Authority | None = None, **odd: Any) -> Keyholder:
        """A caller with a certificate that the authority does not give out. `known`: the ring has it nevertheless."""
        by = authority or self.authority
        uris = [x509.UniformResourceIdentifier(each) for each in names]
        identity, fingerprint = by.issue("praxis", uris, odd.get("end", SOON), odd.get("purpose", CLIENT))
        self.file(name).write_text(identity + self.authority.certificate)
        if known:
            with self.house.ring.write() as db:
                db.execute("INSERT INTO clients (fingerprint, host, not_after) VALUES (?, ?, ?)", [fingerprint, name, 1 << 40])
        return self.keyholder(name)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def spoken(self, role: str, **versions: ssl.TLSVersion) -> ssl.SSLSocket:
        """A connection by TLS of the test's own."""
        context = client_context(self.file(role))
        for name, version in versions.items():
            setattr(context, name, version)
        raw = self.raw()
        try:
            return context.wrap_socket(raw, server_hostname=SERVER_NAME)
        except BaseException:
            raw.close()
            raise

    def close(self) -> None:
        for one in self._clients:
            one.close()


@pytest.fixture
def abroad(house: House, tmp_path: Path) -> Iterator[Abroad]:
    house.stop()
    house.listen = True
    house.start()
    made = Abroad(house, tmp_path)
    yield made
    made.close()


def refusal(keyholder: Keyholder) -> Problem:
    with pytest.raises(Problem) as refused:
        keyholder.status()
    return refused.value


def answer(connection: socket.socket) -> dict[str, Any]:
    with connection.makefile("rb") as file:
        (length,) = struct.unpack(">I", file.read(4))
        return dict(json.loads(file.read(length)))


def frame(request: object) -> bytes:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return struct.pack(">I", len(body)) + body


# -- roles -------------------------------------------------------------------------------------------------------------


def test_every_process_but_the_operator_may_be_on_another_machine() -> None:
    assert {*REMOTE, "operator"} == set(ROLES)


@pytest.mark.parametrize("role", REMOTE)
def test_the_table_decides_for_each_certificate(abroad: Abroad, role: str) -> None:
    with abroad.spoken(role) as connection:
        assert answer(connection) == {"ok": None}
        for name, call in CALLS.items():
            connection.sendall(frame({"call": name, **SENSE.get(name, {})}))
            given = answer(connection)
            refused = given.get("problem", {}).get("code") == Code.FORBIDDEN
            assert refused is (role not in call.roles), (name, given)


def test_a_share_is_made_and_opened_from_another_machine(abroad: Abroad) -> None:
    study_id = new_id()
    key = abroad.keyholder("ingester").create_study_key(study_id)
    made = abroad.keyholder("desk").share_create(abroad.house.record(study_id).canonical())
    opened = abroad.keyholder("portal").open_share(made.code, made.password, "p", None)
    assert isinstance(opened, Opened)
    assert opened.study_keys == {study_id: key}


def test_nonsense_is_refused(abroad: Abroad) -> None:
    with abroad.spoken("clock") as connection:
        answer(connection)
        for request in NONSENSE:
            connection.sendall(frame(request))
            assert answer(connection)["problem"]["code"] in (Code.INVALID, Code.FORBIDDEN), request
        connection.sendall(struct.pack(">I", FRAME_LIMIT + 1))
        assert answer(connection)["problem"]["code"] == Code.TOO_LARGE
        assert connection.recv(1) == b""


# -- who is not let in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        [f"{ROLE_URI}operator"],
        [f"{ROLE_URI}receiver"],
        [f"{ROLE_URI}Portal"],
        [f"{ROLE_URI}portal/../desk"],
        [f"{ROLE_URI}"],
        ["urn:other:role:portal"],
        [f"{ROLE_URI}portal", f"{ROLE_URI}desk"],
        [f"{ROLE_URI}portal", f"{ROLE_URI}portal"],
    ],
)
def test_a_certificate_that_does_not_name_exactly_one_role(abroad: Abroad, names: list[str]) -> None:
    refused = refusal(abroad.forge("odd", names))
    assert (refused.code, "certificate" in refused.message) == (Code.UNAVAILABLE, True)


def test_the_forger_of_these_tests_would_get_in_with_a_proper_name(abroad: Abroad) -> None:
    assert abroad.forge("fine", [f"{ROLE_URI}portal"]).status()["provider"] == "file"


def test_other_certificates_are_not_accepted(abroad: Abroad, tmp_path: Path) -> None:
    class Stranger:
        """Another keyholder's ring."""

        secret = staticmethod(lambda _: new_key())

    portal = [f"{ROLE_URI}portal"]
    odd = {
        "not in the ring": abroad.forge("unknown", portal, known=False),
        "another authority's": abroad.forge("foreign", portal, authority=Authority(Stranger())),  # type: ignore[arg-type]
        "ended": abroad.forge("ended", portal, end=datetime.now(UTC) - timedelta(days=1)),
        "a server's": abroad.forge("server", portal, purpose=ExtendedKeyUsageOID.SERVER_AUTH),
    }
    for what, keyholder in odd.items():
        refused = refusal(keyholder)
        assert (refused.code, "certificate" in refused.message) == (Code.UNAVAILABLE, True), what
    assert abroad.keyholder("portal").status()["memory"] in ("locked", "swappable")


def test_without_a_certificate(abroad: Abroad) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=abroad.authority.certificate)
    with abroad.raw() as raw, context.wrap_socket(raw, server_hostname=SERVER_NAME) as connection, pytest.raises(ssl.SSLError):
        connection.recv(1)
    refused = refusal(abroad.keyholder("absent"))
    assert (refused.code, "enrol" in refused.message) == (Code.UNAVAILABLE, True)


def test_an_older_tls_is_not_spoken(abroad: Abroad) -> None:
    with pytest.raises(ssl.SSLError):
        abroad.spoken("portal", minimum_version=ssl.TLSVersion.TLSv1_2, maximum_version=ssl.TLSVersion.TLSv1_2)


def test_what_is_no_tls_ends_with_its_connection(abroad: Abroad) -> None:
    for sent in (frame({"call": "status"}), b"GET / HTTP/1.1\r\n\r\n", bytes(5000), b"\x16\x03\x01\xff\xff" + b"x" * 3000):
        with abroad.raw() as raw:
            raw.sendall(sent)
            with suppress(OSError):  # it may have ended already
                raw.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: _received(raw), b""))
            assert b"provider" not in received
            assert len(received) < 100
    assert abroad.keyholder("desk").status()["studies"] == 0


def _received(raw: socket.socket) -> bytes:
    try:
        return raw.recv(1000)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("name", "purpose"),
    [("keyholder", CLIENT), ("other", ExtendedKeyUsageOID.SERVER_AUTH)],
)
def test_whoever_is_not_the_keyholder_is_told_nothing(abroad: Abroad, name: str, purpose: x509.ObjectIdentifier) -> None:
    """Somebody at the keyholder's address with a certificate of its own authority, but of another purpose or name."""
    abroad.file("impostor").write_text(abroad.authority.issue("praxis", [x509.DNSName(name)], SOON, purpose)[0])
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(abroad.file("impostor"))
    heard: list[bytes] = []

    def pose(listener: socket.socket) -> None:
        raw, _ = listener.accept()
        with raw, suppress(OSError), own.wrap_socket(raw, server_side=True) as connection:
            connection.sendall(frame({"ok": None}))
            heard.append(connection.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=pose, args=(listener,))
        thread.start()
        keyholder = Keyholder(Remote("127.0.0.1", listener.getsockname()[1], abroad.file("portal")), 5)
        with pytest.raises(Problem, match="certificates"):
            keyholder.open_share("1" * 18, "secret", "p", None)
        thread.join()
    assert heard == []


# -- withdrawn, ended, renewed -----------------------------------------------------------------------------------------


def test_a_withdrawn_certificate_ends_open_connections_too(abroad: Abroad) -> None:
    abroad.enrol("klinik")
    klinik = abroad.keyholder("desk")
    abroad.enrol("praxis")
    praxis = abroad.keyholder("portal")
    with abroad.spoken("desk") as connection:
        answer(connection)
        assert abroad.operator.withdraw("praxis") == 2 * len(REMOTE)
        connection.sendall(frame({"call": "desk_key"}))
        assert answer(connection)["problem"]["code"] == Code.UNAVAILABLE
        assert connection.recv(1) == b""
    assert refusal(praxis).code is Code.UNAVAILABLE
    abroad.house.restart()
    assert refusal(praxis).code is Code.UNAVAILABLE
    with pytest.raises(Problem, match="No machine is enrolled"):
        abroad.operator.withdraw("praxis")
    klinik_again = abroad.operator.status()["enrolled"]
    assert klinik_again == {"klinik": LIFETIME // DAY}
    klinik.close()


def test_a_withdrawn_certificate_stays_withdrawn_in_an_older_ring(abroad: Abroad) -> None:
    """Tombstones survive the restoring of an older ring; the rows of that time do not bring a certificate back."""
    ring = abroad.house.ring
    before = [dict(each) for each in ring.here().query("SELECT * FROM clients")]
    abroad.operator.withdraw("praxis")
    with ring.write() as db:
        db["clients"].insert_all(before)
    assert refusal(abroad.keyholder("portal")).code is Code.UNAVAILABLE


def test_certificates_end_and_are_renewed_while_everything_runs(abroad: Abroad) -> None:
    portal = abroad.keyholder("portal")
    assert portal.status()["enrol_anew"] == []
    abroad.house.clock.after(LIFETIME - 30 * DAY)
    assert portal.status()["enrol_anew"] == ["praxis"]
    abroad.house.clock.after(30 * DAY)
    assert refusal(portal).code is Code.UNAVAILABLE
    abroad.enrol()
    assert portal.status()["enrol_anew"] == []
    assert portal.status()["enrolled"] == {"praxis": 730}


@pytest.mark.parametrize("host", ["", "-x", "a b", "../a", "ä", "x" * 65, "a\n"])
def test_a_machine_has_a_plain_name(abroad: Abroad, host: str) -> None:
    with pytest.raises(Problem) as refused:
        abroad.operator.enrol(host)
    assert refused.value.code is Code.INVALID


def test_the_authority_is_the_same_after_a_restart_and_lies_readable_nowhere(abroad: Abroad) -> None:
    before = abroad.authority.certificate
    secret = abroad.house.ring.secret("authority")
    abroad.house.restart()
    assert Authority(abroad.house.ring).certificate == before
    assert secret not in abroad.house.file
    assert abroad.keyholder("portal").status()["studies"] == 0


# -- crowds ------------------------------------------------------------------------------------------------------------


def test_strangers_cannot_keep_others_out(abroad: Abroad, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times as many as may stand at the door, and nobody of them says anything: who has a certificate passes them by."""
    monkeypatch.setattr(doors, "HANDSHAKE", 600.0)
    crowd = [abroad.raw() for _ in range(3 * doors.STRANGERS)]
    began = [abroad.raw() for _ in range(doors.STRANGERS // 2)]
    for raw in began:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a ClientHello
    assert abroad.keyholder("ingester").status()["studies"] == 0
    for raw in crowd[: doors.STRANGERS]:
        assert _received(raw) == b"", "the first had to go"
    for raw in crowd + began:
        raw.close()


def test_a_stranger_has_little_time(abroad: Abroad, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HANDSHAKE", 0.2)
    with abroad.raw() as silent:
        assert _received(silent) == b""


def test_who_is_silent_for_long_is_let_go_and_comes_back(abroad: Abroad, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doors.TlsDoor.idle == doors.IDLE
    monkeypatch.setattr(doors.TlsDoor, "idle", 0.1)
    desk = abroad.keyholder("desk")
    desk.status()
    with abroad.spoken("desk") as connection:
        assert answer(connection) == {"ok": None}
        assert connection.recv(1) == b""
    assert desk.status()["studies"] == 0


def test_no_session_is_resumed(abroad: Abroad) -> None:
    with abroad.spoken("desk") as connection:
        answer(connection)
        assert connection.session is None or not connection.session.has_ticket


def test_many_connections_of_one_role_block_only_that(abroad: Abroad) -> None:
    held = [abroad.spoken("portal") for _ in range(doors.CONNECTIONS)]
    for connection in held:
        assert answer(connection) == {"ok": None}
    refused = refusal(abroad.keyholder("portal"))
    assert (refused.code, "Too many" in refused.message) == (Code.UNAVAILABLE, True)
    assert abroad.keyholder("desk").status()["studies"] == 0
    for connection in held:
        connection.close()


def test_connections_are_kept_for_the_next_call_but_not_for_long(abroad: Abroad, monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[Remote] = []
    dial = client.dial
    monkeypatch.setattr(client, "dial", lambda where: (dialled.append(where), dial(where))[1])
    desk = abroad.keyholder("desk")
    for _ in range(5):
        desk.status()
    assert len(dialled) == 1
    assert client.FRESH < doors.IDLE
    monkeypatch.setattr(client, "FRESH", -1.0)
    desk.status()
    assert len(dialled) == 2
    desk.close()


def test_a_keyholder_that_was_restarted_is_found_again(abroad: Abroad) -> None:
    desk = abroad.keyholder("desk")
    desk.status()
    abroad.house.stop()
    assert refusal(desk).message.startswith("The keyholder does not answer")
    abroad.house.start()
    assert desk.status()["studies"] == 0
    abroad.house.restart()
    assert desk.status()["studies"] == 0, "the connection that was kept has ended, and no call was lost by it"


def test_an_answer_under_way_goes_out_sealed_when_the_keyholder_stops(abroad: Abroad, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending a connection from another thread must neither take the answer nor the encryption off it."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> dict[str, str]:
        asked.set()
        go_on.wait(10)
        return {"provider": "slow"}

    monkeypatch.setattr(server, "status", slow)
    monkeypatch.setattr(server, "end", lambda connection, how: (doors.end(connection, how), go_on.set()))
    answers: list[dict[str, Any]] = []
    desk = abroad.keyholder("desk")
    thread = threading.Thread(target=lambda: answers.append(desk.status()))
    thread.start()
    assert asked.wait(10)
    abroad.house.stop()
    thread.join()
    assert answers == [{"provider": "slow"}]
    abroad.house.start()


def test_nothing_secret_is_logged(abroad: Abroad) -> None:
    with capture_logs() as logs:
        abroad.enrol("neu")
        refusal(abroad.forge("odd", [f"{ROLE_URI}operator"]))
        refusal(abroad.forge("foreign", [f"{ROLE_URI}portal"], known=False))
        with abroad.raw() as raw:
            raw.sendall(b"GET /secret HTTP/1.1\r\n\r\n")
            _received(raw)
        made = abroad.keyholder("desk").share_create(abroad.house.record(abroad.house.study()).canonical())
        abroad.keyholder("portal").open_share(made.code, made.password, "p", None)
    told = json.dumps(logs)
    assert "certificate not accepted" in told
    for secret in (made.code, made.password, "PRIVATE", "secret", abroad.file("desk").read_text().splitlines()[1]):
        assert secret not in told
