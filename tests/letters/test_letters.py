"""Letters and slips as a reader gets them: the page as it looks, the text on it, and what a phone reads in the QR code."""

import io
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import pypdfium2
import pytest
import zxingcpp
from PIL import Image, ImageFilter

from appliance.deeds.letters import LetterText, letter, slip
from appliance.deeds.paper import Sheet
from appliance.domain.codes import ALPHABET, check_digit, show_code, show_password
from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY, Audience, ShareRecord
from appliance.language import LANGUAGES
from appliance.registry.settings import Practice

NOW = 1_795_521_600  # 2026-11-24 13:00 in Berlin
CODE = "12345678901234567" + check_digit("12345678901234567")
PASSWORD = "7K0QM3XW8Z"
PRACTICE = Practice(name="Radiologie am Lindenplatz", street="Lindenplatz 4", city="12345 Musterstadt", phone="030 1234567")
RECORD = ShareRecord(
    share_id="7f3a" + "0" * 28,
    audience=Audience.PATIENT,
    language="de",
    studies=("ab" * 16,),
    created_at=NOW,
    not_before=NOW,
    expires_at=NOW + 90 * DAY + 11 * 3600,
    may_download=True,
    may_read_reports=True,
    reports_from=NOW,
)
TEXT = LetterText(
    PRACTICE, RECORD, CODE, "https://bilder.lindenplatz.example/", NOW, recipient="Alice Muster\nLange Straße 17\n54321 Beispielstadt"
)
MM = 72 / 25.4


def said(pdf: bytes) -> str:
    """The text of the page in one line, as poppler reads it."""
    text = subprocess.run(["pdftotext", "-raw", "-", "-"], input=pdf, capture_output=True, check=True).stdout.decode()
    return " ".join(text.split())


def picture(pdf: bytes, dots_per_inch: float = 150) -> Image.Image:
    document = pypdfium2.PdfDocument(pdf)
    assert len(document) == 1
    assert [round(side / MM) for side in document[0].get_size()] == [210, 297]
    image: Image.Image = document[0].render(scale=dots_per_inch / 72).to_pil().convert("L")
    return image


def place(pdf: bytes, words: str) -> tuple[float, float, float, float]:
    """Where words stand: left, top, right, bottom in mm from the top left corner."""
    page = pypdfium2.PdfDocument(pdf)[0]
    text = page.get_textpage()
    found = text.search(words).get_next()
    assert found, words
    boxes = [text.get_charbox(found[0] + at) for at in range(found[1])]
    height = page.get_size()[1]
    left, right = min(box[0] for box in boxes), max(box[2] for box in boxes)
    return left / MM, (height - max(box[3] for box in boxes)) / MM, right / MM, (height - min(box[1] for box in boxes)) / MM


def of(**changes: object) -> LetterText:
    return replace(TEXT, record=replace(RECORD, **changes))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("audience", Audience)
@pytest.mark.parametrize("recipient", ["", TEXT.recipient])
def test_a_letter_leads_to_the_pictures(audience: Audience, language: str, recipient: str) -> None:
    pdf = letter(replace(of(audience=audience, language=language), recipient=recipient))
    (code,) = zxingcpp.read_barcodes(picture(pdf))
    assert code.text == f"https://bilder.lindenplatz.example/s/{CODE}"
    assert code.ec_level == "M"
    text = said(pdf)
    assert show_code(CODE) in text
    assert "bilder.lindenplatz.example" in text
    assert {"de": "Gültig bis 22. Februar 2027. Danach", "en": "Valid until 22 February 2027. A call within 14 days"}[language] in text
    assert {"de": "nicht in diesem Brief", "en": "not in this letter"}[language] in text
    assert all(part in text for part in ("Radiologie am Lindenplatz", "Lindenplatz 4", "12345 Musterstadt", "030 1234567"))
    assert RECORD.studies[0] not in text


def test_a_bad_camera_still_reads_the_code() -> None:
    blurred = picture(letter(TEXT), 72).rotate(11, fillcolor=255, expand=True).filter(ImageFilter.GaussianBlur(0.7))
    (code,) = zxingcpp.read_barcodes(blurred)
    assert code.text == TEXT.link


def test_the_code_is_large_and_has_its_quiet_zone() -> None:
    image = picture(letter(TEXT), 254)  # ten pixels a millimetre
    (code,) = zxingcpp.read_barcodes(image)
    left, top, right, bottom = (
        code.position.top_left.x,
        code.position.top_left.y,
        code.position.bottom_right.x,
        code.position.bottom_right.y,
    )
    assert right - left > 400
    quiet = 4 * (right - left) // 33 - 1
    around = image.crop((left - quiet, top - quiet, right + quiet, bottom + quiet))
    around.paste(255, (quiet - 4, quiet - 4, quiet + right - left + 4, quiet + bottom - top + 4))
    assert around.getextrema()[0] > 250
    assert place(letter(TEXT), show_code(CODE))[2] - place(letter(TEXT), show_code(CODE))[0] > 110


