"""The way in: code, password, and what strangers who try learn from it, which is nothing."""

from collections.abc import Callable

import pytest
from rooms import House, de
from stack import Stack
from werkzeug.test import TestResponse

from appliance.deeds.opening import Later
from appliance.deeds.sharing import Secrets
from appliance.domain.audit import Action
from appliance.domain.codes import check_digit, show_code, show_password
from appliance.domain.share import DAY, Audience
from appliance.keyholder.budgets import DEVICE, FREE, LIFETIME, NETWORK
from appliance.portal.guard import BODY_LIMIT
from appliance.registry import ShareRow

UNKNOWN = "1" * 17 + check_digit("1" * 17)
TYPO = "1" * 17 + str((int(check_digit("1" * 17)) + 1) % 10)


@pytest.fixture
def letter(stack: Stack) -> Secrets:
    return stack.share(stack.put_study(pictures=False))[1]


def attempts(stack: Stack) -> int:
    return int(stack.keyholder("clock").status()["failures_last_hour"])


# -- the code ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        str,
        show_code,
        lambda code: f"  {show_code(code)}\t",
        lambda code: show_code(code).replace(" ", "-"),
        lambda code: show_code(code).replace(" ", "\u00a0"),
        lambda code: show_code(code).replace(" ", "\u202f"),
        lambda code: " ".join(code),
    ],
)
def test_a_code_may_be_typed_as_people_do(house: House, letter: Secrets, spelling: Callable[[str], str]) -> None:
    answer = house.reader().post("/", {"code": spelling(letter.code)})
    assert (answer.status_code, answer.location) == (303, f"/s/{letter.code}")


@pytest.mark.parametrize(
    "typed", ["", "12345", TYPO, UNKNOWN + "1", "O" * 18, "١" * 18, "1" * 100_00, "../worklist", "<script>", "\x00" * 18]
)
def test_a_typo_costs_no_attempt(stack: Stack, house: House, typed: str) -> None:
    stack.stop_keyholder()  # it is not asked
    answer = house.reader().post("/", {"code": typed})
    assert answer.status_code == 422
    assert de("There is a typing error in this code.") in answer.text
    assert "<script>" not in answer.text


def test_a_typo_in_the_link_costs_no_attempt_either(stack: Stack, house: House) -> None:
    stack.stop_keyholder()
    for answer in (house.reader().get(f"/s/{TYPO}"), house.reader().try_password(TYPO, "anything")):
        assert answer.status_code == 404
        assert de("There is a typing error in this code.") in answer.text


def test_a_link_shows_the_same_page_whether_the_code_is_known_or_not(stack: Stack, house: House, letter: Secrets) -> None:
    stack.stop_keyholder()  # nothing is looked up
    known, unknown = (house.reader().get(f"/s/{code}") for code in (letter.code, UNKNOWN))
    assert known.status_code == unknown.status_code == 200
    assert known.headers == unknown.headers
    assert without_code(known) == without_code(unknown)


def test_a_link_with_blanks_leads_to_the_code(house: House, letter: Secrets) -> None:
    answer = house.reader().get(f"/s/{show_code(letter.code)}")
    assert (answer.status_code, answer.location) == (308, f"/s/{letter.code}")


# -- the password --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling", [str, show_password, str.lower, lambda text: f" {text[:3]} {text[3:]} ", lambda text: "-".join(text), None]
)
def test_a_password_may_be_typed_as_people_do(house: House, letter: Secrets, spelling: Callable[[str], str] | None) -> None:
    misread = letter.password.replace("0", "o").replace("1", "l")
    typed = spelling(letter.password) if spelling else misread
    assert house.reader().try_password(letter.code, typed).status_code == 303


def test_a_get_changes_nothing(stack: Stack, house: House, letter: Secrets) -> None:
    """Mail scanners open links, follow those on the page, and bring passwords along in the query."""
    reader = house.reader()
    for path in (
        f"/s/{letter.code}",
        f"/s/{letter.code}?password={letter.password}",
        "/",
        "/help",
        "/logout",
        "/here",
        "/gone",
        "/worklist",
    ):
        for ask in (reader.get, reader.client.head, reader.client.options):
            answer = ask(path)  # type: ignore[operator]
            assert "Set-Cookie" not in answer.headers
    assert attempts(stack) == 0
    assert [event.action for event in stack.keyholder("clock").events(0, 100) if event.actor == "reader"] == []
    assert house.enter(letter).cookie("__Host-session")


