"""Sessions: how one begins, what keeps it alive, and everything that ends it."""

import pytest
from rooms import House, Reader
from stack import Stack

from appliance.deeds.sharing import Secrets
from appliance.domain.audit import Action
from appliance.domain.share import ShareRecord
from appliance.portal.sessions import Limits


@pytest.fixture
def made(stack: Stack) -> tuple[ShareRecord, Secrets]:
    return stack.share(stack.put_study(pictures=False))


@pytest.fixture
def alice(house: House, made: tuple[ShareRecord, Secrets]) -> Reader:
    return house.enter(made[1])


def is_in(reader: Reader) -> bool:
    """Asks for a picture that does not exist, which keeps nothing alive."""
    return reader.get("/study/x/y/small.webp").status_code == 404


def why_it_ended(stack: Stack) -> list[str]:
    events = stack.keyholder("clock").events(0, 100)
    return [event.detail["reason"] for event in events if event.action == Action.SHARE_LEFT]


# -- cookies -------------------------------------------------------------------------------------------------------------


def test_the_cookies_are_for_this_host_alone(house: House, made: tuple[ShareRecord, Secrets]) -> None:
    _, letter = made
    session, device = house.reader().try_password(letter.code, letter.password).headers.getlist("Set-Cookie")
    name, *attributes = session.split("; ")
    assert name.startswith("__Host-session=")
    assert len(name.partition("=")[2]) == 43, "32 random bytes, base 64"
    assert set(attributes) == {"Secure", "HttpOnly", "Path=/", "SameSite=Strict"}
    name, *attributes = device.split("; ")
    assert name.startswith("__Host-device=")
    assert {text for text in attributes if not text.startswith("Expires=")} == {
        "Secure", "HttpOnly", "Path=/", "SameSite=Strict", f"Max-Age={400 * 86_400}",
    }  # fmt: skip


def test_the_cookie_is_a_new_one_after_the_password(house: House, made: tuple[ShareRecord, Secrets]) -> None:
    """What somebody else put into the browser before is worth nothing after."""
    reader, thief = house.reader(), house.reader()
    for browser in (reader, thief):
        browser.client.set_cookie("__Host-session", "planted", domain="bilder.example")
    _, letter = made
    first = reader.enter(letter.code, letter.password).cookie("__Host-session")
    assert first not in (None, "planted")
    assert not is_in(thief)
    second = reader.enter(letter.code, letter.password).cookie("__Host-session")
    assert second != first
    thief.client.set_cookie("__Host-session", first or "", domain="bilder.example")
    assert not is_in(thief), "opening again ends the session before"


def test_another_letter_takes_the_place_of_the_first(stack: Stack, house: House, alice: Reader) -> None:
    old_page = alice.token
    _, bobs = stack.share(stack.put_study("Fremd^Charlie", pictures=False))
    alice.enter(bobs.code, bobs.password)
    assert "Fremd, Charlie" in alice.get("/worklist").text
    assert alice.post("/here", {"token": old_page, "page": "1"}).status_code == 403, "the first letter's pages go to the end page"
    assert is_in(alice)
    assert why_it_ended(stack) == ["another letter opened"]


def test_nothing_of_a_session_is_kept_readable(house: House, alice: Reader) -> None:
    cookie = alice.cookie("__Host-session") or ""
    assert cookie not in alice.get("/worklist").text
    assert cookie not in alice.get("/download").location


# -- time ----------------------------------------------------------------------------------------------------------------


def test_five_minutes_without_doing_anything(stack: Stack, alice: Reader) -> None:
    for _ in range(3):
        stack.now.pass_by(4 * 60 + 59)
        assert alice.get("/worklist").status_code == 200
    stack.now.pass_by(5 * 60)
    assert alice.get("/worklist").status_code == 403
    assert why_it_ended(stack) == ["idle"]


def test_a_heartbeat_alone_is_not_doing_something(stack: Stack, alice: Reader) -> None:
    for minute in range(5):
        assert int(alice.check_in("1").text) == 300 - 60 * minute
        stack.now.pass_by(60)
    assert alice.check_in("1").status_code == 403


def test_an_hour_is_the_longest(stack: Stack, alice: Reader) -> None:
    for minute in range(60):
        assert int(alice.check_in("1", active=True).text) == min(300, 3600 - 60 * minute)
        stack.now.pass_by(60)
    assert alice.get("/worklist").status_code == 403
    assert why_it_ended(stack) == ["time is up"]


@pytest.mark.parametrize("field", ["idle", "absolute", "grace", "silence", "ticket"])
def test_the_limits_are_those_of_the_plan(field: str) -> None:
    assert getattr(Limits(), field) == {"idle": 300, "absolute": 3600, "grace": 15, "silence": 120, "ticket": 1800}[field]


# -- windows -------------------------------------------------------------------------------------------------------------


def test_a_closed_window_ends_it_after_a_grace(stack: Stack, alice: Reader) -> None:
    alice.check_in("1")
    alice.leave("1")
    stack.now.pass_by(14)
    assert is_in(alice)
    stack.now.pass_by(1)
    assert not is_in(alice)
    assert why_it_ended(stack) == ["window closed"]


@pytest.mark.parametrize("good_bye_first", [True, False])
def test_reload_and_back_keep_it(stack: Stack, alice: Reader, good_bye_first: bool) -> None:
    """The good-bye of the old page may overtake the request for the new one."""
    alice.check_in("1")
    steps = [lambda: alice.leave("1"), lambda: alice.get("/worklist")]
    for step in steps if good_bye_first else reversed(steps):
        step()
    stack.now.pass_by(60)
    assert alice.check_in("2").status_code == 200
    stack.now.pass_by(60)
    assert is_in(alice)


