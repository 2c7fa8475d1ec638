"""What a reader sees of an open letter: the right things, in the right words, and nothing that somebody else put in."""

import re
from html import unescape

import pytest
from rooms import PRACTICE, House, Reader, de
from stack import Stack, dicom_file

from appliance.domain.share import DAY, Audience, Release
from appliance.domain.study import StudyState
from appliance.registry import StudyRow
from appliance.registry.settings import Practice

PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"


def open_letter(house: House, *studies: str, **given: object) -> Reader:
    return house.enter(house.stack.share(*studies, **given)[1])  # type: ignore[arg-type]


def text_of(reader: Reader, path: str) -> str:
    """What stands on a page, without markup."""
    answer = reader.get(path)
    assert answer.status_code == 200
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub("<[^>]*>", " ", main)).split())


# -- the worklist --------------------------------------------------------------------------------------------------------


def test_the_worklist_names_each_study_newest_first(stack: Stack, house: House) -> None:
    old = stack.put_study(StudyDescription="Knie links", StudyDate="20250101")
    new = stack.put_study(StudyDescription="CT Thorax", series=(("CT", "5 mm", 3), ("CT", "1 mm", 2)), InstitutionName="Radiologie Nord")
    text = text_of(open_letter(house, old, new), "/worklist")
    assert text.index("CT Thorax") < text.index("Knie links")
    for word in ("24. November 2026", "Muster, Alice", "29.02.1948", "Computertomographie (CT)", "5 Bilder · 2 Serien", "Radiologie Nord"):
        assert word in text
    assert "1. Januar 2025" in text


def test_only_the_studies_of_the_letter_are_there(stack: Stack, house: House) -> None:
    stack.put_study("Fremd^Charlie", StudyDescription="MR Kopf")
    text = text_of(open_letter(house, stack.put_study()), "/worklist")
    assert "Charlie" not in text
    assert "MR Kopf" not in text


def test_dates_are_as_each_reader_writes_them(stack: Stack, house: House) -> None:
    reader = open_letter(house, stack.put_study())
    text = text_of(reader, "/worklist?lang=en")
    assert "24 November 2026" in text
    assert "born 29 Feb 1948" in text
    assert "Open until 22 February 2027" in reader.get("/worklist").text


def test_the_end_is_on_every_page_of_the_letter(stack: Stack, house: House) -> None:
    study, waiting = stack.put_study(), stack.put_study("Muster^Alice", complete=False, StudyDescription="MR")
    report = house.add_report(study, pages=1)
    reader = open_letter(house, study, waiting)
    for path in ("/worklist", f"/study/{study}", f"/study/{waiting}", f"/report/{report}", "/study/nowhere"):
        assert de("Open until %(day)s", day="22. Februar 2027, 11:59") in reader.get(path).text


def test_odd_facts_are_shown_as_far_as_they_go(stack: Stack, house: House) -> None:
    study = stack.put_study("", StudyDescription="", StudyDate="", PatientBirthDate="", series=(("CT", "", 1),))
    text = text_of(open_letter(house, study), "/worklist")
    assert "Computertomographie (CT)" in text
    assert text.count("unbekannt") == 2, "date and patient"


def test_a_study_that_is_gone_is_not_missed(stack: Stack, house: House) -> None:
    study = stack.put_study()
    reader = open_letter(house, study)
    with stack.registry.change(stack.now(), "clock") as change:
        change.update(StudyRow, study, state=StudyState.FORGOTTEN)
        change.note("study-forgotten", study_id=study)  # type: ignore[arg-type]
    assert de("There is nothing here any more. Please ask the practice.") in text_of(reader, "/worklist")
    assert reader.get(f"/study/{study}").status_code == 404


# -- one study -----------------------------------------------------------------------------------------------------------


def test_a_study_shows_its_main_series_large_and_all_as_thumbnails(stack: Stack, house: House) -> None:
    study = stack.put_study(series=(("CT", "Topogramm", 1), ("CT", "Thorax 5 mm", 4), ("CT", "Lunge", 2)))
    reader = open_letter(house, study)
    page = reader.get(f"/study/{study}").text
    assert "<strong>Thorax 5 mm</strong>" in page
    assert de("Not for diagnosis · not a medical device") in page
    small, large = re.findall(r'src="(/study/[^"]+small.webp)"', page), re.findall(r'src="(/study/[^"]+large.webp)"', page)
    assert (len(small), len(large)) == (3, 1)
    for path in small + large:
        answer = reader.get(path)
        assert (answer.mimetype, answer.data[8:12]) == ("image/webp", b"WEBP")
    third = re.findall(r'href="(/study/[^"#]+)#picture"', page)[2]
    assert "<strong>Lunge</strong>" in reader.get(unescape(third)).text
    assert "<strong>Thorax 5 mm</strong>" in reader.get(f"/study/{study}?series=nonsense").text


