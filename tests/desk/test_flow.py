"""A receptionist's day: find the study, make the letter, hand it over, change one's mind."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pdfs import a_pdf, words_of
from stack import Stack
from visitor import PASSWORD, Browser

from appliance.desk import DeskParts, create_app
from appliance.domain.audit import Action
from appliance.domain.codes import read_code, read_password
from appliance.domain.share import DAY, ShareState
from appliance.keyholder import backup
from appliance.keyholder.ring import RING
from appliance.registry import ShareRow

WISHES = {"audience": "patient", "days": "90", "release": "now", "language": "de", "download": "yes", "recipient": ""}


@pytest.fixture
def alice(stack: Stack) -> str:
    return stack.put_study("Müller^Alice")


def handed(text: str) -> tuple[str, str]:
    """Code and password on the page that shows them."""
    code = re.search(r'id="code">([\d ]+)<', text)
    password = re.search(r'id="password">([0-9A-Z-]+)<', text)
    assert code
    assert password
    return read_code(code.group(1)) or "", read_password(password.group(1))


def made(alma: Browser, study_id: str, **wishes: str) -> tuple[str, str, str]:
    """A letter, made on the study's page: share id, code, password."""
    alma.get(f"/studies/{study_id}")
    page = alma.post(f"/studies/{study_id}/shares", follow=True, **{**WISHES, **wishes})
    assert page.status_code == 200, page.text
    return (page.request.path.split("/")[2], *handed(page.text))


def test_a_letter_in_the_patients_hand(stack: Stack, alma: Browser, alice: str) -> None:
    stack.put_study("Fremd^Charlie", series=(("US", "Leber", 1),))
    page = alma.get("/")
    assert "Müller, Alice" in page.text
    assert "Fremd, Charlie" in page.text
    page = alma.post("/search", words="mueller", follow=True)
    assert page.request.path == f"/studies/{alice}", "a single hit opens at once"
    page = alma.post(f"/studies/{alice}/shares", follow=True, **WISHES)
    code, password = handed(page.text)
    assert "<svg" in page.text
    opened = stack.keyholder("portal").open_share(code, password, "192.0.2.0/24", None)
    assert type(opened).__name__ == "Opened"

    share_id = page.request.path.split("/")[2]
    letter = alma.post(f"/shares/{share_id}/letter")
    assert letter.mimetype == "application/pdf"
    assert letter.headers["Content-Disposition"].startswith("inline")
    assert code in words_of(letter.data)
    assert password not in words_of(letter.data)
    slip = alma.post(f"/shares/{share_id}/slip")
    assert code not in words_of(slip.data)
    actions = [row.action for row in stack.registry.audit(share_id=share_id)]
    assert actions == [Action.SHARE_CREATED, Action.LETTER_PRINTED, Action.SLIP_PRINTED]


def test_the_search_stays_in_the_session_and_out_of_the_address(stack: Stack, alma: Browser, alice: str) -> None:
    stack.put_study("Müller^Max")
    page = alma.post("/search", words="müller", follow=True)
    assert (page.request.path, page.request.query_string) == ("/", b"")
    assert "2 studies for “müller”" in page.text
    assert "2 studies for “müller”" in alma.get("/").text
    assert "3 studies" not in alma.post("/search", words="müller", all="yes", follow=True).text
    assert "Nothing found for “nobody”." in alma.post("/search", words="nobody", follow=True).text


def test_code_and_password_are_shown_for_a_quarter_of_an_hour(stack: Stack, alma: Browser, alice: str) -> None:
    share_id, code, password = made(alma, alice)
    stack.now.pass_by(14 * 60)
    assert handed(alma.get(f"/shares/{share_id}/handover").text) == (code, password)
    stack.now.pass_by(60)
    page = alma.get(f"/shares/{share_id}/handover")
    assert page.status_code == 200
    assert "No longer shown" in page.text
    assert alma.post(f"/shares/{share_id}/slip").status_code == 409


def test_they_are_hidden_as_soon_as_they_are_handed_over(alma: Browser, alice: str) -> None:
    share_id, code, _ = made(alma, alice)
    alma.post(f"/shares/{share_id}/done")
    assert code not in alma.get(f"/shares/{share_id}/handover").text.replace(" ", "")


def test_nobody_else_at_the_desk_sees_them(alma: Browser, bert: Browser, alice: str) -> None:
    share_id, *_ = made(alma, alice)
    page = bert.get(f"/shares/{share_id}/handover")
    assert page.status_code == 200
    assert "No longer shown" in page.text
    assert bert.post(f"/shares/{share_id}/slip").status_code == 409