def test_a_page_from_the_browsers_memory_comes_back(stack: Stack, alice: Reader) -> None:
    """Back without any request (bfcache): the same page checks in again."""
    alice.check_in("1")
    alice.leave("1")
    stack.now.pass_by(10)
    assert alice.check_in("1").status_code == 200
    stack.now.pass_by(100)
    assert is_in(alice)


def test_a_killed_browser_is_noticed_by_its_silence(stack: Stack, alice: Reader) -> None:
    alice.check_in("1")
    stack.now.pass_by(119)
    assert is_in(alice)
    stack.now.pass_by(1)
    assert not is_in(alice)
    assert why_it_ended(stack) == ["window closed"]


def test_a_second_window_keeps_it_until_it_is_closed_too(stack: Stack, alice: Reader) -> None:
    for page in ("1", "2"):
        alice.check_in(page)
    alice.leave("1")
    stack.now.pass_by(60)
    assert is_in(alice)
    alice.leave("2")
    stack.now.pass_by(15)
    assert not is_in(alice)


def test_saving_a_report_opens_no_window(stack: Stack, house: House) -> None:
    study = stack.put_study()
    report = house.add_report(study, pages=1)
    alice = house.enter(stack.share(study)[1])
    alice.check_in("1")
    alice.get(f"/report/{report}/pdf/download")
    alice.leave("1")
    stack.now.pass_by(15)
    assert not is_in(alice)


def test_looking_at_a_pdf_has_as_long_as_sitting_still(stack: Stack, house: House) -> None:
    """A PDF shown by the browser runs no script of ours, so it can send no heartbeat."""
    study = stack.put_study()
    report = house.add_report(study, pages=1)
    alice = house.enter(stack.share(study)[1])
    alice.check_in("1")
    alice.get(f"/report/{report}/pdf")
    alice.leave("1")
    stack.now.pass_by(299)
    assert is_in(alice)


def test_without_script_it_lasts_while_its_reader_reads(stack: Stack, alice: Reader) -> None:
    for _ in range(4):
        assert alice.get("/worklist").status_code == 200
        stack.now.pass_by(299)
    stack.now.pass_by(1)
    assert not is_in(alice)


def test_a_flood_of_pages_is_bounded(house: House, alice: Reader) -> None:
    for number in range(200):
        assert alice.check_in(str(number)).status_code == 200
    assert is_in(alice)


# -- leaving -------------------------------------------------------------------------------------------------------------


def test_logging_out_leaves_nothing(stack: Stack, alice: Reader) -> None:
    ticket = alice.get("/download").location
    answer = alice.end()
    assert (answer.status_code, answer.location) == (303, "/ended?lang=de")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert alice.cookie("__Host-session") is None
    assert alice.get("/worklist").status_code == 403
    assert alice.get(ticket).status_code == 404
    assert why_it_ended(stack) == ["logged out"]
    assert alice.end().status_code == 303, "twice does no harm"


def test_a_page_from_before_the_last_log_in_logs_out_too(house: House, made: tuple[ShareRecord, Secrets], alice: Reader) -> None:
    """There is one session in a browser; its reader pressed log out, in whatever window."""
    _, letter = made
    alice.enter(letter.code, letter.password)
    cookie = alice.cookie("__Host-session") or ""
    alice.post("/logout", {"token": "of a page from before"})
    alice.client.set_cookie("__Host-session", cookie, domain="bilder.example")
    assert not is_in(alice)


@pytest.mark.parametrize("path", ["/logout", "/here", "/gone"])
def test_another_site_ends_nothing(stack: Stack, alice: Reader, path: str) -> None:
    alice.check_in("1")
    answer = alice.post(path, {"token": alice.token, "page": "1"}, site="cross-site")
    assert "Set-Cookie" not in answer.headers
    stack.now.pass_by(60)
    assert is_in(alice)


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ä", "\udcff" * 3])
def test_a_forged_token_ends_nothing(stack: Stack, alice: Reader, token: str) -> None:
    alice.check_in("1")
    form = {"token": token.encode("utf-8", "replace").decode(), "page": "1"}
    assert alice.post("/here", form).status_code == 403
    alice.post("/gone", form)
    stack.now.pass_by(60)
    assert is_in(alice)


def test_an_end_is_told_to_the_practice_even_if_late(stack: Stack, alice: Reader) -> None:
    """Without the keyholder nothing can be noted, but the session ends all the same."""
    stack.stop_keyholder()
    assert alice.end().status_code == 303
    assert not is_in(alice)


# -- tickets -------------------------------------------------------------------------------------------------------------


def test_a_download_may_be_resumed_for_half_an_hour(stack: Stack, alice: Reader) -> None:
    ticket = alice.get("/download").location
    alice.check_in("1")
    alice.leave("1")
    stack.now.pass_by(15)
    assert not is_in(alice)
    stack.now.pass_by(29 * 60)
    answer = alice.get(ticket, Range="bytes=100-")
    assert answer.status_code == 206
    answer.close()
    stack.now.pass_by(29 * 60)
    assert alice.get(ticket, Range="bytes=200-").status_code == 206, "each part counts anew"
    stack.now.pass_by(30 * 60)
    assert alice.get(ticket).status_code == 404


def test_asking_twice_is_the_same_ticket(alice: Reader) -> None:
    assert alice.get("/download").location == alice.get("/download").location


def test_each_session_has_tickets_of_its_own(house: House, made: tuple[ShareRecord, Secrets], alice: Reader) -> None:
    assert alice.get("/download").location != house.enter(made[1]).get("/download").location