def test_a_study_without_pictures_says_so(stack: Stack, house: House) -> None:
    study = stack.put_study(pictures=False)
    text = text_of(open_letter(house, study), f"/study/{study}")
    assert de("This file holds no picture.") in text
    assert de("The download holds it unchanged.") in text


def test_a_study_that_is_still_arriving_is_not_shown_in_part(stack: Stack, house: House) -> None:
    study = stack.put_study(complete=False)
    reader = open_letter(house, study)
    assert de("Not ready yet: images of this study are still arriving. Please look again in a few minutes.") in text_of(reader, "/worklist")
    assert de("These images are not ready yet") in text_of(reader, f"/study/{study}")
    answer = reader.get("/download")
    assert answer.status_code == 409
    assert de("Images of this study are still arriving. Please try again in a few minutes.") in answer.text


@pytest.mark.parametrize(("audience", "seen"), [(Audience.PATIENT, 1), (Audience.REFERRER, 2)])
def test_technical_series_are_for_referrers(stack: Stack, house: House, audience: Audience, seen: int) -> None:
    """Bob, Alice's doctor, also sees presentation states and the like; both find them in the download."""
    images = dicom_file("Muster^Alice", 1, "CT", "Thorax", 1, {})
    states = dicom_file("Muster^Alice", 2, "PR", "Markierungen", 1, {"SOPClassUID": PRESENTATION_STATE})
    study = stack.put_files(images, states)
    reader = open_letter(house, study, audience=audience)
    page = reader.get(f"/study/{study}").text
    assert page.count('<span class="name">') == seen
    hidden = next(row.series_id for row in stack.registry.series(study) if row.series_id not in page) if seen == 1 else "-"
    assert reader.get(f"/study/{study}/{hidden}/small.webp").status_code == 404
    heading = "Your images and reports" if audience is Audience.PATIENT else "Images and reports for you"
    assert de(heading) in text_of(reader, "/worklist")


# -- reports -------------------------------------------------------------------------------------------------------------


def test_a_report_is_shown_page_by_page_and_as_it_came(stack: Stack, house: House) -> None:
    study = stack.put_study()
    report = house.add_report(study, "Befund CT Thorax", pages=2)
    reader = open_letter(house, study)
    assert "Befund CT Thorax" in text_of(reader, f"/report/{report}")
    for number, status in ((0, 404), (1, 200), (2, 200), (3, 404)):
        assert reader.get(f"/report/{report}/{number}.webp").status_code == status
    inline, saved = reader.get(f"/report/{report}/pdf"), reader.get(f"/report/{report}/pdf/download")
    assert inline.data == saved.data
    assert inline.data.startswith(b"%PDF-")
    assert inline.headers["Content-Disposition"] == "inline"
    assert saved.headers["Content-Disposition"] == 'attachment; filename="befund.pdf"'
    assert {inline.mimetype, saved.mimetype} == {"application/pdf"}


RELEASED_LATER = de("The report can be read from %(time)s on.", time="25.11.2026, 12:00")
RELEASED_BY_HAND = de("No report has been released yet. The practice releases it when it has spoken with you.")
NEVER_RELEASED = de("This letter is for the images only. The practice tells you the result.")


@pytest.mark.parametrize(
    ("release", "told"),
    [(Release.NOW, None), (Release.LATER, RELEASED_LATER), (Release.BY_HAND, RELEASED_BY_HAND), (Release.NEVER, NEVER_RELEASED)],
)
def test_a_report_is_readable_only_when_released(stack: Stack, house: House, release: Release, told: str | None) -> None:
    study = stack.put_study()
    report = house.add_report(study, "Befund", pages=1)
    reader = open_letter(house, study, release=release)
    paths = [f"/report/{report}{rest}" for rest in ("", "/1.webp", "/pdf", "/pdf/download")]
    assert [reader.get(path).status_code for path in paths] == [200 if told is None else 404] * 4
    assert (report in reader.get("/worklist").text) is (told is None)
    if told:
        assert told in text_of(reader, "/worklist")
    assert (b"%PDF-" in reader.get(reader.get("/download").location).data) is (told is None)


