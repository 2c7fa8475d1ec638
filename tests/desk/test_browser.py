"""The desk in Chromium: by keyboard alone, without script, on a phone; readable for everybody, and silent to the outside."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsers import Watched
from pdfs import a_pdf
from playwright.sync_api import Browser, Page, expect
from stack import Stack
from visitor import PASSWORD

from appliance.desk import DeskParts, serve
from appliance.domain.audit import Action
from appliance.domain.study import StudyState
from appliance.registry import StudyRow

CONTRAST = """() => {
  // Every visible text against what is painted behind it (WCAG 2.2, 1.4.3).
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = (text) => text.match(/[\\d.]+/g).map(Number);
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("script, svg, .unseen, option")) continue;
    const style = getComputedStyle(element);
    let back = element;
    while (back && colour(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
    const [one, two] = [luminance(colour(style.color)), luminance(back ? colour(getComputedStyle(back).backgroundColor) : [255, 255, 255])];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${walker.currentNode.data.trim()} (${ratio.toFixed(2)})`);
  }
  return poor;
}"""

NAMELESS = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a, [role=region]")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.labels?.length || element.textContent.trim() || element.getAttribute("aria-label")
    || element.getAttribute("aria-labelledby") || element.querySelector("img[alt]")))
  .map((element) => element.outerHTML)"""

SMALL = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a")]
  .filter((element) => element.checkVisibility() && !element.closest("label, .skip, p, .facts") && !element.matches(".skip"))
  .filter((element) => { const box = element.getBoundingClientRect(); return box.width < 24 || box.height < 24; })
  .map((element) => element.outerHTML)"""

STRUCTURE = """() => {
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((heading) => Number(heading.tagName[1]));
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  const broken = [...document.querySelectorAll("[aria-describedby], [aria-labelledby]")]
    .flatMap((element) => (element.getAttribute("aria-describedby") ?? element.getAttribute("aria-labelledby")).split(" "))
    .filter((id) => !document.getElementById(id));
  return {
    mains: document.querySelectorAll("main").length,
    firsts: levels.filter((level) => level === 1).length,
    jumps: levels.some((level, at) => at && level - levels[at - 1] > 1),
    twice: ids.filter((id, at) => ids.indexOf(id) !== at),
    broken,
    headless: [...document.querySelectorAll("table")].filter((table) => !table.querySelector("th[scope=col]")).length,
    language: document.documentElement.lang,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  };
}"""


@pytest.fixture
def desk(stack: Stack, parts: DeskParts) -> Iterator[str]:
    """The address of a running desk with a few studies."""
    stack.staff.add("operator", login="alma", name="Alma Anker", password=PASSWORD, role="admin")
    stack.staff.add("operator", login="bert", name="Bert Bucht", password=PASSWORD, role="front-desk")
    stack.staff.set_practice("operator", stack.settings, name="Radiologie am Stadtpark", phone="030 1234567")
    ready, stop, ports = threading.Event(), threading.Event(), list[int]()
    values = {"host": "127.0.0.1", "port": 0, "ready": ready, "stop": stop, "listening": ports.append}
    thread = threading.Thread(target=serve, args=(parts,), kwargs=values)
    thread.start()
    assert ready.wait(10)
    yield f"http://127.0.0.1:{ports[0]}"
    stop.set()
    thread.join(10)


def log_in(page: Page) -> None:
    page.goto("/")
    expect(page.locator("[name=login]")).to_be_focused()  # a moment after the page is there
    page.keyboard.type("alma")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#words")).to_be_focused()


@pytest.fixture
def watched(chromium: Browser, desk: str) -> Iterator[Watched]:
    made = Watched(chromium, desk, viewport={"width": 1280, "height": 860})
    yield made
    made.close("[DOM]")  # Chromium's advice on forms that change a password is no fault


def test_a_letter_by_keyboard_alone(stack: Stack, watched: Watched) -> None:
    """Twenty seconds at a receptionist's speed: a name, Enter, one choice confirmed, Enter, print."""
    stack.put_study("Muster^Alice")
    stack.put_study("Fremd^Charlie")
    log_in(watched.page)
    page, keys = watched.page, watched.page.keyboard
    keys.type("muster")
    keys.press("Enter")
    expect(page.locator("h1")).to_contain_text("Muster, Alice")
    keys.press("Tab")  # the skip link
    expect(page.locator(".skip")).to_be_focused()
    keys.press("Enter")
    keys.press("Tab")  # back to the list
    keys.press("Tab")
    expect(page.locator("[name=audience][value=patient]")).to_be_focused()
    keys.press("Enter")
    expect(page.locator("#code")).to_have_text(re.compile(r"^\d{3}( \d{3}){5}$"))
    expect(page.locator("form[action$='/letter'] button")).to_be_focused()
    assert len(stack.registry.shares()) == 1


def test_arrows_lead_through_the_list(stack: Stack, watched: Watched) -> None:
    for name in ("Muster^Alice", "Fremd^Charlie"):
        stack.now.pass_by(60)
        stack.put_study(name)
    log_in(watched.page)
    page, keys = watched.page, watched.page.keyboard
    links = page.locator("tbody th a")
    keys.press("ArrowDown")
    expect(links.nth(0)).to_be_focused()
    keys.press("ArrowDown")
    expect(links.nth(1)).to_be_focused()
    keys.press("ArrowUp")
    keys.press("ArrowUp")
    expect(page.locator("#words")).to_be_focused()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(page.locator("h1")).to_contain_text("Fremd, Charlie")


def test_the_list_tells_news_by_itself(stack: Stack, watched: Watched) -> None:
    study_id = stack.put_study("Muster^Alice", complete=False)
    log_in(watched.page)
    expect(watched.page.locator(".state.receiving")).to_be_visible()
    watched.page.keyboard.press("ArrowDown")
    with stack.registry.change(stack.now(), "ingester") as change:
        change.update(StudyRow, study_id, state=StudyState.COMPLETE)
        change.note(Action.STUDY_COMPLETED, study_id=study_id)
    expect(watched.page.locator(".state.complete")).to_be_visible(timeout=10_000)
    expect(watched.page.locator("tbody th a")).to_be_focused()


def test_an_abandoned_screen_goes_to_the_login(stack: Stack, watched: Watched) -> None:
    stack.put_study("Muster^Alice")
    log_in(watched.page)
    stack.now.pass_by(15 * 60)
    expect(watched.page.locator("[name=login]")).to_be_visible(timeout=10_000)
    assert "Muster" not in watched.page.content()


def test_a_file_that_is_too_large_is_told_before_it_is_sent(stack: Stack, watched: Watched, tmp_path: Path) -> None:
    study_id = stack.put_study("Muster^Alice")
    file = tmp_path / "befund.pdf"
    file.write_bytes(a_pdf(padding=3 << 20))
    log_in(watched.page)
    watched.page.goto(f"/studies/{study_id}")
    watched.page.set_input_files("#pdf", file)
    assert watched.page.eval_on_selector("#pdf", "input => input.validationMessage") == "Diese Datei ist zu groß."


def test_link_and_password_are_copied(stack: Stack, watched: Watched) -> None:
    study_id = stack.put_study("Muster^Alice")
    watched.context.grant_permissions(["clipboard-read", "clipboard-write"])
    log_in(watched.page)
    page = watched.page
    page.goto(f"/studies/{study_id}")
    page.click("form[action$='/shares'] button")
    page.click("[data-copy=password]")
    expect(page.locator("[data-copy=password]")).to_have_text("Kopiert")


def test_everything_works_without_script(stack: Stack, chromium: Browser, desk: str, tmp_path: Path) -> None:
    study_id = stack.put_study("Muster^Alice")
    stack.put_study("Fremd^Charlie")
    file = tmp_path / "befund.pdf"
    file.write_bytes(a_pdf())
    watched = Watched(chromium, desk, java_script_enabled=False)
    page = watched.page
    page.goto("/")
    page.fill("#login", "alma")
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.fill("#words", "muster")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{desk}/studies/{study_id}")
    page.set_input_files("#pdf", file)
    page.click("form.upload button")
    expect(page.locator("ul.reports li")).to_have_count(1)
    page.click("form[action$='/shares'] button")
    expect(page.locator("#password")).to_be_visible()
    expect(page.locator("[data-copy]")).to_have_count(2)
    expect(page.locator("[data-copy=link]")).to_be_hidden()
    page.click("form[action$='/done'] button")
    page.click("text=Zugang beenden")
    page.click("button.danger")
    expect(page.locator(".state.revoked")).to_be_visible()
    watched.context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_for_everybody(stack: Stack, chromium: Browser, desk: str, tmp_path: Path, width: int) -> None:
    """Contrast, names, headings, targets, no sideways scrolling; a picture of each page is left in the test's directory."""
    study_id = stack.put_study("Muster^Alice", series=(("CT", "Thorax 5 mm", 2), ("CT", "Lunge 1 mm", 1)))
    receiving = stack.put_study("Öztürk-Hofmann^Sevgi", complete=False, pictures=False, StudyDescription="W" * 64)
    stack.put_aside("The file ends before its content is complete.")
    for days in (7, 30):
        stack.share(study_id, days=days, recipient="Dr. Bob\nPraxisweg 1")
    revoked, _ = stack.share(study_id)
    stack.sharing.revoke("operator", revoked.share_id)
    watched = Watched(chromium, desk, viewport={"width": width, "height": 860})
    page = watched.page
    pages = ["/", f"/studies/{study_id}", f"/studies/{receiving}", "handover", f"/shares/{revoked.share_id}/handover", "/set-aside"]
    pages += ["/practice", "/users", "/account", "/nowhere", f"/shares/{revoked.share_id}/revoke"]
    page.goto("/login")
    found = {"/login": _faults(page)}
    page.screenshot(path=tmp_path / "login.png", full_page=True)
    log_in(watched.page)
    for path in pages:
        if path == "handover":
            page.goto(f"/studies/{study_id}")
            page.click("form[action$='/shares'] button")
        else:
            page.goto(path)
        page.screenshot(path=tmp_path / f"{path.strip('/').partition('/')[0] or 'list'}.png", full_page=True)
        found[path] = _faults(page)
    watched.context.close()
    assert {path: faults for path, faults in found.items() if faults} == {}


def _faults(page: Page) -> list[object]:
    shape = page.evaluate(STRUCTURE)
    expected = {"mains": 1, "firsts": 1, "jumps": False, "twice": [], "broken": [], "headless": 0, "language": "de", "wide": 0}
    wrong = {name: value for name, value in shape.items() if value != expected[name]}
    return [*page.evaluate(CONTRAST), *page.evaluate(NAMELESS), *page.evaluate(SMALL), *([wrong] if wrong else [])]
