"""How often anybody may try, with a clock that is moved by hand."""

import pytest
from keyhouse import House
from structlog.testing import capture_logs

from appliance.domain.codes import check_digit
from appliance.domain.share import DAY, ShareRecord
from appliance.keyholder import budgets
from appliance.keyholder.client import Created, Opened, Wait, Wrong

HOME, CAFE = "192.0.2.0/24", "2001:db8:12:3400::/56"


class Tries:
    def __init__(self, house: House) -> None:
        self.house = house
        self.record: ShareRecord
        self.alice: Created
        self.record, self.alice = house.share()
        self._codes = 0

    def unknown(self, prefix: str = HOME) -> object:
        """Each time another code that does not exist."""
        self._codes += 1
        digits = f"{self._codes:017}"
        return self.house.portal.open_share(digits + check_digit(digits), "A", prefix, None)

    def wrong(self, prefix: str = HOME, device: str | None = None) -> object:
        return self.house.portal.open_share(self.alice.code, "A", prefix, device)

    def right(self, prefix: str = HOME, device: str | None = None) -> object:
        return self.house.portal.open_share(self.alice.code, self.alice.password, prefix, device)


@pytest.fixture
def tries(house: House) -> Tries:
    return Tries(house)


def test_unknown_codes_ten_a_minute_for_each_network(house: House, tries: Tries) -> None:
    assert [tries.unknown() for _ in range(10)] == [Wrong()] * 10
    assert tries.unknown() == Wait(60)
    house.clock.after(45)
    assert tries.unknown() == Wait(15)
    assert tries.right() == Wait(15), "a code that exists must not be told apart"
    assert tries.unknown(CAFE) == Wrong()
    house.clock.after(15)
    assert tries.unknown() == Wrong()


def test_unknown_codes_sixty_an_hour_for_each_network(house: House, tries: Tries) -> None:
    for _ in range(6):
        assert [tries.unknown() for _ in range(10)] == [Wrong()] * 10
        house.clock.after(100)
    assert tries.unknown() == Wait(3600 - 600)
    assert tries.unknown(CAFE) == Wrong()
    house.clock.after(3000)
    assert tries.unknown() == Wrong()


def test_the_minute_slides(house: House, tries: Tries) -> None:
    """Not twice ten around the turn of a minute."""
    house.clock.after(-house.clock() % 60 + 55)
    for _ in range(10):
        tries.unknown()
    house.clock.after(10)
    assert tries.unknown() == Wait(50)


def test_wrong_passwords_five_then_a_wait_that_doubles(house: House, tries: Tries) -> None:
    assert [tries.wrong() for _ in range(5)] == [Wrong()] * 5
    waits = []
    for _ in range(9):
        answer = tries.wrong()
        assert isinstance(answer, Wait)
        assert tries.right() == answer, "nor may the right one while it lasts"
        waits.append(answer.seconds)
        house.clock.after(answer.seconds)
        assert tries.wrong() == Wrong()
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_an_unknown_code_is_limited_just_like_one_that_exists(house: House, tries: Tries) -> None:
    """Repeating one code tells nothing about it."""
    unknown = "9" * 17 + check_digit("9" * 17)
    answers: dict[str, list[object]] = {}
    for code, prefix in ((tries.alice.code, HOME), (unknown, CAFE)):
        answers[prefix] = []
        for pause in (0, 0, 0, 0, 0, 0, 30, 1, 59, 20, 100):
            house.clock.after(pause)
            answers[prefix].append(house.portal.open_share(code, "A", prefix, None))
    assert answers[HOME] == answers[CAFE]
    assert Wait(30) in answers[HOME]


def test_wrong_passwords_count_against_the_network_like_unknown_codes(house: House, tries: Tries) -> None:
    """Else the eleventh try would tell which of the ten codes before exist."""
    for _ in range(5):
        assert tries.wrong() == Wrong()
        assert tries.unknown() == Wrong()
    assert tries.unknown() == Wait(60)


def test_other_networks_are_not_affected(tries: Tries) -> None:
    for _ in range(5):
        tries.wrong()
    assert isinstance(tries.wrong(), Wait)
    assert isinstance(tries.right(CAFE), Opened)


def test_a_right_password_takes_the_wrong_ones_back(tries: Tries) -> None:
    for _ in range(3):
        for _ in range(4):
            assert tries.wrong() == Wrong()
        assert isinstance(tries.right(), Opened)


