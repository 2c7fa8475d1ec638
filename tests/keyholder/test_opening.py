"""Right and wrong codes and passwords; what ends a share; what the ring's file holds."""

import hashlib
import hmac
import sqlite3
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from keyhouse import MEMORY, NOON, PREFIX, House, extended
from structlog.testing import capture_logs

from appliance.domain.codes import check_digit, read_code
from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY
from appliance.keyholder import slots
from appliance.keyholder.client import Busy, Created, Opened, Wrong
from appliance.vault.keys import new_id

WRONG_PASSWORD = "ALICE00000"


def unknown_code() -> str:
    return "1" * 17 + check_digit("1" * 17)


def opened(house: House, secrets: Created, prefix: str = PREFIX, device: str | None = None) -> Opened:
    answer = house.portal.open_share(secrets.code, secrets.password, prefix, device)
    assert isinstance(answer, Opened), answer
    return answer


def test_right_code_and_password_open_the_studies_of_the_share_and_no_other(house: House) -> None:
    alice, charlie = house.study(), house.study()
    record, secrets = house.share(alice)
    house.share(charlie)
    answer = opened(house, secrets)
    assert answer.share_id == record.share_id
    assert answer.record_digest == record.digest()
    assert answer.study_keys == {alice: house.desk.study_keys([alice])[alice]}
    assert read_code(secrets.code) == secrets.code
    assert "Opened(share_id=" in repr(answer)
    assert secrets.password not in repr(secrets)


def test_alice_and_bob_open_the_same_study_each_with_their_own(house: House) -> None:
    study = house.study()
    (_, alice), (_, bob) = house.share(study), house.share(study)
    assert alice.code != bob.code
    assert opened(house, alice).study_keys == opened(house, bob).study_keys
    assert house.portal.open_share(alice.code, bob.password, PREFIX, None) == Wrong()


