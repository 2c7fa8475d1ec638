"""What the keyholder writes down by itself: every change for whom, every destroyed key with its proof, a count of what is handed out."""

import hashlib

from keyhouse import House, extended

from appliance.domain.share import DAY
from appliance.keyholder.client import AccessEvent


def seen(house: House, *actions: str) -> list[AccessEvent]:
    return [event for event in house.tick.events(0, 1000) if event.action in actions]


def test_every_change_is_written_down_with_who_asked_for_it(house: House) -> None:
    study = house.study()
    record, _ = house.share(study)
    house.desk.share_change(extended(record).canonical())
    house.desk.share_code(record.share_id)
    house.desk.share_password(record.share_id)
    house.desk.share_unlock(record.share_id)
    for _ in range(2):
        house.desk.share_revoke(record.share_id)
        house.tick.share_close(record.share_id)
    calls = [(event.actor, event.detail["call"], event.study_id, event.share_id) for event in seen(house, "keys-changed")]
    assert calls == [
        ("ingester", "create_study_key", study, None),
        *(
            ("desk", call, None, record.share_id)
            for call in ("share_create", "share_change", "share_code", "share_password", "share_unlock", "share_revoke")
        ),
        ("clock", "share_close", None, record.share_id),
    ]


def test_a_destroyed_key_is_proven(house: House) -> None:
    study = house.study()
    house.share(study)
    wrapped = house.ring.here().execute("SELECT wrapped FROM studies").fetchone()[0]
    house.clock.after(60)
    house.tick.forget_study(study)
    house.tick.forget_study(study)
    (event,) = seen(house, "key-destroyed")
    assert (event.actor, event.at, event.study_id) == ("clock", house.clock(), study)
    assert event.detail == {"epoch": "2026-05", "sha256": hashlib.sha256(wrapped).hexdigest(), "in_shares": 1}


def test_a_months_key_that_is_destroyed_is_proven_too(house: House) -> None:
    study = house.study()
    wrapped = house.ring.here().execute("SELECT wrapped FROM epochs").fetchone()[0]
    house.clock.after(40 * DAY)
    house.tick.forget_study(study)
    of_study, of_month = seen(house, "key-destroyed")
    assert of_study.study_id == study
    assert of_month.study_id is None
    assert of_month.detail == {"epoch": "2026-05", "sha256": hashlib.sha256(wrapped).hexdigest()}


def test_keys_handed_out_are_counted_by_the_hour(house: House) -> None:
    studies = [house.study() for _ in range(3)]
    house.desk.study_keys(studies)
    house.desk.study_keys(studies[:1])
    house.desk.desk_key()
    counts = {(event.actor, event.detail["call"]): event.detail["count"] for event in seen(house, "keys-used")}
    assert counts == {("desk", "desk_key"): 1, ("desk", "study_keys"): 4, ("ingester", "create_study_key"): 3}
    house.desk.desk_key()
    assert len(seen(house, "keys-used")) == 3
    house.clock.after(3600)
    assert [event.detail for event in seen(house, "keys-used")[3:]] == [{"call": "desk_key", "count": 1}]


def test_a_new_intake_key_at_once(house: House) -> None:
    from appliance.keyholder.client import Keyholder

    before = house.ingester.intake_public()
    operator = Keyholder(house.sockets / "operator.sock")
    key_id = operator.rotate_intake()
    again = operator.rotate_intake()
    operator.close()
    assert len({before.key_id, key_id, again}) == 3
    assert house.ingester.intake_public().key_id == again
    assert [event.actor for event in seen(house, "keys-changed")] == ["ingester", "operator", "operator"]
    house.clock.after(DAY + 10)
    house.ingester.retire_intake_keys([before.key_id])
    assert house.desk.status()["intake_keys"] == 2, "the one in use and the newest"