def test_nobody_can_lock_a_returning_patient_out(house: House, tries: Tries) -> None:
    first = tries.right()
    assert isinstance(first, Opened)
    for _ in range(5):
        tries.wrong()
    for _ in range(5):
        tries.unknown()
    assert isinstance(tries.right(), Wait)
    again = tries.right(device=first.device)
    assert isinstance(again, Opened)
    assert again.device == first.device, "the cookie stays"
    assert isinstance(tries.right(), Opened), "and whoever proved the password need not wait either"


def test_a_device_has_ten_tries_a_day_and_is_then_like_others(house: House, tries: Tries) -> None:
    first = tries.right()
    assert isinstance(first, Opened)
    assert [tries.wrong(device=first.device) for _ in range(10)] == [Wrong()] * 10
    assert [tries.wrong(device=first.device) for _ in range(5)] == [Wrong()] * 5, "now at the network's expense"
    assert tries.wrong(device=first.device) == Wait(30)
    assert isinstance(tries.right(CAFE), Opened), "its tries were its own"
    house.clock.after(DAY)
    assert tries.wrong(device=first.device) == Wrong()


def test_a_device_is_good_for_its_own_share_only(house: House, tries: Tries) -> None:
    _, charlie = house.share()
    opened = house.portal.open_share(charlie.code, charlie.password, CAFE, None)
    assert isinstance(opened, Opened)
    for _ in range(5):
        tries.wrong()
    forged = opened.device[:-1] + ("0" if opened.device[-1] != "0" else "1")
    for device in (opened.device, forged, "", None):
        assert tries.wrong(device=device) == Wait(30)


def test_fifty_wrong_passwords_lock_a_share_until_the_desk_unlocks_it(house: House, tries: Tries) -> None:
    for number in range(50):
        assert tries.wrong(f"network {number}") == Wrong()
    assert tries.right("network 50") == Wrong(), "locked looks like wrong"
    assert house.desk.status()["shares_locked"] == 1
    seen = [(event.action, event.share_id) for event in house.reader_events(0, 100)]
    assert seen.count(("share-locked", tries.record.share_id)) == 1
    assert seen.count(("share-refused", tries.record.share_id)) == 51
    house.restart()
    assert tries.right("network 51") == Wrong()
    house.desk.share_unlock(tries.record.share_id)
    assert isinstance(tries.right("network 50"), Opened)
    actions = [event.action for event in house.reader_events(0, 100)]
    assert (actions.count("share-locked"), actions[-1]) == (1, "share-opened")


def test_the_fiftieth_try_may_still_be_right(house: House, tries: Tries) -> None:
    for number in range(49):
        tries.wrong(f"network {number}")
    assert isinstance(tries.right("network 49"), Opened)
    assert tries.wrong("network 50") == Wrong()
    assert tries.right("network 51") == Wrong(), "a right one does not take back what others tried"


def test_a_new_password_unlocks_and_ends_the_wait(house: House, tries: Tries) -> None:
    for number in range(50):
        tries.wrong(f"network {number // 5}")
    tries.alice = Created(tries.alice.code, house.desk.share_password(tries.record.share_id))
    assert isinstance(tries.right("network 1"), Opened)
    assert house.desk.status()["shares_locked"] == 0


def test_unknown_codes_never_lock_anything(house: House, tries: Tries) -> None:
    for number in range(60):
        assert tries.unknown(f"network {number}") == Wrong()
    seen = house.reader_events(0, 100)
    assert {event.action for event in seen} == {"share-refused"}
    assert tries.record.share_id not in {event.share_id for event in seen}
    assert isinstance(tries.right(), Opened)


def test_budgets_survive_a_restart(house: House, tries: Tries) -> None:
    for _ in range(5):
        tries.wrong()
    house.restart()
    assert tries.wrong() == Wait(30)
    house.clock.after(30)
    assert tries.wrong() == Wrong()
    assert tries.wrong() == Wait(60)


def test_old_attempts_are_dropped(house: House, tries: Tries) -> None:
    for number in range(20):
        tries.unknown(f"network {number}")
    house.clock.after(DAY)
    tries.unknown()
    (count,) = house.ring.here().execute("SELECT count(*) FROM attempts").fetchone()
    assert count == 1


def test_a_flood_of_wrong_tries_raises_one_alarm_an_hour(house: House, tries: Tries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "ALARM", budgets.Limit(3600, 5))
    with capture_logs() as logs:
        for number in range(8):
            tries.unknown(f"network {number}")
    assert [entry["count"] for entry in logs if entry["event"] == "many wrong codes and passwords"] == [5]
