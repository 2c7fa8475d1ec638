"""Whatever is typed, sent or received: a clear refusal, and nothing is lost or let in."""

import io
from typing import Any

import pytest
from pdfs import a_pdf, locked_pdf
from stack import Stack
from visitor import LIMIT, PASSWORD, Browser

from appliance.desk import DeskParts

SOME_ID = "0123456789abcdef" * 2
SCRIPT = '</textarea></title><evil onload=alert("%(x)s")>{{7*7}}\'">'
"""Wherever it stood as markup, an element named evil would begin."""


@pytest.fixture
def alice(stack: Stack) -> str:
    return stack.put_study("Muster^Alice")


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"/studies/{SOME_ID}",
        f"/studies/{SOME_ID.upper()}",
        f"/studies/{SOME_ID}x",
        "/studies/1",
        "/studies/..%2f..%2fetc%2fpasswd",
        f"/studies/{SOME_ID}/thumbnails/{SOME_ID}",
        f"/reports/{SOME_ID}",
        f"/shares/{SOME_ID}/handover",
        f"/shares/{SOME_ID}/revoke",
    ],
)
def test_what_is_not_there_is_not_found(alma: Browser, path: str) -> None:
    answer = alma.get(path)
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize("change", ["letter", "extend", "release", "password", "unlock", "revoke", "done"])
def test_a_letter_that_is_not_there_is_not_changed(alma: Browser, change: str) -> None:
    alma.get("/")
    answer = alma.post(f"/shares/{SOME_ID}/{change}", days="90")
    assert answer.status_code == 404
    assert "This share does not exist." in answer.text


def test_a_thumbnail_of_another_study_is_not_found(stack: Stack, alma: Browser, alice: str) -> None:
    charlie = stack.put_study("Fremd^Charlie")
    (series,) = stack.registry.series(charlie)
    assert alma.get(f"/studies/{charlie}/thumbnails/{series.series_id}").status_code == 200
    assert alma.get(f"/studies/{alice}/thumbnails/{series.series_id}").status_code == 404


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/"), ("PUT", "/login"), ("GET", "/logout"), ("GET", f"/shares/{SOME_ID}/letter")])
def test_a_page_is_not_opened_in_another_way(alma: Browser, method: str, path: str) -> None:
    answer = alma.client.open(path, method=method, headers=alma.headers)
    assert answer.status_code == 405
    assert method not in answer.headers["Allow"].split(", ")
    assert "This page cannot be opened that way." in answer.text


# -- forms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"audience": "everybody"}, "not filled in as expected"),
        ({"release": "yesterday"}, "not filled in as expected"),
        ({"days": "many"}, "not filled in as expected"),
        ({"days": "0"}, "A share lasts from 1 to 365 days."),
        ({"days": "-1"}, "A share lasts from 1 to 365 days."),
        ({"days": "366"}, "A share lasts from 1 to 365 days."),
        ({"days": "9" * 400}, "A share lasts from 1 to 365 days."),
        ({"days": "١"}, "The letter is ready"),  # a figure is a figure
        ({"language": "tlh"}, "Letters are written in German or English."),
        ({"recipient": "x" * 201}, "The address is too long"),
        ({"recipient": "\n".join("1234567")}, "The address is too long"),
    ],
)
def test_a_letter_that_makes_no_sense_is_refused_on_its_page(
    stack: Stack, alma: Browser, alice: str, wish: dict[str, str], sentence: str
) -> None:
    alma.get(f"/studies/{alice}")
    answer = alma.post(f"/studies/{alice}/shares", follow=True, **{"audience": "patient", "days": "90", "release": "now", **wish})
    assert sentence in answer.text
    if answer.status_code != 200:
        assert answer.status_code == 400
        assert "New letter" in answer.text
        assert stack.registry.shares() == []


def test_an_extension_that_makes_no_sense_is_refused(stack: Stack, alma: Browser, alice: str) -> None:
    record, _ = stack.share(alice)
    alma.get("/")
    for days, sentence in (("many", "This is not a number of days."), ("9999", "A share lasts from 1 to 365 days.")):
        answer = alma.post(f"/shares/{record.share_id}/extend", days=days)
        assert answer.status_code == 400
        assert sentence in answer.text


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        ({"login": "alma"}, 409, "exists already"),
        ({"login": ""}, 400, "A user name has 1 to 128"),
        ({"login": "a b"}, 400, "A user name has 1 to 128"),
        ({"password": "short"}, 400, "at least 10 characters"),
        ({"role": "king"}, 400, "This role does not exist."),
        ({"name": "x" * 999}, 400, "The name is too long."),
    ],
)
def test_a_user_that_makes_no_sense_is_refused_on_the_page(alma: Browser, given: dict[str, str], status: int, sentence: str) -> None:
    alma.get("/users")
    answer = alma.post("/users", **{"login": "bert", "name": "", "password": PASSWORD, "role": "physician", **given})
    assert answer.status_code == status
    assert sentence in answer.text
    assert "Add a user" in answer.text


