"""The portal in Chromium: by keyboard alone, without script, on any screen; readable for everybody, and silent to the outside."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import Watched
from everypage import enter, every_page
from playwright.sync_api import Browser, Locator, Page, expect
from rooms import House, de, serving
from stack import Stack

from appliance.deeds.opening import Later
from appliance.deeds.sharing import Secrets

PHONE, SMALL, TABLET, DESKTOP = (390, 844), (320, 568), (820, 1180), (1280, 860)
EVERYTHING = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}  # WCAG 2.2, 2.5.8: off unless asked for
COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}

NOTES = ("the server responded with a status of ", "Clear-Site-Data header on ")
"""What Chromium says of refusals and log-outs that are as they should be."""

BEYOND = """() => [...document.querySelectorAll("body, body *")]
  .filter((element) => element.checkVisibility() && !element.matches(".skip, svg *"))
  .filter((element) => element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== "inline"
    || element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((element) => element.outerHTML.slice(0, 100))"""
"""What is wider than its place: it would scroll sideways, be cut off, or lie over its neighbour."""


@pytest.fixture
def portal(house: House) -> Iterator[str]:
    with serving(house) as address:
        yield address


@pytest.fixture
def letter(stack: Stack, house: House) -> Secrets:
    """A letter as they are: an examination of several series with long names, and its report."""
    series = (("CT", "Topogramm", 1), ("CT", "Thorax nativ 5,0 Br36 S3 axial", 4), ("CT", "Lunge 1,0 Bl57_Weichteilfenster_koronar_MPR", 2))
    study = stack.put_study("Öztürk-Hofmann^Alice Magdalena", series=series, InstitutionName="Radiologie am Markt MVZ GmbH, Standort Nord")
    house.add_report(study, "Befund CT Thorax nativ mit KM-Serie", pages=2)
    return stack.share(study)[1]


@pytest.fixture
def watched(chromium: Browser, portal: str) -> Iterator[Watched]:
    made = Watched(chromium, portal, viewport=size(PHONE))
    yield made
    made.close(*NOTES)


def size(of: tuple[int, int]) -> dict[str, int]:
    return {"width": of[0], "height": of[1]}


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the focus is there, as people without a mouse do."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"no way to {target} by keyboard")


# -- ways through --------------------------------------------------------------------------------------------------------


def test_the_whole_way_by_keyboard_alone(watched: Watched, letter: Secrets) -> None:
    page, keys = watched.page, watched.page.keyboard
    page.goto("/")
    expect(page.locator("#code")).to_be_focused()
    keys.type(letter.code[:-1])
    expect(page.locator("#code-state")).to_have_text("17 von 18 Ziffern")
    keys.type(str((int(letter.code[-1]) + 1) % 10))
    expect(page.locator("#code-state")).to_have_class("state bad")
    keys.press("Backspace")
    keys.type(letter.code[-1])
    expect(page.locator("#code-state")).to_have_class("state good")
    assert page.input_value("#code") == " ".join(letter.code[at : at + 3] for at in range(0, 18, 3))
    keys.press("Enter")
    expect(page.locator("#password")).to_be_focused()
    keys.type(letter.password.lower())
    tab_to(page, page.locator("#show"))
    keys.press("Enter")
    assert page.input_value("#password[type=text]") == letter.password.lower()
    keys.press("Enter")
    page.wait_for_url("**/worklist")
    keys.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    keys.press("Enter")
    tab_to(page, page.locator("a.look"))
    keys.press("Enter")
    tab_to(page, page.locator(".series a").nth(2))
    keys.press("Enter")
    expect(page.locator(".series a").nth(2)).to_have_attribute("aria-current", "true")
    assert page.locator("#picture img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 90
    tab_to(page, page.locator(".reports a"))
    keys.press("Enter")
    expect(page.locator(".sheet")).to_have_count(2)
    page.go_back()
    with page.expect_download() as download:
        tab_to(page, page.locator("a[href^='/download']"))
        keys.press("Enter")
    assert download.value.suggested_filename == "bilder.zip"
    assert Path(download.value.path()).read_bytes().startswith(b"PK")
    tab_to(page, page.locator("form[action='/logout'] button"))
    keys.press("Enter")
    expect(page.locator("h1")).to_have_text(de("You are logged out"))
    page.go_back()
    expect(page.locator("h1")).to_have_text(de("You are logged out"))


def test_everything_works_without_script(stack: Stack, chromium: Browser, portal: str, letter: Secrets) -> None:
    watched = Watched(chromium, portal, java_script_enabled=False, viewport=size(PHONE))
    page = watched.page
    page.goto("/")
    page.fill("#code", letter.code)
    page.keyboard.press("Enter")
    expect(page.locator("#show")).to_be_hidden()
    page.fill("#password", letter.password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/worklist")
    page.click("a.look")
    page.click(".series li:last-child a")
    expect(page.locator("#picture img")).to_be_visible()
    page.click(".back a")
    page.click(".reports a")
    expect(page.locator(".sheet")).to_have_count(2)
    stack.now.pass_by(299)
    page.click(".back a")
    with page.expect_download():
        page.click(".download a")
    page.click("form[action='/logout'] button")
    expect(page.locator("h1")).to_have_text(de("You are logged out"))
    watched.close(*NOTES)


def test_a_wait_is_counted_down(house: House, watched: Watched, letter: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(house.opening, "open", lambda *_, **__: Later(2))
        watched.page.goto(f"/s/{letter.code}")
        watched.page.fill("#password", "x")
        watched.page.keyboard.press("Enter")
        expect(watched.page.locator("#password-form .main")).to_be_disabled()
    expect(watched.page.locator("#wait")).to_have_text(de("You can try again now."))
    watched.page.fill("#password", letter.password)
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_url("**/worklist")


# -- windows -------------------------------------------------------------------------------------------------------------


def checked_in(page: Page, act: Callable[[], object]) -> None:
    """Do something that brings a page, and wait for its first heartbeat."""
    with page.expect_response("**/here") as answer:
        act()
    assert answer.value.ok


def test_closing_the_window_ends_the_session(stack: Stack, house: House, watched: Watched, letter: Secrets) -> None:
    def good_byes(number: int) -> None:
        while house.answered.count("/gone") < number:  # the browser does not tell when a closed window's last words have gone out
            third.wait_for_timeout(20)

    first, third = watched.page, watched.context.new_page()
    checked_in(first, lambda: enter(first, letter))
    second = watched.context.new_page()
    checked_in(second, lambda: second.goto("/worklist"))
    first.close(run_before_unload=True)
    good_byes(1)
    stack.now.pass_by(60)
    checked_in(second, second.reload)
    second.close(run_before_unload=True)
    good_byes(3)  # that of the reload too
    stack.now.pass_by(15)
    third.goto("/worklist")
    expect(third.locator("h1")).to_have_text(de("You are logged out"))


def test_reload_and_back_keep_the_session(stack: Stack, watched: Watched, letter: Secrets) -> None:
    page = watched.page
    checked_in(page, lambda: enter(page, letter))
    for step in (page.reload, lambda: page.click("a.look"), page.go_back, page.go_forward, page.reload):
        checked_in(page, step)
        stack.now.pass_by(100)
    checked_in(page, page.reload)
    expect(page.locator("#picture")).to_be_visible()


def test_an_abandoned_window_is_warned_and_then_shows_nothing(stack: Stack, watched: Watched, letter: Secrets) -> None:
    page = watched.page
    page.clock.install()
    checked_in(page, lambda: enter(page, letter))
    for seconds in (90, 90, 60):
        stack.now.pass_by(seconds)
        checked_in(page, lambda: page.clock.run_for(30_000))
    expect(page.locator("#staying")).to_be_visible()
    checked_in(page, lambda: page.click("#stay"))
    expect(page.locator("#staying")).to_be_hidden()
    stack.now.pass_by(300)
    page.clock.run_for(30_000)
    expect(page.locator("h1")).to_have_text(de("You are logged out"))
    assert "Alice" not in page.content()


def test_a_revoked_letter_leaves_the_screen_with_the_next_heartbeat(stack: Stack, watched: Watched, letter: Secrets) -> None:
    page = watched.page
    page.clock.install()
    checked_in(page, lambda: enter(page, letter))
    stack.sharing.revoke("desk", stack.registry.shares()[0].share_id)
    page.clock.run_for(30_000)
    expect(page.locator("h1")).to_have_text(de("You are logged out"))


# -- what goes over the line ---------------------------------------------------------------------------------------------


def test_little_is_fetched_until_the_password_can_be_typed(watched: Watched, letter: Secrets) -> None:
    sizes: list[dict[str, int]] = []
    watched.page.on("requestfinished", lambda request: sizes.append(request.sizes()))
    watched.page.goto(f"/s/{letter.code}", wait_until="networkidle")
    expect(watched.page.locator("#password")).to_be_focused()
    assert sum(each["responseHeadersSize"] + each["responseBodySize"] for each in sizes) < 60_000


def test_nothing_stays_in_the_browser(watched: Watched, letter: Secrets) -> None:
    page = watched.page
    enter(page, letter)
    kept = page.evaluate("async () => [localStorage.length, sessionStorage.length, (await indexedDB.databases()).length, document.cookie]")
    assert kept == [0, 0, 0, ""]
    assert {cookie["name"]: (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) for cookie in watched.context.cookies()} == {
        "__Host-session": (True, True, "Strict"),
        "__Host-device": (True, True, "Strict"),
    }
    page.click("form[action='/logout'] button")
    expect(page.locator("h1")).to_have_text(de("You are logged out"))
    assert [cookie["name"] for cookie in watched.context.cookies()] == ["__Host-device"]


# -- for everybody -------------------------------------------------------------------------------------------------------


SCHEMES: dict[str, tuple[dict[str, Any], tuple[int, int], dict[str, Any]]] = {
    "light": ({"color_scheme": "light", "contrast": "no-preference"}, PHONE, EVERYTHING),
    "dark": ({"color_scheme": "dark", "contrast": "no-preference"}, DESKTOP, COLOURS),
    "contrast": ({"color_scheme": "light", "contrast": "more"}, TABLET, COLOURS),
    "dark contrast": ({"color_scheme": "dark", "contrast": "more"}, SMALL, COLOURS),
}
"""What readers set in their system, on which screen, and what axe looks for there."""


def test_every_page_is_for_everybody(stack: Stack, house: House, chromium: Browser, portal: str, letter: Secrets, tmp_path: Path) -> None:
    """axe finds nothing, nothing is wider than its place; a picture of each page is left in the test's directory."""
    watched = Watched(chromium, portal, viewport=size(PHONE))
    page = watched.page
    found: dict[str, object] = {}
    for name in every_page(stack, house, page, letter):
        for scheme, (wishes, screen, rules) in SCHEMES.items():
            page.emulate_media(**wishes)
            page.set_viewport_size(size(screen))
            if beyond := page.evaluate(BEYOND):
                found[f"{name}, {screen}"] = beyond
            page.screenshot(path=tmp_path / f"{name}, {scheme}.png", full_page=True)
            results = Axe().run(page, options=rules)
            if results.violations_count:
                found[f"{name}, {scheme}"] = results.generate_report()
    watched.close(*NOTES)
    assert found == {}
