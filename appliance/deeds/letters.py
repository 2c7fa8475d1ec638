"""The letter with the access code, and the slip with the password: two sheets of A4 that never hold both.

The letter follows DIN 5008 form A, so its address shows in a window envelope. It says as little as it can: no diagnosis, no name of
an examination, and a name only where the practice puts one into the address. The same input gives the same bytes.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from babel.support import Translations

from ..domain.codes import show_code
from ..domain.errors import Code, Problem
from ..domain.share import Audience, ShareRecord
from ..language import N_, ZONE, end_of, known, moment, translations
from ..registry.settings import Practice
from .paper import ACCENT, INK, QUIET, TINT, WHITE, Sheet, marked

LEFT: Final = 25.0
RIGHT: Final = 190.0
WIDTH: Final = RIGHT - LEFT
BOTTOM: Final = 285.0
ADDRESS_LINES: Final = 6  # DIN 5008, 8.1: the address zone
SCALES: Final = (1.15, 1.1, 1.05, 1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7, 0.6)

# DIN 5009 (2022) and the ICAO alphabet: how a sign is said on the telephone.
_SPOKEN: Final = {
    "de": "null eins zwei drei vier fünf sechs sieben acht neun Aachen Berlin Chemnitz Düsseldorf Essen Frankfurt Goslar Hamburg Jena "
    "Köln München Nürnberg Potsdam Quickborn Rostock Salzwedel Tübingen Völklingen Wuppertal Xanten Ypsilon Zwickau",
    "en": "zero one two three four five six seven eight nine Alfa Bravo Charlie Delta Echo Foxtrot Golf Hotel Juliett "
    "Kilo Mike November Papa Quebec Romeo Sierra Tango Victor Whiskey X-ray Yankee Zulu",
}


@dataclass(frozen=True, slots=True)
class LetterText:
    """What a letter says. `recipient` is the address as lines, or empty; `about` one line the practice chose to add.

    `report` says that there is a written report now; `grace_days`, how long after its end the practice can open the access again.
    """

    practice: Practice
    record: ShareRecord
    code: str
    portal_url: str
    written_at: int
    recipient: str = ""
    about: str = ""
    report: bool = False
    grace_days: int = 14
    logo: bytes = b""
    zone: str = ZONE

    @property
    def link(self) -> str:
        """What the QR code holds."""
        return f"{self.portal_url.rstrip('/')}/s/{self.code}"

    @property
    def address(self) -> str:
        """The portal as one types it into a browser."""
        parts = urlsplit(self.portal_url)
        return f"{parts.netloc}{parts.path}".rstrip("/")


_PATIENT: Final = (
    N_("<b>Point your phone’s camera</b> at this square. Tap on the link that appears."),
    N_("<b>Enter your password.</b> It is not in this letter: you receive it separately, on a slip of its own or by telephone."),
    N_("<b>Look at your pictures.</b> Tap on one to make it large. Close the window when you are done."),
)
_REFERRER: Final = (
    N_("<b>Scan the square</b> with a phone, or type the address below into the browser of your computer."),
    N_("<b>Enter the password.</b> It is not in this letter: you receive it separately, on a slip of its own or by telephone."),
    N_("<b>View the pictures, or download them</b> as DICOM files for your own system."),
)
_REFERRER_VIEW_ONLY: Final = N_("<b>View the pictures.</b> This access does not include a download.")


def letter(text: LetterText) -> bytes:
    """The letter as PDF: one page of A4, in the largest type that fits. Problem INVALID for an address or logo that cannot be printed."""
    if len(_lines(text.recipient)) > ADDRESS_LINES:
        raise Problem(Code.INVALID, "The address has more than %(most)s lines. Shorten it and try again.", most=ADDRESS_LINES)
    for scale in SCALES:
        written = _Letter(text, scale)
        if written.bottom <= BOTTOM:
            break
    return written.sheet.finish()


def slip(practice: Practice, record: ShareRecord, password: str) -> bytes:
    """The password slip as PDF: the upper third of a page of A4, to be cut off and kept apart from the letter."""
    words = translations(record.language)
    sheet = Sheet("Bildbrief", known(record.language))
    _head(sheet, practice, b"")
    sheet.line(LEFT, 35, words.gettext("Your password"), 15, width=WIDTH, face="Bold")

    spoken = dict(zip("0123456789ABCDEFGHJKMNPQRSTVWXYZ", _SPOKEN[known(record.language)].split(), strict=True))
    cell, gap = 14.6, 8.0
    left = LEFT + (WIDTH - len(password) * cell - gap) / 2
    sheet.box(LEFT, 40, WIDTH, 28, TINT)
    places = [left + at * cell + at // 5 * gap for at in range(len(password))]
    for at, (x, sign) in enumerate(zip(places, password, strict=True)):
        if at == 5:
            sheet.line(x - gap / 2, 53.4, "–", 20, width=gap, color=QUIET, align="center")
        sheet.box(x + 0.5, 43, cell - 1, 16, WHITE, radius=1.2, edge=ACCENT)
        sheet.line(x + cell / 2, 55.2, sign, 34, width=cell, face="Signs", align="center")
    for x, sign in zip(places, password, strict=True):
        sheet.line(x + cell / 2, 64, spoken[sign], 7.5, width=cell - 0.6, color=QUIET, align="center")

    y = sheet.block(LEFT, 71, words.gettext("Capital or small letters, with or without the hyphen: both work."), 9.5, width=WIDTH)
    sheet.block(
        LEFT,
        y + 2,
        words.gettext("<b>Keep this slip apart from the letter.</b> Only both together open the pictures."),
        10.5,
        width=WIDTH,
    )
    sheet.line(RIGHT, 94, _mark(words, record), 7.5, width=60, color=QUIET, align="right")
    sheet.rule(0, 99, 210, dashed=True)
    sheet.line(LEFT, 104, words.gettext("Cut here"), 7.5, width=60, color=QUIET)
    return sheet.finish()


class _Letter:
    """A letter being drawn from top to bottom; `bottom` is where it ended."""

    def __init__(self, text: LetterText, scale: float) -> None:
        self.text = text
        self.words = translations(text.record.language)
        self.sheet = Sheet("Bildbrief", known(text.record.language), scale)
        _head(self.sheet, text.practice, text.logo)
        _fold_marks(self.sheet)
        top = self._addressed() if text.recipient.strip() else 36.0
        y = self._opening(top)
        y = self._steps(y + 5, side=54 if text.recipient.strip() else 64)
        y = self._typed(y + 4)
        y = self._facts(y + 5)
        if text.practice.name:
            y = self.sheet.block(
                LEFT, y + 2, f"{self.words.gettext('Kind regards')}<br/>{marked('%(n)s', n=text.practice.name)}", 11, width=WIDTH
            )
        self.sheet.line(RIGHT, 290, _mark(self.words, text.record), 7.5, width=60, color=QUIET, align="right")
        self.bottom = y

    def _addressed(self) -> float:
        """The address in the window, 45 mm × 85 mm from 27 mm below the edge."""
        sheet, practice = self.sheet, self.text.practice
        sender = " · ".join(part for part in (practice.name, practice.street, practice.city) if part)
        sheet.line(LEFT, 42, sender, 7, width=75, color=QUIET)
        sheet.rule(LEFT, 43.2, 75)
        for at, line in enumerate(_lines(self.text.recipient)):
            sheet.line(LEFT, 49.5 + at * 4.6, line, 10.5, width=78)
        return 78.0

    def _opening(self, y: float) -> float:
        text, record, sheet, say = self.text, self.text.record, self.sheet, self.words.gettext
        patient = record.audience is Audience.PATIENT
        title = say("Your pictures are ready") if patient else say("Pictures of your patient")
        sheet.line(LEFT, y + 4, title, 16, width=WIDTH - 50, face="Bold", color=ACCENT)
        sheet.line(RIGHT, y + 4, self._day(text.written_at), 10, width=48, align="right")
        y += 8
        if text.about:
            y = sheet.block(LEFT, y + 1, marked("%(about)s", about=text.about), 10.5, width=WIDTH)
        y = sheet.block(LEFT, y + 2, say("Dear patient,") if patient else say("Dear colleague,"), 11, width=WIDTH)
        sentences = [
            say("With this letter you can look at the pictures of your examination: at home, on a phone, tablet or computer.")
            if patient
            else say("With this letter you can view the pictures of the examination of your patient in your browser."),
        ]
        if text.report and record.may_read_reports:
            sentences.append(self._report())
        if record.not_before > text.written_at:
            sentences.append(marked(say("The access opens on %(moment)s."), moment=self._moment(record.not_before)))
        return sheet.block(LEFT, y + 2, " ".join(sentences), 11, width=WIDTH)

    def _report(self) -> str:
        released, say = self.text.record.reports_from, self.words.gettext
        if released is None:
            return say("You can read the report there as soon as the practice releases it.")
        if released > self.text.written_at:
            return marked(say("You can read the report there from %(moment)s."), moment=self._moment(released))
        return say("You can read the report there, too.")

    def _steps(self, y: float, *, side: float) -> float:
        """The QR code, and beside it the three steps."""
        record, sheet = self.text.record, self.sheet
        steps = _PATIENT if record.audience is Audience.PATIENT else _REFERRER
        if record.audience is Audience.REFERRER and not record.may_download:
            steps = (*steps[:2], _REFERRER_VIEW_ONLY)
        pad, x = 4.0, LEFT + side + 20
        paragraphs = [self.words.gettext(step) for step in steps]
        heights = [sheet.height(step, 11, width=RIGHT - pad - x) for step in paragraphs]
        space = max(3.0, (side - sum(heights)) / 3)
        height = max(side, sum(heights) + 3 * space) + 2 * pad
        sheet.box(LEFT, y, WIDTH, height, TINT)
        sheet.qr(LEFT + pad, y + (height - side) / 2, side, self.text.link)
        at = y + pad + space / 2
        for number, (step, high) in enumerate(zip(paragraphs, heights, strict=True), start=1):
            sheet.box(x - 11, at, 7.6, 7.6, ACCENT, radius=3.8)
            sheet.line(x - 7.2, at + 5.4, str(number), 12, width=6, face="Bold", color=WHITE, align="center")
            sheet.block(x, at, step, 11, width=RIGHT - pad - x)
            at += high + space
        return y + height

    def _typed(self, y: float) -> float:
        """For those without a camera: the address and the code, large."""
        sheet, say = self.sheet, self.words.gettext
        sheet.box(LEFT, y, WIDTH, 36, WHITE, edge=ACCENT)
        sheet.line(
            LEFT + 4, y + 7, say("On a computer, or without a camera: type this, then your password"), 10.5, width=WIDTH - 8, face="Bold"
        )
        sheet.line(LEFT + 4, y + 17, say("1. the address"), 10, width=36)
        sheet.line(LEFT + 42, y + 17, self.text.address, 16, width=WIDTH - 46, face="Bold")
        sheet.line(LEFT + 4, y + 29, say("2. the access code"), 10, width=36)
        sheet.line(LEFT + 42, y + 29.4, show_code(self.text.code), 24, width=WIDTH - 46, face="Signs")
        return y + 36

    def _facts(self, y: float) -> float:
        """How long, whom to ask, what happens to the data."""
        text, practice, say = self.text, self.text.practice, self.words.gettext
        until = f"<b>{marked('%(m)s', m=end_of(text.record.language, text.record.expires_at, zone=text.zone))}</b>"
        if text.grace_days:
            until += ". " + marked(
                say("A call within %(days)s days after that is enough to have it opened again, with the same code and password."),
                days=str(text.grace_days),
            )
        contact = practice.phone or practice.email
        ask = marked(say("<b>%(contact)s</b>. We help, and give you a new password if it is lost."), contact=contact) if contact else ""
        privacy = say("The pictures are stored encrypted. Only code and password together open them, and they are erased after the end.")
        if text.record.audience is Audience.REFERRER:
            privacy += " " + say("The view in the browser is not meant for diagnosis.")
        if 0 < len(practice.privacy) <= 120:
            privacy += " " + marked("%(privacy)s", privacy=practice.privacy)
        for label, fact in ((say("Valid until"), until), (say("Questions?"), ask), (say("Data protection"), privacy)):
            if fact:
                self.sheet.block(LEFT + 4, y, label, 10, width=37, color=QUIET)
                y = self.sheet.block(LEFT + 42, y, fact, 10, width=WIDTH - 42) + 2.5
        return y

    def _day(self, seconds: int) -> str:
        return moment(self.text.record.language, seconds, time=False, zone=self.text.zone, length="long")

    def _moment(self, seconds: int) -> str:
        return moment(self.text.record.language, seconds, zone=self.text.zone, length="long")


def _head(sheet: Sheet, practice: Practice, logo: bytes) -> None:
    """The practice's own lines, above the address window."""
    x = LEFT + (sheet.picture(LEFT, 7, logo, width=45, height=15) + 5 if logo else 0)
    sheet.line(x, 17, practice.name, 14, width=RIGHT - 62 - x, face="Bold", color=ACCENT)
    contact = [part for part in (practice.street, practice.city, practice.phone, practice.website or practice.email) if part]
    for at, line in enumerate(contact):
        sheet.line(RIGHT, 10 + at * 4, line, 8.5, width=60, color=INK, align="right")
    sheet.rule(LEFT, 25.5, WIDTH, color=ACCENT, weight=0.8)


def _fold_marks(sheet: Sheet) -> None:
    """DIN 5008 form A: folds at 87 and 192 mm, the middle for a hole punch."""
    for y in (87, 148.5, 192):
        sheet.rule(4, y, 4)


def _mark(words: Translations, record: ShareRecord) -> str:
    """What shows the desk that a letter and a slip belong together, and nobody else anything."""
    return words.gettext("Letter no. %(number)s") % {"number": record.share_id[:4].upper()}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