def test_code_and_password_are_in_no_address_and_no_cookie(alma: Browser, alice: str) -> None:
    alma.get(f"/studies/{alice}")
    answer = alma.post(f"/studies/{alice}/shares", **WISHES)
    code, password = handed(alma.get(answer.location).text)
    for value in (answer.location, *answer.headers.getlist("Set-Cookie")):
        assert code not in value
        assert password not in value


def test_what_was_wished_is_what_the_share_says(stack: Stack, alma: Browser, alice: str) -> None:
    wishes = {
        "audience": "referrer",
        "days": "30",
        "release": "by-hand",
        "language": "en",
        "download": "",
        "recipient": "Dr. Bob\r\nPraxisweg 1",
    }
    share_id, *_ = made(alma, alice, **wishes)
    view = stack.sharing.view(share_id)
    record = view.record
    assert (record.audience, record.language, record.may_download, record.reports_from) == ("referrer", "en", False, None)
    assert 29 * DAY < record.expires_at - stack.now() <= 31 * DAY
    assert view.recipient == "Dr. Bob\nPraxisweg 1"
    assert "Dr. Bob · Praxisweg 1" in alma.get(f"/studies/{alice}").text
    assert "Dr. Bob" in words_of(alma.post(f"/shares/{share_id}/letter").data)


def test_changing_ones_mind(stack: Stack, alma: Browser, alice: str) -> None:
    share_id, code, password = made(alma, alice, release="by-hand", days="7")
    page = alma.post(f"/shares/{share_id}/release", follow=True)
    assert "The reports can be read now." in page.text
    assert stack.sharing.view(share_id).record.reports_from == stack.now()

    stack.now.pass_by(10 * 60)
    before = stack.sharing.view(share_id).record.expires_at
    assert "extended" in alma.post(f"/shares/{share_id}/extend", days="90", follow=True).text
    assert stack.sharing.view(share_id).record.expires_at > before

    page = alma.post(f"/shares/{share_id}/password", follow=True)
    assert handed(page.text)[0] == code
    assert handed(page.text)[1] != password
    portal = stack.keyholder("portal")
    assert type(portal.open_share(code, password, "192.0.2.0/24", None)).__name__ == "Wrong"

    assert "End this access?" in alma.get(f"/shares/{share_id}/revoke").text
    assert stack.sharing.view(share_id).state is ShareState.OPEN, "asking does nothing"
    page = alma.post(f"/shares/{share_id}/revoke", follow=True)
    assert "open nothing any more" in page.text
    assert stack.sharing.view(share_id).state is ShareState.REVOKED
    for change in ("extend", "release", "password", "unlock", "letter"):
        answer = alma.post(f"/shares/{share_id}/{change}", days="90")
        assert answer.status_code == 409
        assert "This share has ended for good." in answer.text


def test_an_expired_letter_is_opened_again(stack: Stack, browser: Browser, alma: Browser, alice: str) -> None:
    share_id, *_ = made(alma, alice, days="7")
    stack.now.pass_by(10 * DAY)
    alma.log_in()
    page = alma.get(f"/studies/{alice}")
    assert "expired" in page.text
    assert "Open again" in page.text
    alma.post(f"/shares/{share_id}/extend", days="14")
    assert stack.sharing.view(share_id).state is ShareState.OPEN


def test_a_locked_letter_is_unlocked(stack: Stack, alma: Browser, alice: str) -> None:
    share_id, *_ = made(alma, alice)
    with stack.registry.change(stack.now(), "clock") as change:
        change.update(ShareRow, share_id, locked_at=stack.now())
        change.note(Action.SHARE_LOCKED, share_id=share_id)
    page = alma.get(f"/studies/{alice}")
    assert "Unlock" in page.text
    assert "Locked after too many wrong passwords" in page.text
    alma.post(f"/shares/{share_id}/unlock")
    assert stack.sharing.view(share_id).state is ShareState.OPEN


def test_a_report_is_added_and_read(stack: Stack, alma: Browser, alice: str) -> None:
    pdf = a_pdf("Befund", pages=2)
    alma.get(f"/studies/{alice}")
    page = alma.post(f"/studies/{alice}/reports", title="Befund CT", pdf=(io.BytesIO(pdf), "x.pdf"), follow=True)
    assert "The report was added." in page.text
    assert "Befund CT" in page.text
    assert "2 pages" in page.text
    (row,) = stack.registry.reports(alice)
    answer = alma.get(f"/reports/{row.report_id}")
    assert (answer.mimetype, answer.data) == ("application/pdf", pdf)
    assert stack.worklist.entry(alice).reports == 1  # type: ignore[union-attr]