def test_every_refusal_costs_one_derivation_and_the_same_writes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown, wrong, closed, locked, tampered: nobody can tell them apart by what they cost."""
    (_, known), (closed, gone), (locked, stuck) = house.share(), house.share(), house.share()
    house.desk.share_close(closed.share_id)
    with house.ring.write() as db:
        db.execute("UPDATE shares SET locked_at = 1, failures = 50 WHERE share_id = ?", [locked.share_id])
    derivations: list[int] = []
    derive = slots.argon2id

    def counting(material: bytes, **parameters: Any) -> bytes:
        derivations.append(parameters["memory_kib"])
        return derive(material, **parameters)

    monkeypatch.setattr(slots, "argon2id", counting)
    costs = {}
    for name, code, password in (
        ("unknown", unknown_code(), WRONG_PASSWORD),
        ("wrong", known.code, WRONG_PASSWORD),
        ("closed", gone.code, gone.password),
        ("locked", stuck.code, stuck.password),
    ):
        before = _changes(house)
        assert house.portal.open_share(code, password, f"prefix {name}", None) == Wrong()
        costs[name] = (derivations.copy(), _changes(house) - before)
        derivations.clear()
    assert set(map(str, costs.values())) == {str(([MEMORY], 2))}, costs


def _changes(house: House) -> int:
    """Rows changed so far: each attempt adds its row and counts a failure."""
    with house.ring.write() as db:
        attempts, failures = (
            db.execute(sql).fetchone()[0] for sql in ("SELECT count(*) FROM attempts", "SELECT sum(failures) FROM shares")
        )
    return int(attempts) + int(failures)


def test_an_edited_record_opens_nothing(house: House) -> None:
    record, secrets = house.share()
    house.stop()
    with sqlite3.connect(house.key_dir / "ring.sqlite3") as db:
        db.execute("UPDATE shares SET record = ? WHERE share_id = ?", [extended(record).canonical(), record.share_id])
    db.close()
    house.start()
    assert house.portal.open_share(secrets.code, secrets.password, PREFIX, None) == Wrong()


def test_a_study_put_under_another_share_opens_nothing(house: House) -> None:
    (alice, secrets), (charlie, _) = house.share(), house.share()
    with house.ring.write() as db:
        db.execute("DELETE FROM share_studies WHERE share_id = ?", [alice.share_id])
        db.execute("UPDATE share_studies SET share_id = ? WHERE share_id = ?", [alice.share_id, charlie.share_id])
    assert house.portal.open_share(secrets.code, secrets.password, PREFIX, None) == Wrong()


def test_a_changed_share_keeps_code_and_password(house: House) -> None:
    record, secrets = house.share()
    more = extended(record)
    house.desk.share_change(more.canonical())
    assert opened(house, secrets).record_digest == more.digest()
    house.restart()
    assert opened(house, secrets).record_digest == more.digest()


def test_a_change_that_fails_changes_nothing(house: House) -> None:
    record, secrets = house.share()
    wrong = extended(record).canonical().replace(record.studies[0], new_id())
    with pytest.raises(Problem) as refused:
        house.desk.share_change(wrong)
    assert refused.value.code is Code.NOT_FOUND
    assert opened(house, secrets).record_digest == record.digest()


def test_a_new_password_kills_the_old_one(house: House) -> None:
    record, secrets = house.share()
    password = house.desk.share_password(record.share_id)
    assert password != secrets.password
    assert house.portal.open_share(secrets.code, secrets.password, PREFIX, None) == Wrong()
    assert opened(house, Created(secrets.code, password)).record_digest == record.digest()
    assert house.desk.share_code(record.share_id) == secrets.code


def test_a_password_replaced_while_the_old_one_is_tried(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    record, secrets = house.share()
    derive = slots.argon2id
    replaced: list[str] = []

    def slow(material: bytes, **parameters: Any) -> bytes:
        if not replaced:
            replaced.append("")
            replaced[0] = house.desk.share_password(record.share_id)
        return derive(material, **parameters)

    monkeypatch.setattr(slots, "argon2id", slow)
    with capture_logs() as logs:
        assert house.portal.open_share(secrets.code, secrets.password, PREFIX, None) == Wrong()
    assert logs == [], "no false alarm about a share that was tampered with"
    assert opened(house, Created(secrets.code, replaced[0])).share_id == record.share_id


def test_a_revoked_share_recognises_its_reader_and_holds_no_key(house: House) -> None:
    record, secrets = house.share()
    house.desk.share_revoke(record.share_id)
    house.tick.share_revoke(record.share_id)
    answer = opened(house, secrets)
    assert (answer.share_id, answer.record_digest, answer.study_keys) == (record.share_id, record.digest(), {})
    for call in (house.desk.share_code, house.desk.share_password):
        with pytest.raises(Problem) as refused:
            call(record.share_id)
        assert refused.value.code is Code.CONFLICT
    with pytest.raises(Problem) as refused:
        house.desk.share_change(extended(record).canonical())
    assert refused.value.code is Code.CONFLICT


def test_a_closed_share_is_unknown_for_ever(house: House) -> None:
    record, secrets = house.share()
    house.tick.share_close(record.share_id)
    house.tick.share_close(record.share_id)
    assert house.portal.open_share(secrets.code, secrets.password, PREFIX, None) == Wrong()
    with pytest.raises(Problem) as refused:
        house.desk.share_create(record.canonical())
    assert refused.value.code is Code.CONFLICT
    with pytest.raises(Problem) as refused:
        house.desk.share_code(record.share_id)
    assert refused.value.code is Code.NOT_FOUND


def test_what_is_forgotten_is_not_in_the_file(house: House) -> None:
    """Wrapped keys, code and slot of closed and revoked shares and forgotten studies, among many that stay."""
    shares = [house.share(house.study(), house.study()) for _ in range(15)]
    with house.ring.write() as db:
        blobs = {
            (row["share_id"], name): row[name]
            for row in db.query("SELECT * FROM shares WHERE record != ''")
            for name in ("code", "share_key", "slot_key", "verifier", "code_tag")
        }
        of_shares = {(row["share_id"], row["study_id"]): row["wrapped"] for row in db.query("SELECT * FROM share_studies")}
        of_studies = {row["study_id"]: row["wrapped"] for row in db.query("SELECT * FROM studies")}
    gone: list[bytes] = []
    for number, (record, _) in enumerate(shares):
        first, second = record.studies
        if number % 3 == 0:
            house.tick.share_close(record.share_id)
            gone += [blob for (share_id, _), blob in blobs.items() if share_id == record.share_id]
            gone += [blob for (share_id, _), blob in of_shares.items() if share_id == record.share_id]
        elif number % 3 == 1:
            house.desk.share_revoke(record.share_id)
            gone += [blobs[record.share_id, name] for name in ("code", "share_key", "slot_key")]
            gone += [of_shares[record.share_id, first], of_shares[record.share_id, second]]
        else:
            house.tick.forget_study(first)
            gone += [of_shares[record.share_id, first], of_studies[first]]
    file = house.file
    assert len(gone) == 5 * 7 + 5 * 5 + 5 * 2
    assert [blob for blob in gone if blob in file or blob[:16] in file or blob[-16:] in file] == []
    assert all(of_studies[record.studies[1]] in file for record, _ in shares)
    assert list(opened(house, shares[2][1]).study_keys) == [shares[2][0].studies[1]]


def test_no_code_no_password_no_key_is_readable_in_the_ring(house: House) -> None:
    record, secrets = house.share()
    answer = opened(house, secrets)
    house.portal.open_share(secrets.code, WRONG_PASSWORD, PREFIX, answer.device)
    house.desk.share_password(record.share_id)
    file = house.file
    hidden = [secrets.code, secrets.password, WRONG_PASSWORD, PREFIX, answer.device[:32], answer.device[33:]]
    keys = [*answer.study_keys.values(), house.desk.desk_key(), house.ingester.uid_key(), (house.key_dir / "master.key").read_bytes()]
    assert record.share_id.encode() in file
    assert [text for text in hidden if text.encode() in file] == []
    assert [key for key in keys if key in file or key.hex().encode() in file] == []


def test_a_share_needs_studies_that_exist_and_a_record_in_the_one_form(house: House) -> None:
    with pytest.raises(Problem) as refused:
        house.share(new_id())
    assert refused.value.code is Code.NOT_FOUND
    text = house.record(house.study()).canonical()
    for odd in ("", "{}", "[]", text + " ", text.replace('"de"', '"de" '), text.replace("patient", "stranger"), "[" * 100_000):
        with pytest.raises(Problem) as refused:
            house.desk.share_create(odd)
        assert refused.value.code is Code.INVALID
    house.desk.share_create(text)
    with pytest.raises(Problem) as refused:
        house.desk.share_create(text)
    assert refused.value.code is Code.CONFLICT
    assert house.desk.status()["shares"] == 1


def test_too_many_at_once_are_told_that_we_are_busy(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is derived, 16 wait, the rest is turned away uncharged; and other calls are answered meanwhile."""
    _, secrets = house.share()
    go, derive = threading.Event(), slots.argon2id

    def held(material: bytes, **parameters: Any) -> bytes:
        go.wait(20)
        return derive(material, **parameters)

    monkeypatch.setattr(slots, "argon2id", held)
    answers: list[object] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(house.portal.open_share(unknown_code(), "A", f"prefix {n}", None)))
        for n in range(17)
    ]
    for thread in threads:
        thread.start()
    while house.desk.status()["failures_last_hour"] < 17:
        pass
    assert house.portal.open_share(secrets.code, secrets.password, PREFIX, None) == Busy()
    assert len(house.ingester.create_study_key(new_id())) == 32
    assert house.desk.status()["failures_last_hour"] == 17
    go.set()
    for thread in threads:
        thread.join()
    assert answers == [Wrong()] * 17
    opened(house, secrets)