def test_nobody_removes_themselves_or_nobody(stack: Stack, alma: Browser) -> None:
    (me,) = stack.staff.members()
    alma.get("/users")
    assert alma.post(f"/users/{me.user_id}/remove").status_code == 409
    assert alma.post(f"/users/{SOME_ID}/remove").status_code == 404


def test_a_practice_that_is_too_long_is_refused_with_what_was_typed(alma: Browser) -> None:
    alma.get("/practice")
    answer = alma.post("/practice", name="x" * 200, city="Musterstadt")
    assert answer.status_code == 400
    assert "One of the texts is too long." in answer.text
    assert "Musterstadt" in answer.text


@pytest.mark.parametrize(
    ("old", "new", "again", "status"),
    [("wrong", "a" * 12, "a" * 12, 403), (PASSWORD, "short", "short", 400), (PASSWORD, "a" * 12, "b" * 12, 400)],
)
def test_a_password_change_that_makes_no_sense_is_refused(alma: Browser, old: str, new: str, again: str, status: int) -> None:
    alma.get("/account")
    answer = alma.post("/account", old=old, new=new, again=again)
    assert answer.status_code == status
    assert 'role="alert"' in answer.text


def test_a_new_password_works(alma: Browser, other: Browser) -> None:
    alma.get("/account")
    assert "Your password was changed." in alma.post("/account", old=PASSWORD, new="another one 1", again="another one 1", follow=True).text
    assert "Log out" in other.log_in(password="another one 1").text


def test_bytes_that_are_no_form_are_refused(alma: Browser) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x", "application/json", "text/plain"):
        answer = alma.client.post("/search", data=b"\xff\x00--x--", content_type=content_type, headers=alma.headers)
        assert answer.status_code in (400, 403)
        assert 'role="alert"' in answer.text


# -- reports -----------------------------------------------------------------------------------------------------------


def send(alma: Browser, study_id: str, content: bytes, name: str = "befund.pdf") -> Any:
    """As a browser frames it. (The test client's own framing spools into a temporary file.)"""
    alma.get(f"/studies/{study_id}")
    head = f'--x\r\nContent-Disposition: form-data; name="form"\r\n\r\n{alma.token}\r\n--x\r\nContent-Disposition: form-data; name="pdf"; '
    body = f'{head}filename="{name}"\r\nContent-Type: application/pdf\r\n\r\n'.encode() + content + b"\r\n--x--\r\n"
    path = f"/studies/{study_id}/reports"
    return alma.client.post(path, data=body, content_type="multipart/form-data; boundary=x", headers=alma.headers)


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"", 400, "No file was chosen."),
        (b"<html><script>alert(1)</script>", 400, "This file is not a PDF."),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', 400, "This file is not a PDF."),
        (b"PK\x03\x04" + bytes(100), 400, "This file is not a PDF."),
        (b"%PDF-1.7\n<script>alert(1)</script>", 400, "This PDF is damaged"),
        (a_pdf()[:300], 400, "This PDF is damaged"),
        (locked_pdf(), 400, "This PDF is protected by a password."),
        (a_pdf(padding=LIMIT), 413, "This file is larger than 2 MB."),
    ],
    ids=["nothing", "html", "svg", "zip", "html in pdf", "cut off", "locked", "too large"],
)
def test_what_is_no_report_is_refused_on_the_studys_page(
    stack: Stack, alma: Browser, alice: str, content: bytes, status: int, sentence: str
) -> None:
    files = len(list(stack.places.objects.rglob("*")))
    answer = send(alma, alice, content)
    assert answer.status_code == status
    assert sentence in answer.text
    assert stack.registry.reports(alice) == []
    assert len(list(stack.places.objects.rglob("*"))) == files


