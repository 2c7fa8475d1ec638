"""Every page of the portal and every state of it, for a browser that looks at them all."""

from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Page
from rooms import House
from stack import Stack

from appliance.deeds.sharing import Secrets
from appliance.domain.share import DAY


def enter(page: Page, letter: Secrets) -> None:
    page.goto(f"/s/{letter.code}")
    page.fill("#password", letter.password)
    page.click("#password-form .main")
    page.wait_for_url("**/worklist")


def every_page(stack: Stack, house: House, page: Page, letter: Secrets) -> Iterator[str]:
    """Lead a browser to every page there is, and name it."""

    def shared(**given: Any) -> tuple[str, Secrets]:
        record, secrets = stack.share(stack.put_study(complete=False, StudyDescription="MR Knie links"), **given)
        return record.share_id, secrets

    def tried(code: str, password: str) -> None:
        page.goto(f"/s/{code}")
        page.fill("#password", password)
        with page.expect_navigation():
            page.keyboard.press("Enter")

    for name in ("", "help", "privacy", "imprint", "ended", "nowhere", "s/123"):
        page.goto(f"/{name}")
        for summary in page.locator("summary").all():
            summary.click()
        yield name.replace("/", "-") or "start"
    _, early = shared(not_before=stack.now() + DAY)
    revoked, gone = shared()
    stack.sharing.revoke("desk", revoked)
    _, brief = shared(days=1)
    for name, found in (("not-yet", early), ("revoked", gone)):
        tried(found.code, found.password)
        yield name
    for _ in range(6):
        tried(brief.code, "FALSCH")
    yield "wait"
    stack.now.pass_by(DAY)
    tried(brief.code, "FALSCH")
    yield "wrong"
    tried(brief.code, brief.password)
    yield "expired"
    study = stack.put_study(complete=False, StudyDescription="MR Knie links")
    enter(page, stack.share(study, may_download=False)[1])
    yield "worklist-waiting"
    page.goto(f"/study/{study}")
    yield "not-ready"
    page.goto(f"/s/{letter.code}")
    yield "password"
    enter(page, letter)
    page.wait_for_load_state("networkidle")
    yield "worklist"
    for selector, name in (("a.look", "study"), (".reports a", "report")):
        page.click(selector)
        page.wait_for_load_state("networkidle")
        yield name
    house.opening.grant = None  # type: ignore[assignment,method-assign]
    page.goto("/worklist")
    yield "fault"