def test_a_report_comes_by_itself_when_its_day_has_come(stack: Stack, house: House) -> None:
    study = stack.put_study()
    report = house.add_report(study, pages=1)
    _, letter = stack.share(study, release=Release.LATER)
    stack.now.pass_by(DAY - 1)
    reader = house.enter(letter)
    assert reader.get(f"/report/{report}").status_code == 404
    stack.now.pass_by(1)
    assert reader.get(f"/report/{report}").status_code == 200


def test_a_report_comes_when_the_desk_releases_it(stack: Stack, house: House) -> None:
    study = stack.put_study()
    report = house.add_report(study, pages=1)
    record, letter = stack.share(study, release=Release.BY_HAND)
    stack.sharing.release_reports("desk", record.share_id)
    assert house.enter(letter).get(f"/report/{report}").status_code == 200


def test_a_letter_without_report_says_so(stack: Stack, house: House) -> None:
    assert de("There is no report yet.") in text_of(open_letter(house, stack.put_study()), "/worklist")


def test_a_letter_for_looking_only_offers_no_download(stack: Stack, house: House) -> None:
    study = stack.put_study()
    reader = open_letter(house, study, may_download=False)
    for path in ("/worklist", f"/study/{study}"):
        assert "/download" not in reader.get(path).text
    assert de("This letter is for looking, not for downloading.") in text_of(reader, "/worklist")
    for path in ("/download", f"/download/{study}"):
        answer = reader.get(path)
        assert (answer.status_code, "Traceback" in answer.text) == (403, False)


# -- what others put in --------------------------------------------------------------------------------------------------

NASTY = "\"'><b id=x>&%(n)s"


def test_script_in_any_text_stays_text(stack: Stack, house: House) -> None:
    """Whoever can send to the scanner's network can write into every field; so can whoever fills in the practice's settings."""
    fields = ("PatientName", "StudyDescription", "InstitutionName", "SeriesDescription", "ReferringPhysicianName",
              "StudyID", "AccessionNumber", "PatientID", "StationName", "Manufacturer", "ProtocolName", "PatientComments")  # fmt: skip
    texts = {keyword: NASTY[:16] if keyword in ("StudyID", "AccessionNumber", "StationName") else NASTY for keyword in fields}
    study = stack.put_files(dicom_file("x", 1, "CT", "x", 1, texts), complete=True)
    report = house.add_report(study, NASTY, pages=1)
    stack.settings.set_practice(
        Practice(**dict.fromkeys(("name", "street", "city", "phone", "email", "website", "privacy", "imprint"), NASTY))
    )
    reader = open_letter(house, study)
    for path in ("/worklist", f"/study/{study}", f"/report/{report}", "/help", "/privacy", "/imprint", "/", f"/s/{'0' * 18}", "/nowhere"):
        for language in ("de", "en"):
            text = reader.get(f"{path}?lang={language}").text
            assert NASTY in unescape(text)
            assert [raw for raw in ("<b id", "\"'", "'>") if raw in text] == []


def test_a_dicom_text_is_not_taken_for_a_link_or_a_format(stack: Stack, house: House) -> None:
    study = stack.put_study(StudyDescription="javascript:alert(1) %s %(x)s {{ 7*7 }}")
    assert "javascript:alert(1) %s %(x)s {{ 7*7 }}" in text_of(open_letter(house, study), f"/study/{study}")


# -- both languages ------------------------------------------------------------------------------------------------------


def test_each_page_is_in_one_language(stack: Stack, house: House) -> None:
    """English is the key of every text: what is the same in both languages was not marked for translation."""
    study, waiting = stack.put_study(), stack.put_study(complete=False, StudyDescription="XX")
    report = house.add_report(study, "R", pages=1)
    reader = open_letter(house, study, waiting)
    same = {"light dark", "Bildbrief", "Radiologie am Markt", "Muster", "Alice", "English", "Deutsch"}
    pages = (
        "/",
        f"/s/{'0' * 18}",
        "/help",
        "/privacy",
        "/ended",
        "/worklist",
        f"/study/{study}",
        f"/study/{waiting}",
        f"/report/{report}",
        "/x",
    )
    for path in pages:
        both = {language: sentences(reader.get(f"{path}?lang={language}").text) for language in ("de", "en")}
        assert {text for text in both["de"] & both["en"] if text not in same and re.search(r"[a-z]{4} [a-z]{3}", text)} == set()


def sentences(page: str) -> set[str]:
    """The texts of a page and of what is read aloud."""
    page = page.replace(PRACTICE.name, "")
    return {unescape(text).strip() for text in re.findall(r">([^<>]+)<", page) + re.findall(r'(?:alt|aria-label|content)="([^"]+)"', page)}
