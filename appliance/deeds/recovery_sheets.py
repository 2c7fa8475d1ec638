"""Recovery shares on paper: one page of A4 for each, to be kept by different people. Nothing on it names a patient or a practice."""

from collections.abc import Sequence
from typing import Final

from ..keyholder.recovery import Sheet as Share
from ..language import N_, known, moment, translations
from .paper import ACCENT, QUIET, TINT, WHITE, Sheet, marked

LEFT: Final = 25.0
RIGHT: Final = 190.0
WIDTH: Final = RIGHT - LEFT
COLUMNS: Final = 3
ROW: Final = 9.6  # mm

_WHAT: Final = N_(
    "This sheet is one of %(count)s. Any %(needed)s of them together give back the master key of a Bildbrief appliance, the key that"
    " everything it keeps opens with. Fewer than %(needed)s give nothing away. No patient data can be read from them alone."
)
_KEEP: Final = (
    N_(
        "<b>Keep it like the key of the house:</b> in a sealed envelope, in a safe place, apart from the other sheets and from"
        " the appliance."
    ),
    N_("<b>Let no two sheets lie in one place</b> or with one person. Do not photograph, scan or copy it; do not keep it in a computer."),
    N_("<b>Once a year</b> look whether all sheets are still there. If one is missing, or the master key was rotated, make new ones."),
)
_USE: Final = N_(
    "<b>To recover:</b> on the new machine run <b>bildbrief keys recover</b> and type the words of %(needed)s sheets, in their order."
    " Capital letters do not matter, and the first four letters of each word are enough. Then restore the latest backup of the keys."
)


def recovery_sheets(shares: Sequence[Share], *, language: str, made_at: int, zone: str) -> bytes:
    """All sheets in one PDF, a page each. `made_at`: UTC seconds."""
    sheet = Sheet("Bildbrief", known(language))
    for at, share in enumerate(shares):
        if at:
            sheet.turn()
        _draw(sheet, share, language, moment(language, made_at, time=False, zone=zone, length="long"))
    return sheet.finish()


def _draw(sheet: Sheet, share: Share, language: str, day: str) -> None:
    say = translations(language).gettext
    title = say("Recovery share %(number)s of %(count)s") % {"number": share.number, "count": share.count}
    sheet.line(LEFT, 27, title, 20, width=WIDTH - 55, face="Bold", color=ACCENT)
    sheet.line(RIGHT, 27, day, 10, width=50, align="right")
    needed = {"needed": str(share.needed), "count": str(share.count)}
    y = sheet.block(LEFT, 33, marked(say(_WHAT), **needed), 11, width=WIDTH) + 6
    y = _words(sheet, share, y) + 6
    for text in _KEEP:
        y = sheet.block(LEFT, y, say(text), 10.5, width=WIDTH) + 3
    sheet.block(LEFT, y, marked(say(_USE), **needed), 10.5, width=WIDTH)
    mark = say("Set %(mark)s · sheets with another mark do not fit") % {"mark": share.mark}
    sheet.line(LEFT, 285, mark, 9, width=WIDTH, color=QUIET)
    sheet.line(RIGHT, 285, "SLIP-0039", 9, width=40, color=QUIET, align="right")


def _words(sheet: Sheet, share: Share, y: float) -> float:
    """The words, numbered down each column."""
    rows = -(-len(share.words) // COLUMNS)
    height = rows * ROW + 6
    sheet.box(LEFT, y, WIDTH, height, TINT)
    wide = (WIDTH - 6) / COLUMNS
    for at, word in enumerate(share.words):
        x, top = LEFT + 3 + at // rows * wide, y + 3 + at % rows * ROW
        sheet.box(x + 1, top + 0.6, wide - 2, ROW - 1.2, WHITE, radius=1)
        sheet.line(x + 8.5, top + 6.3, f"{at + 1}", 8.5, width=7, color=QUIET, align="right")
        sheet.line(x + 11, top + 6.5, word, 13, width=wide - 14, face="Signs")
    return y + height