def test_the_address_shows_in_the_window() -> None:
    for line in TEXT.recipient.splitlines():
        left, top, right, bottom = place(letter(TEXT), line)
        assert left >= 20, line
        assert right <= 105, line
        assert 44.7 <= top < bottom <= 72, line
    full = letter(replace(TEXT, recipient="\n".join(f"Zeile {at}" for at in range(6))))
    assert place(full, "Zeile 5")[3] <= 74
    assert place(full, "Ihre Bilder")[1] > 75


def test_an_address_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Problem, match="more than 6 lines") as refusal:
        letter(replace(TEXT, recipient="x\n" * 7))
    assert refusal.value.code is Code.INVALID


@pytest.mark.parametrize(
    "name", ["Łukasz Wójcik", "Ayşe Ağaoğlu", "Жанна Шевченко", "Jürgen Weiß", "<b>Müller & Söhne</b>", "%(name)s 100 %", "Ju\u0308rgen"]
)
def test_any_name_is_printed_as_it_is(name: str) -> None:
    text = said(letter(replace(TEXT, recipient=name, about=name, practice=replace(PRACTICE, name=name, phone=name))))
    assert text.count(name.replace("u\u0308", "ü")) == 7  # head, sender, recipient, about, both telephones, greeting


def test_our_faces_have_the_signs() -> None:
    from reportlab.pdfbase import pdfmetrics

    Sheet("", "de")
    for face in ("Plain", "Bold"):
        missing = set("ŁłğĞşŞıİßẞäöüÄÖÜéèñçøåŠžЖйїα–’…·") - {chr(sign) for sign in pdfmetrics.getFont(face).face.charToGlyph}
        assert not missing


def test_a_letter_that_says_much_stays_on_its_page() -> None:
    practice = Practice(
        name="Überörtliche Berufsausübungsgemeinschaft für Radiologie, Nuklearmedizin und Strahlentherapie Dr. Lang & Kollegen",
        street="Straße des Dr.-Karl-Friedrich-von-Langenbeck-Gedenkplatzes 1234, Hinterhaus",
        city="98765 Bad Musterstadt an der Langen Oberen Weinstraße",
        phone="0800 1234567 (Montag bis Freitag von 8 bis 12 und von 14 bis 18 Uhr, mittwochs bis 20 Uhr)",
        website="www.ueberoertliche-berufsausuebungsgemeinschaft.example",
        privacy="Näheres steht unter www.ueberoertliche-berufsausuebungsgemeinschaft.example/datenschutz/auskunft",
    )
    record = replace(RECORD, not_before=NOW + DAY, reports_from=None)
    long = replace(
        TEXT,
        practice=practice,
        record=record,
        report=True,
        about="Ihre Überweisung vom 12. November 2026, Auftragsnummer 2026-11-0123456789 " * 3,
        portal_url="https://untersuchungsbilder.ueberoertliche-berufsausuebungsgemeinschaft.example/bildbrief",
        recipient="\n".join(f"Zeile {at} mit einem Namen, der weit über das Fenster hinausginge, wenn er dürfte" for at in range(6)),
    )
    pdf = letter(long)
    (code,) = zxingcpp.read_barcodes(picture(pdf))
    assert code.text == long.link
    page = picture(pdf, 25.4 * 4)
    ink = page.point(lambda value: 255 * (value < 128)).getbbox()
    assert ink is not None
    assert ink[2] / 4 <= 192  # nothing runs over the right margin
    assert place(pdf, "Grüßen")[3] < place(pdf, "Brief Nr.")[1]
    assert place(pdf, "dürfte")[2] <= 105


def test_large_type_where_there_is_room() -> None:
    def height(pdf: bytes) -> float:
        _, top, _, bottom = place(pdf, "Kamera")
        return bottom - top

    assert height(letter(replace(TEXT, recipient=""))) > height(letter(TEXT))


