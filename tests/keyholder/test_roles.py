"""Each role asks everything: the table decides, and nothing that is sent ends the keyholder."""

import json
import socket
import struct
from typing import Any

import pytest
from keyhouse import NOON, House

from appliance.domain.errors import Code, Problem
from appliance.keyholder.calls import CALLS, FRAME_LIMIT, ROLES
from appliance.keyholder.client import Keyholder, Wrong
from appliance.keyholder.server import handlers
from appliance.vault.keys import new_id

ID = "ab" * 16
SENSE: dict[str, dict[str, Any]] = {
    "open_envelope": {"key_id": "00000000", "envelope": "AAAA"},
    "retire_intake_keys": {"in_use": []},
    "create_study_key": {"study_id": ID},
    "study_keys": {"study_ids": [ID]},
    "anchor": {"study_id": ID, "generation": 1, "sha256": "AAAA"},
    "share_create": {"record": "{}"},
    "share_change": {"record": "{}"},
    "share_password": {"share_id": ID},
    "share_code": {"share_id": ID},
    "share_unlock": {"share_id": ID},
    "share_revoke": {"share_id": ID},
    "share_close": {"share_id": ID},
    "open_share": {"code": "1", "password": "2", "prefix": "3"},
    "note": {"action": "share-left", "share_id": ID, "detail": {}},
    "events": {"after": 0, "limit": 10},
    "events_done": {"upto": 0},
    "forget_study": {"study_id": ID},
    "share_digests": {"share_ids": [ID]},
    "rebury": {"studies": [ID], "closed": [ID], "revoked": [ID], "replaced": [ID]},
    "enrol": {"host": "praxis"},
    "withdraw": {"host": "praxis"},
}


def ask(house: House, role: str, request: object) -> dict[str, Any]:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(house.sockets / f"{role}.sock"))
        connection.sendall(struct.pack(">I", len(body)) + body)
        with connection.makefile("rb") as file:
            (length,) = struct.unpack(">I", file.read(4))
            return dict(json.loads(file.read(length)))


def test_every_call_is_answered_by_something(house: House) -> None:
    assert set(handlers(house.ring, 64)) == set(CALLS)


@pytest.mark.parametrize("role", ROLES)
def test_the_table_decides(house: House, role: str) -> None:
    for name, call in CALLS.items():
        answer = ask(house, role, {"call": name, **SENSE.get(name, {})})
        refused = answer.get("problem", {}).get("code") == Code.FORBIDDEN
        assert refused is (role not in call.roles), (name, answer)


def test_the_portal_gets_no_key_without_a_password() -> None:
    assert {name for name, call in CALLS.items() if "portal" in call.roles} == {"status", "open_share", "note"}


NONSENSE: tuple[object, ...] = (
    b"",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"call":' + b"9" * 5000 + b"}",
    {"call": "no such call"},
    {"call": "__init__"},
    {"call": ["events"]},
    {"call": None},
    {"call": "forget_study"},
    {"call": "forget_study", "study_id": "AB" * 16},
    {"call": "forget_study", "study_id": "../" * 10},
    {"call": "forget_study", "study_id": ID, "more": 1},
    {"call": "forget_study", "study_id": None},
    {"call": "events", "after": -1, "limit": 1},
    {"call": "events", "after": 1 << 70, "limit": 1},
    {"call": "events", "after": True, "limit": 1},
    {"call": "events", "after": 0.5, "limit": 1},
)


def test_nonsense_is_refused(house: House) -> None:
    for request in NONSENSE:
        assert ask(house, "clock", request)["problem"]["code"] in (Code.INVALID, Code.FORBIDDEN), request
    assert house.tick.status()["forgotten"] == 0


ODD: tuple[dict[str, Any], ...] = (
    {"code": "\ud800"},
    {"code": "1" * 129},
    {"password": 5},
    {"prefix": "x" * 65},
    {"device": "x" * 129},
    {"device": ["x"]},
)


def test_odd_attempts_are_refused(house: House) -> None:
    for values in ODD:
        request = {"call": "open_share", "code": "1", "password": "2", "prefix": "3", **values}
        assert ask(house, "portal", request)["problem"]["code"] == Code.INVALID, values


def test_odd_devices_are_nobodys(house: House) -> None:
    for device in ("", ".", "é.é", "a" * 32 + "." + "b" * 32, "\x00", "." * 128):
        assert house.portal.open_share("1" * 18, "A", f"prefix {len(device)}", device) == Wrong()


def test_a_frame_that_is_too_long_ends_the_connection_only(house: House) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(house.sockets / "portal.sock"))
        connection.sendall(struct.pack(">I", FRAME_LIMIT + 1))
        assert b"too-large" in connection.recv(1000)
        assert connection.recv(1) == b""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(house.sockets / "portal.sock"))
        connection.sendall(struct.pack(">I", 100) + b"{")
    assert house.portal.status()["provider"] == "file"
    with pytest.raises(Problem) as refused:
        house.desk.share_create("x" * FRAME_LIMIT)
    assert refused.value.code is Code.TOO_LARGE


def test_many_idle_connections_block_only_their_own_role(house: House) -> None:
    idle = []
    for _ in range(70):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(house.sockets / "portal.sock"))
        idle.append(connection)
    assert len(house.ingester.create_study_key(new_id())) == 32
    for connection in idle:
        connection.close()
    assert house.portal.status()["studies"] == 1


def test_sockets_are_given_to_their_role(house: House) -> None:
    assert sorted(path.name for path in house.sockets.iterdir()) == sorted(f"{role}.sock" for role in ROLES)
    house.stop()
    assert list(house.sockets.iterdir()) == []
    house.start()


def test_a_keyholder_that_is_not_there(house: House) -> None:
    house.desk.status()
    house.stop()
    with pytest.raises(Problem) as refused:
        house.desk.status()
    assert refused.value.code is Code.UNAVAILABLE
    house.start()
    assert house.desk.status()["studies"] == 0
    with pytest.raises(Problem) as refused:
        Keyholder(house.sockets / "nobody.sock").status()
    assert refused.value.code is Code.UNAVAILABLE


def test_a_failing_call_is_told_without_its_words(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.ring, "_secrets", {})
    answer = ask(house, "desk", {"call": "desk_key"})
    assert answer["problem"]["code"] == Code.UNAVAILABLE
    assert "desk" not in json.dumps(answer["problem"]["values"])


def test_status_counts(house: House) -> None:
    house.share()
    house.clock.after(60)
    status = house.desk.status()
    assert (status["studies"], status["shares"], status["epochs"], status["provider"]) == (1, 1, 1, "file")
    assert house.clock() == NOON + 60