def test_a_study_tells_its_story(stack: Stack, alma: Browser, alice: str) -> None:
    made(alma, alice)
    page = alma.get(f"/studies/{alice}").text
    for line in ("3 images received", "Study complete: 3 images", "Letter made", "Alma Anker", "automatic"):
        assert line in page


def test_a_study_still_receiving_says_so_and_can_be_shared(stack: Stack, alma: Browser) -> None:
    study_id = stack.put_study("Muster^Alice", complete=False, pictures=False)
    assert "receiving" in alma.get("/").text
    page = alma.get(f"/studies/{study_id}")
    assert "Images are still arriving." in page.text
    made(alma, study_id)


def test_thumbnails(stack: Stack, alma: Browser, alice: str) -> None:
    page = alma.get(f"/studies/{alice}")
    (path,) = re.findall(r'src="(/studies/[0-9a-f/]+thumbnails/[0-9a-f]+)"', page.text)
    picture = alma.get(path)
    assert picture.content_type == "image/webp"
    assert picture.data[:4] == b"RIFF"


def test_files_set_aside_are_listed_with_their_reason(stack: Stack, alma: Browser) -> None:
    assert "Set aside" not in alma.get("/").text
    assert "Nothing is set aside." in alma.get("/set-aside").text
    stack.put_aside("The file ends before its content is complete.", "CT_ALT")
    assert "Set aside" in alma.get("/").text
    page = alma.get("/set-aside").text
    assert "The file ends before its content is complete." in page
    assert "CT_ALT" in page
    alma.headers["Accept-Language"] = "de"
    assert "Die Datei endet, bevor ihr Inhalt vollständig ist." in alma.get("/set-aside").text


def test_the_strip_says_how_the_mirror_is(stack: Stack, parts: DeskParts, alma: Browser, alice: str) -> None:
    assert "No mirror is set up" in alma.get("/").text
    assert "every device in this network may send images" in alma.get("/").text


def test_the_end_of_the_certificate_for_tls_is_told_in_time(stack: Stack, parts: DeskParts) -> None:
    stack.staff.add("operator", login="alma", name="Alma Anker", password=PASSWORD, role="front-desk")
    end = stack.now() + 30 * DAY
    alma = Browser(create_app(replace(parts, certificate_end=lambda: end)).test_client())
    assert "certificate" not in alma.get("/login").text
    page = alma.log_in().text
    assert "Scanners that send encrypted images can do so until" in page
    end += 1
    assert "encrypted images" not in alma.get("/").text


def test_the_strip_says_that_a_backup_of_the_keys_is_due(stack: Stack, alma: Browser, tmp_path: Path) -> None:
    assert "The newest keys are in no backup. Have somebody run: bildbrief keys backup FILE" in alma.get("/").text
    alma.headers["Accept-Language"] = "de"
    assert "Die neuesten Schlüssel sind in keiner Sicherung. Lassen Sie ausführen: bildbrief keys backup DATEI" in alma.get("/").text
    backup.copy(stack.places.keys / RING, tmp_path / "copy", stack.now())
    assert "bildbrief keys backup" not in alma.get("/").text


def test_the_desk_says_what_scanners_are_told(stack: Stack, parts: DeskParts) -> None:
    stack.staff.add("operator", login="alma", name="Alma Anker", password=PASSWORD, role="admin")
    for commits in (False, True):
        browser = Browser(create_app(replace(parts, commits=commits)).test_client())
        browser.log_in()
        assert ("Scanners are told that their images are kept here" in browser.get("/").text) == commits


def test_both_languages(alma: Browser) -> None:
    assert '<html lang="en">' in alma.get("/").text
    page = alma.post("/language", to="de", here="/account", follow=True)
    assert page.request.path == "/account"
    assert '<html lang="de">' in page.text
    assert "Passwort ändern" in page.text


@pytest.mark.parametrize("here", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "javascript:alert(1)", "/a\nb"])
def test_the_language_leads_nowhere_else(alma: Browser, here: str) -> None:
    alma.get("/")
    answer = alma.post("/language", to="en", here=here)
    assert answer.status_code == 303
    assert answer.location == "/"
