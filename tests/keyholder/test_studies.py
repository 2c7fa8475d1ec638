"""Study keys, epochs, anchors, and the intake's key pairs."""

import pytest
from keyhouse import House

from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY
from appliance.keyholder.client import Opened
from appliance.vault.keys import INTAKE_INFO, new_id, new_key, seal_to


def epochs(house: House) -> list[str]:
    return [row[0] for row in house.ring.here().execute("SELECT epoch FROM epochs ORDER BY epoch").fetchall()]


def test_a_study_has_one_key(house: House) -> None:
    alice, bob = new_id(), new_id()
    key = house.ingester.create_study_key(alice)
    assert len(key) == 32
    assert house.desk.create_study_key(alice) == key
    assert house.ingester.create_study_key(bob) != key
    house.restart()
    assert house.ingester.create_study_key(alice) == key
    assert house.desk.study_keys([new_id() for _ in range(4500)] + [alice])[alice] == key
    unknown = new_id()
    assert house.desk.study_keys([alice, unknown]) == {alice: key, unknown: None}


def test_a_forgotten_study_is_forgotten_everywhere_and_for_good(house: House) -> None:
    alice, other = house.study(), house.study()
    _, secrets = house.share(alice, other)
    house.tick.forget_study(alice)
    house.tick.forget_study(alice)
    assert house.desk.study_keys([alice]) == {alice: None}
    answer = house.portal.open_share(secrets.code, secrets.password, "p", None)
    assert isinstance(answer, Opened)
    assert list(answer.study_keys) == [other]
    with pytest.raises(Problem) as refused:
        house.ingester.create_study_key(alice)
    assert refused.value.code is Code.CONFLICT


def test_a_study_that_was_never_known_can_be_forgotten(house: House) -> None:
    never = new_id()
    house.tick.forget_study(never)
    with pytest.raises(Problem):
        house.ingester.create_study_key(never)


def test_a_months_key_goes_with_its_last_study_once_the_month_is_over(house: House) -> None:
    """The clock starts on 28 May 2026."""
    first, second = house.study(), house.study()
    assert epochs(house) == ["2026-05"]
    house.tick.forget_study(first)
    assert epochs(house) == ["2026-05"]
    house.clock.after(7 * DAY)
    third = house.study()
    assert epochs(house) == ["2026-05", "2026-06"]
    house.tick.forget_study(second)
    assert epochs(house) == ["2026-06"]
    house.tick.forget_study(third)
    assert epochs(house) == ["2026-06"], "it may still be needed this month"
    house.clock.after(40 * DAY)
    house.restart()
    assert epochs(house) == []


def test_the_anchor_does_not_go_back(house: House) -> None:
    study = house.study()
    house.ingester.anchor(study, 1, b"a" * 32)
    house.ingester.anchor(study, 1, b"a" * 32)
    house.desk.anchor(study, 3, b"c" * 32)
    for generation, digest in ((2, b"b" * 32), (3, b"d" * 32), (0, b"c" * 32)):
        with pytest.raises(Problem) as refused:
            house.desk.anchor(study, generation, digest)
        assert refused.value.code is Code.CONFLICT
    with pytest.raises(Problem) as refused:
        house.desk.anchor(new_id(), 1, b"a" * 32)
    assert refused.value.code is Code.NOT_FOUND


def test_one_intake_pair_a_day(house: House) -> None:
    house.clock.after(-house.clock() % DAY)
    monday = house.ingester.intake_public()
    house.clock.after(DAY - 1)
    assert house.ingester.intake_public() == monday
    house.clock.after(1)
    tuesday = house.ingester.intake_public()
    assert tuesday.key_id != monday.key_id
    assert tuesday.public != monday.public
    house.restart()
    assert house.ingester.intake_public() == tuesday


def test_envelopes_open_until_their_pair_is_retired(house: House) -> None:
    key = new_key()
    old = house.ingester.intake_public()
    envelope = seal_to(old.public, key, INTAKE_INFO)
    assert house.ingester.open_envelope(old.key_id, envelope) == key
    with pytest.raises(Problem) as refused:
        house.ingester.open_envelope(old.key_id, envelope[:-1] + bytes([envelope[-1] ^ 1]))
    assert refused.value.code is Code.DAMAGED
    house.clock.after(5 * DAY)
    new = house.ingester.intake_public()
    house.ingester.retire_intake_keys([])
    assert house.ingester.open_envelope(old.key_id, envelope) == key, "an association may have begun just before"
    with pytest.raises(Problem):
        house.ingester.open_envelope(new.key_id, envelope)
    house.clock.after(DAY)
    house.ingester.retire_intake_keys([old.key_id])
    assert house.ingester.open_envelope(old.key_id, envelope) == key
    house.ingester.retire_intake_keys([])
    with pytest.raises(Problem) as refused:
        house.ingester.open_envelope(old.key_id, envelope)
    assert refused.value.code is Code.NOT_FOUND
    assert house.ingester.intake_public() != new, "a day has passed"
    house.ingester.retire_intake_keys([])
    assert house.desk.status()["intake_keys"] == 2


def test_secrets_differ_and_last(house: House) -> None:
    uid, desk = house.ingester.uid_key(), house.desk.desk_key()
    assert uid != desk
    house.restart()
    assert (house.ingester.uid_key(), house.desk.desk_key()) == (uid, desk)