@pytest.mark.parametrize("password", ["", " ", " - - ", "."])
def test_no_password_is_no_attempt(stack: Stack, house: House, letter: Secrets, password: str) -> None:
    answer = house.reader().try_password(letter.code, password)
    assert answer.status_code == 422
    assert de("The password is missing.") in answer.text
    assert attempts(stack) == 0


def test_input_is_capped(house: House, letter: Secrets) -> None:
    """What is longer than anything we gave out is cut before it costs work; what fits in front of it counts."""
    reader = house.reader()
    assert reader.try_password(letter.code, "x" * 10_000).status_code == 403
    assert reader.try_password(letter.code, letter.password + " " * 200).status_code == 303
    assert house.reader().try_password(letter.code, "-" * 128 + letter.password).status_code == 422


def test_a_body_that_is_too_large_is_refused(stack: Stack, house: House, letter: Secrets) -> None:
    for path in ("/", f"/s/{letter.code}"):
        answer = house.reader().post(path, {"code": "1", "password": "x" * BODY_LIMIT})
        assert answer.status_code == 413
        assert de("That did not work") in answer.text
    assert attempts(stack) == 0


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_site_cannot_send_the_form(stack: Stack, house: House, letter: Secrets, site: str) -> None:
    reader = house.reader()
    answer = reader.post(f"/s/{letter.code}", {"password": letter.password}, site=site)
    assert answer.status_code == 403
    assert reader.cookie("__Host-session") is None
    assert attempts(stack) == 0


@pytest.mark.parametrize(("origin", "status"), [("https://evil.example", 403), ("null", 303), ("https://bilder.example", 303)])
def test_browsers_without_fetch_metadata_are_known_by_their_origin(house: House, letter: Secrets, origin: str, status: int) -> None:
    answer = house.reader().post(f"/s/{letter.code}", {"password": letter.password}, site=None, Origin=origin)
    assert answer.status_code == status


# -- what a wrong try tells ----------------------------------------------------------------------------------------------


def expire(stack: Stack, _: str) -> None:
    stack.now.pass_by(91 * DAY)


def revoke(stack: Stack, share_id: str) -> None:
    stack.sharing.revoke("desk", share_id)


def lock(stack: Stack, share_id: str) -> None:
    with stack.registry.change(stack.now(), "clock") as change:
        change.update(ShareRow, share_id, locked_at=stack.now())
        change.note(Action.SHARE_LOCKED, share_id=share_id)


REASONS = {
    "This letter has expired": expire,
    "The practice has closed this letter": revoke,
    "This letter is locked": lock,
}


def without_code(answer: TestResponse) -> str:
    code = answer.request.path.rpartition("/")[2]
    return answer.text.replace(code, "CODE").replace(show_code(code), "CODE")


@pytest.mark.parametrize("told", REASONS)
def test_only_the_right_password_is_told_why(stack: Stack, house: House, told: str) -> None:
    record, letter = stack.share(stack.put_study(pictures=False))
    REASONS[told](stack, record.share_id)
    reader = house.reader()
    right, wrong, unknown = (
        reader.try_password(letter.code, letter.password),
        reader.try_password(letter.code, "WRONG"),
        reader.try_password(UNKNOWN, letter.password),
    )
    assert de(told) in right.text
    assert right.status_code == 403
    assert "030\u00a01234567" in right.text, "how to reach the practice"
    assert reader.cookie("__Host-session") is None
    assert de(told) not in wrong.text
    assert (wrong.status_code, wrong.headers) == (unknown.status_code, unknown.headers)
    assert without_code(wrong) == without_code(unknown)


def test_an_early_reader_is_told_when_to_come(stack: Stack, house: House) -> None:
    _, letter = stack.share(stack.put_study(pictures=False), not_before=stack.now() + 2 * DAY)
    assert "26. November 2026, 12:00" in house.reader().try_password(letter.code, letter.password).text
    stack.now.pass_by(2 * DAY)
    assert house.enter(letter).get("/worklist").status_code == 200


def test_the_end_of_an_expired_letter_is_told(stack: Stack, house: House, letter: Secrets) -> None:
    stack.now.pass_by(91 * DAY)
    assert "22. Februar 2027" in house.reader().try_password(letter.code, letter.password).text