def test_events_tell_what_readers_did(house: House) -> None:
    record, secrets = house.share()
    opened(house, secrets)
    house.portal.note("report-read", record.share_id, new_id(), {"pages": 2})
    house.clock.after(91 * DAY)
    opened(house, secrets)  # expired: the keyholder does not judge, but it does not call it opened either
    house.desk.share_revoke(record.share_id)
    opened(house, secrets)
    events = house.reader_events(0, 10)
    assert [(event.action, event.at - NOON, event.detail) for event in events] == [
        ("share-opened", 0, {}),
        ("report-read", 0, {"pages": 2}),
        ("share-refused", 91 * DAY, {"state": "expired"}),
        ("share-refused", 91 * DAY, {"state": "revoked"}),
    ]
    assert {event.share_id for event in events} == {record.share_id}
    assert [event.seq for event in house.reader_events(events[1].seq, 1)] == [events[2].seq]
    house.tick.events_done(events[2].seq)
    house.restart()
    assert house.reader_events(0, 10) == events[3:]
    house.tick.events_done(events[3].seq)
    opened(house, secrets)
    assert house.reader_events(0, 10)[0].seq > events[3].seq


def test_the_portal_cannot_note_what_is_not_its_own(house: House) -> None:
    record, _ = house.share()
    for action, detail, code in (
        ("share-locked", {}, Code.FORBIDDEN),
        ("user-in", {}, Code.FORBIDDEN),
        ("nonsense", {}, Code.FORBIDDEN),
        ("report-read", {"actor": "desk"}, Code.INVALID),
        ("report-read", {"self": "x"}, Code.INVALID),
        ("report-read", {"x": "y" * 2000}, Code.TOO_LARGE),
    ):
        with pytest.raises(Problem) as refused:
            house.portal.note(action, record.share_id, None, detail)
        assert refused.value.code is code
    assert house.reader_events(0, 10) == []


def test_a_slot_is_made_as_specified(house: House) -> None:
    """`docs/format.md`, "Shares", spelled out with nothing of ours but the ring's secrets."""
    record, secrets = house.share()
    (row,) = house.ring.here().query("SELECT * FROM shares WHERE share_id = ?", [record.share_id])
    share = bytes.fromhex(record.share_id)

    def prefixed(part: bytes) -> bytes:
        return len(part).to_bytes(4) + part

    kdf = Argon2id(
        salt=row["salt"],
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=MEMORY,
        ad=b"bildbrief/v1/slot" + share,
        secret=house.ring.secret("pepper"),
    )
    secret = kdf.derive(prefixed(secrets.code.encode()) + prefixed(secrets.password.encode()))
    both = HKDFExpand(SHA512(), 64, b"bildbrief/v1/slot\x00" + prefixed(share)).derive(secret)
    assert both[32:] == row["verifier"]
    plain = aes_key_unwrap_with_padding(both[:32], row["slot_key"])
    assert plain[32:] == hashlib.new("sha512_256", prefixed(b"bildbrief/v1/slot") + prefixed(share)).digest()
    ((study, wrapped),) = house.ring.here().execute("SELECT study_id, wrapped FROM share_studies").fetchall()
    key = aes_key_unwrap_with_padding(plain[:32], wrapped)
    context = b"".join(map(prefixed, (b"bildbrief/v1/share-study", share, bytes.fromhex(study), record.digest())))
    assert key == opened(house, secrets).study_keys[study] + hashlib.new("sha512_256", context).digest()
    assert row["code_tag"] == hmac.digest(house.ring.secret("index"), secrets.code.encode(), "sha256")[:16]