def test_a_report_for_a_study_that_is_gone_is_refused(stack: Stack, alma: Browser, alice: str) -> None:
    alma.get(f"/studies/{alice}")
    stack.keyholder("clock").forget_study(alice)
    answer = alma.post(f"/studies/{alice}/reports", pdf=(io.BytesIO(a_pdf()), "x.pdf"))
    assert answer.status_code == 404


def test_much_more_than_a_report_is_refused_unread(alma: Browser, alice: str) -> None:
    answer = send(alma, alice, a_pdf(padding=3 * LIMIT))
    assert answer.status_code == 413
    assert "This file is larger than 2 MB." in answer.text


# -- script in everything ----------------------------------------------------------------------------------------------


TEXTS = (
    "PatientID StudyID StudyDescription AccessionNumber ReferringPhysicianName InstitutionName SeriesDescription BodyPartExamined",
    "StationName ManufacturerModelName ProtocolName PerformingPhysicianName OperatorsName ImageComments PatientComments Modality",
)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_script_in_every_dicom_text_is_text(stack: Stack, alma: Browser) -> None:
    study_id = stack.put_study(SCRIPT, **dict.fromkeys(" ".join(TEXTS).split(), SCRIPT))
    stack.put_aside(SCRIPT, SCRIPT)
    stack.share(study_id, recipient=SCRIPT)
    stack.staff.add("operator", login="<evil>", name=SCRIPT, password=PASSWORD, role="front-desk")
    stack.staff.set_practice("operator", stack.settings, name=SCRIPT, street=SCRIPT)
    alma.get(f"/studies/{study_id}")
    reported = alma.post(f"/studies/{study_id}/reports", title=SCRIPT, pdf=(io.BytesIO(a_pdf()), SCRIPT))
    assert reported.status_code == 303
    alma.get("/")
    pages = [
        alma.get("/"),
        alma.get(f"/studies/{study_id}"),
        alma.post("/search", words=SCRIPT, follow=True),
        alma.post("/search", words="<evil>nobody", follow=True),
        alma.get("/set-aside"),
        alma.get("/users"),
        alma.get("/practice"),
        alma.post(f"/studies/{study_id}/shares", audience=SCRIPT, recipient=SCRIPT),
        alma.post(f"/studies/{study_id}/shares", follow=True, audience="patient"),
    ]
    for page in pages:
        assert "&lt;evil" in page.text, page.request.path
        assert "<evil" not in page.text, page.request.path
        assert ">49" not in page.text, page.request.path


def test_a_report_is_not_named_into_a_header(stack: Stack, alma: Browser, alice: str) -> None:
    alma.get(f"/studies/{alice}")
    title = 'x"\r\nSet-Cookie: a=b; filename*=\u202egpj.exe'
    alma.post(f"/studies/{alice}/reports", title=title, pdf=(io.BytesIO(a_pdf()), "x.pdf"))
    (row,) = stack.registry.reports(alice)
    answer = alma.get(f"/reports/{row.report_id}")
    assert answer.mimetype == "application/pdf"
    assert "Set-Cookie" not in answer.headers
    assert "\u202e" not in answer.headers["Content-Disposition"]


# -- without the keyholder ---------------------------------------------------------------------------------------------


def test_without_the_keyholder_every_page_says_so(stack: Stack, parts: DeskParts, alma: Browser, other: Browser, alice: str) -> None:
    record, _ = stack.share(alice)
    (series,) = stack.registry.series(alice)
    assert alma.get("/").status_code == 200
    stack.stop_keyholder()
    stack.registry.close()
    for path in (f"/studies/{alice}", f"/studies/{alice}/thumbnails/{series.series_id}", f"/shares/{record.share_id}/handover", "/users"):
        answer = alma.get(path)
        assert answer.status_code == 503, path
        assert "The keyholder does not answer." in answer.text
        assert "Muster" not in answer.text
    token = alma.token
    for change in ("letter", "extend", "release", "password", "unlock"):
        alma.token = token
        assert alma.post(f"/shares/{record.share_id}/{change}", days="90").status_code == 503, change
    other.get("/login")
    answer = other.post("/login", login="alma", password=PASSWORD)
    assert answer.status_code == 503
    assert "The keyholder does not answer." in answer.text
    page = alma.get("/account")
    assert page.status_code == 200
    assert "Studies cannot be opened and letters cannot be made" in page.text
    stack.start_keyholder()
    assert alma.get(f"/studies/{alice}").status_code == 200
    assert "Studies cannot be opened" not in alma.get("/").text