# -- budgets -------------------------------------------------------------------------------------------------------------


def test_wrong_passwords_make_one_wait_from_that_network_only(stack: Stack, house: House, letter: Secrets) -> None:
    reader = house.reader()
    for _ in range(FREE):
        assert reader.try_password(letter.code, "WRONG").status_code == 403
    answer = reader.try_password(letter.code, letter.password)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert de("Please wait %(time)s, then try again.", time="30 Sekunden") in answer.text
    assert house.enter(letter, "203.0.113.9"), "another network"
    stack.now.pass_by(30)
    assert house.reader().try_password(letter.code, letter.password).status_code == 303


def test_many_codes_from_one_network_make_it_wait(stack: Stack, house: House, letter: Secrets) -> None:
    bodies = [f"{number:017}" for number in range(NETWORK[0].most)]
    for number, body in enumerate(bodies):
        assert house.reader(f"198.51.100.{number}").try_password(body + check_digit(body), "X").status_code == 403
    assert house.reader("198.51.100.99").try_password(letter.code, letter.password).status_code == 429


def test_a_browser_that_was_here_before_has_tries_of_its_own(stack: Stack, house: House, letter: Secrets) -> None:
    alice = house.enter(letter)
    stranger = house.reader()
    for _ in range(FREE):
        stranger.try_password(letter.code, "WRONG")
    assert stranger.try_password(letter.code, letter.password).status_code == 429
    for _ in range(DEVICE.most):
        assert alice.try_password(letter.code, "WRONG").status_code == 403
    assert alice.try_password(letter.code, letter.password).status_code == 429
    stranger.client.set_cookie("__Host-device", "A" * 500, domain="bilder.example")
    assert stranger.try_password(letter.code, letter.password).status_code == 429


def test_a_letter_is_locked_for_good_after_too_many(stack: Stack, house: House, letter: Secrets) -> None:
    for number in range(LIFETIME):
        house.reader(f"10.0.{number}.1").try_password(letter.code, "WRONG")
    answer = house.reader("203.0.113.9").try_password(letter.code, letter.password)
    assert (answer.status_code, de("Code and password do not fit together.") in answer.text) == (403, True)


def test_too_many_readers_at_once_are_told_to_wait(house: House, letter: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.opening, "open", lambda *_, **__: Later(5, busy=True))
    answer = house.reader().try_password(letter.code, letter.password)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert de("Very many readers are here at this moment.") in answer.text


def test_without_the_keyholder_nobody_comes_in_and_nothing_leaks(stack: Stack, house: House, letter: Secrets) -> None:
    stack.stop_keyholder()
    answers = [house.reader().try_password(code, letter.password) for code in (letter.code, UNKNOWN)]
    for answer in answers:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert de("Just now this does not work") in answer.text
        assert "keyholder" not in answer.text.lower()
    assert answers[0].text == answers[1].text.replace(UNKNOWN, letter.code)


# -- language ------------------------------------------------------------------------------------------------------------


def test_the_language_is_the_browsers_until_the_reader_chooses(house: House, letter: Secrets) -> None:
    reader = house.reader()
    assert '<html lang="de"' in reader.get("/").text
    assert '<html lang="en"' in reader.get("/", Accept_Language="en-GB").text
    chosen = reader.get(f"/s/{letter.code}?lang=en")
    assert "Please enter your password" in chosen.text
    assert f'action="/s/{letter.code}?lang=en"' in chosen.text, "the choice goes along"
    assert reader.post(f"/s/{letter.code}?lang=en", {"password": letter.password}).status_code == 303
    assert "Your images and reports" in reader.get("/worklist").text
    assert "Ihre Bilder und Befunde" in reader.get("/worklist?lang=de").text
    assert "Ihre Bilder und Befunde" in reader.get("/worklist").text
    assert '<html lang="de"' in reader.get("/?lang=xx").text


def test_a_letter_opens_in_its_own_language(stack: Stack, house: House) -> None:
    studies = [stack.put_study(pictures=False)]
    _, letter = stack.sharing.create("desk", studies, audience=Audience.PATIENT, language="en")
    assert "Your images and reports" in house.enter(letter).get("/worklist").text