def test_what_the_letter_says_of_report_dates_and_rights() -> None:
    later = {"reports_from": NOW + DAY}
    assert "Befund" not in said(letter(TEXT))
    assert "Auch den Befund können Sie dort lesen." in said(letter(replace(TEXT, report=True)))
    assert "Befund können Sie dort ab 25. November 2026, 13:00 Uhr lesen." in said(letter(replace(of(**later), report=True)))
    assert "sobald die Praxis ihn freigibt" in said(letter(replace(of(reports_from=None), report=True)))
    assert "Befund" not in said(letter(replace(of(may_read_reports=False), report=True)))
    assert "Der Zugang öffnet sich am 25. November 2026, 13:00 Uhr." in said(letter(of(not_before=NOW + DAY)))
    assert "laden Sie sie herunter" in said(letter(of(audience=Audience.REFERRER)))
    assert "Herunterladen ist bei diesem Zugang nicht vorgesehen" in said(letter(of(audience=Audience.REFERRER, may_download=False)))
    assert "Anruf" not in said(letter(replace(TEXT, grace_days=0)))
    assert "22. Februar 2027, 12:59" in said(letter(of(expires_at=NOW + 90 * DAY)))
    assert "Fragen?" not in said(letter(replace(TEXT, practice=Practice(name="Musterpraxis"))))
    assert "Auskunft gibt Frau Meier" in said(letter(replace(TEXT, practice=replace(PRACTICE, privacy="Auskunft gibt Frau Meier"))))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slip_shows_the_password_and_nothing_else(language: str) -> None:
    pdf = slip(PRACTICE, replace(RECORD, language=language), PASSWORD)
    text = said(pdf)
    shown = show_password(PASSWORD).replace("-", "–")
    assert shown in text.replace(" ", "")
    assert {"de": "getrennt vom Brief", "en": "apart from the letter"}[language] in text
    assert {"de": "null", "en": "zero"}[language] in text
    assert "7F3A" in text
    assert not zxingcpp.read_barcodes(picture(pdf))
    assert "lindenplatz.example" not in text
    bottom = [place(pdf, words)[3] for words in ({"de": "Brief Nr.", "en": "Letter no."}[language], "030 1234567")]
    assert max(bottom) < 99  # a third of the page


def test_code_and_password_never_share_a_sheet() -> None:
    assert "password" not in {field.name for field in fields(LetterText)}
    assert not any(
        character.isdigit() for character in said(slip(PRACTICE, RECORD, "ABCDEFGHJK")).partition("Ihr Passwort")[2].replace("7F3A", "")
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("signs", [ALPHABET[:10], ALPHABET[10:20], ALPHABET[20:30], ALPHABET[22:]])
def test_every_sign_is_spelled_beside_itself(language: str, signs: str) -> None:
    pdf = slip(PRACTICE, replace(RECORD, language=language), signs)
    words = said(pdf)
    for sign in signs:
        if sign.isalpha():
            assert any(word[0].upper() == sign and len(word) > 2 for word in words.split()), sign


def test_letter_and_slip_can_be_matched_at_the_desk() -> None:
    assert "Brief Nr. 7F3A" in said(letter(TEXT))
    assert "Brief Nr. 7F3A" in said(slip(PRACTICE, RECORD, PASSWORD))


def test_a_logo_is_shown_and_anything_else_refused() -> None:
    def encoded(image: Image.Image, kind: str) -> bytes:
        sink = io.BytesIO()
        image.save(sink, kind)
        return sink.getvalue()

    logo = Image.new("RGBA", (400, 200), (200, 0, 0, 255))
    for kind, mode in (("PNG", "RGBA"), ("JPEG", "RGB"), ("PNG", "P")):
        page = pypdfium2.PdfDocument(letter(replace(TEXT, logo=encoded(logo.convert(mode), kind))))[0].render(scale=1 / MM).to_pil()
        red, green, blue = page.convert("RGB").getpixel((40, 15))
        assert red > 190, kind
        assert green + blue < 20, kind
    for bad, sentence in (
        (b"<svg/>", "not a PNG or JPEG"),
        (encoded(logo, "PNG")[:90], "not a PNG or JPEG"),
        (encoded(logo, "GIF"), "not a PNG or JPEG"),
        (encoded(Image.new("1", (9000, 9000)), "PNG"), "too large"),
    ):
        with pytest.raises(Problem, match=sentence):
            letter(replace(TEXT, logo=bad))


def test_the_file_tells_nothing_of_its_reader() -> None:
    for pdf in (letter(TEXT), slip(PRACTICE, RECORD, PASSWORD)):
        about = pypdfium2.PdfDocument(pdf).get_metadata_dict()
        assert set(about.values()) == {"Bildbrief", "", "D:20000101000000+00'00'"}
        assert len(pdf) < 100_000  # only the signs it uses are embedded


def test_the_same_letter_is_the_same_bytes_from_many_threads() -> None:
    expected = letter(TEXT)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: letter(TEXT), range(12))) == {expected}
