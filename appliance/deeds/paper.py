"""One sheet of A4 to draw on: our fonts, text that fits, QR codes. Lengths in mm from the top left corner, type sizes in points."""

import io
import unicodedata
from functools import cache
from html import escape
from pathlib import Path
from typing import Final, Literal

import qrcode
from PIL import Image
from reportlab.lib.colors import Color, HexColor, white
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph

from ..domain.errors import Code, Problem

INK: Final = HexColor("#1a1f24")
QUIET: Final = HexColor("#55606b")
ACCENT: Final = HexColor("#0d5c75")
TINT: Final = HexColor("#eef4f6")
WHITE: Final = white

Face = Literal["Plain", "Bold", "Signs"]
"""`Signs` is the bold monospaced face for codes and passwords: its zero has a stroke, its 1 a foot."""

_FILES: Final[dict[Face, str]] = {"Plain": "DejaVuSans.ttf", "Bold": "DejaVuSans-Bold.ttf", "Signs": "DejaVuSansMono-Bold.ttf"}
_LOGO_PIXELS: Final = 4_000_000
_QUIET_ZONE: Final = 4  # modules, ISO/IEC 18004, 5.3.8


@cache
def _fonts() -> None:
    """Registers our faces once per process; each document embeds only the signs it uses."""
    for face, name in _FILES.items():
        pdfmetrics.registerFont(TTFont(face, str(Path(__file__).with_name("fonts") / name)))
    pdfmetrics.registerFontFamily("Plain", normal="Plain", bold="Bold", italic="Plain", boldItalic="Bold")


def qr_matrix(content: str) -> list[list[bool]]:
    """The modules of a QR code (True is dark), error correction level M, without its quiet zone."""
    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_M, border=0)
    code.add_data(content)
    code.make(fit=True)
    return code.get_matrix()  # type: ignore[no-any-return]


def marked(text: str, **values: str) -> str:
    """A text with <b> marks, its %(name)s places filled with what may hold any sign."""
    return text % {name: escape(value, quote=False) for name, value in values.items()} if values else text


class Sheet:
    """A sheet of A4 that becomes a PDF. `scale` is that of all running text: as large as will fit."""

    def __init__(self, title: str, language: str, scale: float = 1.0) -> None:
        _fonts()
        self._bytes = io.BytesIO()
        self._scale = scale
        # invariant: no time of making, no random id; the same letter is the same bytes.
        self._pdf = Canvas(self._bytes, pagesize=A4, invariant=1, lang=language, initialFontName="Plain")
        self._pdf.setTitle(title)
        self._pdf.setAuthor("")
        self._pdf.setSubject("")
        self._pdf.setCreator("Bildbrief")
        self._pdf.setProducer("Bildbrief")
        self._pdf.setViewerPreference("PrintScaling", "None")  # or the address would miss the window of the envelope

    def turn(self) -> None:
        """Go on with a new page."""
        self._pdf.showPage()

    def finish(self) -> bytes:
        self._pdf.showPage()
        self._pdf.save()
        return self._bytes.getvalue()

    def line(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        *,
        width: float,
        face: Face = "Plain",
        color: Color = INK,
        align: Literal["left", "right", "center"] = "left",
    ) -> None:
        """One line with its baseline at `y`, made smaller if wider than `width`; `x` is its left or right edge or its middle."""
        text = unicodedata.normalize("NFC", text)
        size *= min(1.0, width * mm / max(1.0, pdfmetrics.stringWidth(text, face, size)))
        self._pdf.setFont(face, size)
        self._pdf.setFillColor(color)
        draw = {"left": self._pdf.drawString, "right": self._pdf.drawRightString, "center": self._pdf.drawCentredString}[align]
        draw(x * mm, self._up(y), text)

    def block(self, x: float, y: float, text: str, size: float, *, width: float, color: Color = INK) -> float:
        """A paragraph below `y`, broken into lines of `width`; may hold <b>. Returns where it ends."""
        paragraph, height = self._paragraph(text, size, width, color)
        paragraph.drawOn(self._pdf, x * mm, self._up(y + height))
        return y + height

    def height(self, text: str, size: float, *, width: float) -> float:
        """How high a paragraph will be."""
        return self._paragraph(text, size, width, INK)[1]

    def _paragraph(self, text: str, size: float, width: float, color: Color) -> tuple[Paragraph, float]:
        size *= self._scale
        style = ParagraphStyle("block", fontName="Plain", fontSize=size, leading=size * 1.36, textColor=color, splitLongWords=1)
        paragraph = Paragraph(unicodedata.normalize("NFC", text), style)
        return paragraph, float(paragraph.wrap(width * mm, A4[1])[1]) / mm

    def box(self, x: float, y: float, width: float, height: float, color: Color, *, radius: float = 2, edge: Color | None = None) -> None:
        self._pdf.setFillColor(color)
        if edge is not None:
            self._pdf.setStrokeColor(edge)
            self._pdf.setLineWidth(0.8)
        self._pdf.roundRect(x * mm, self._up(y + height), width * mm, height * mm, radius * mm, fill=1, stroke=int(edge is not None))

    def rule(self, x: float, y: float, width: float, *, color: Color = QUIET, weight: float = 0.4, dashed: bool = False) -> None:
        self._pdf.setStrokeColor(color)
        self._pdf.setLineWidth(weight)
        self._pdf.setDash([4, 3] if dashed else [])
        self._pdf.line(x * mm, self._up(y), (x + width) * mm, self._up(y))
        self._pdf.setDash([])

    def qr(self, x: float, y: float, side: float, content: str) -> None:
        """A QR code with its quiet zone in a white square, drawn as one shape so that no printer leaves seams between modules."""
        matrix = qr_matrix(content)
        module = side / (len(matrix) + 2 * _QUIET_ZONE)
        self.box(x - 1, y - 1, side + 2, side + 2, WHITE)  # so that its round corners stay out of the quiet zone
        shape = self._pdf.beginPath()
        for row, line in enumerate(matrix):
            start = 0
            while start < len(line):
                end = start
                while end < len(line) and line[end]:
                    end += 1
                if end > start:
                    top = y + (row + _QUIET_ZONE + 1) * module
                    shape.rect((x + (start + _QUIET_ZONE) * module) * mm, self._up(top), (end - start) * module * mm, module * mm)
                start = end + 1
        self._pdf.setFillColor(INK)
        self._pdf.drawPath(shape, fill=1, stroke=0)

    def picture(self, x: float, y: float, picture: bytes, *, width: float, height: float) -> float:
        """A PNG or JPEG no larger than `width` × `height`. Returns its width. Problem INVALID if it is neither."""
        try:
            with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG")) as image:
                if image.width * image.height > _LOGO_PIXELS:
                    raise Problem(Code.INVALID, "The logo is too large. Choose a picture of at most 2,000 × 2,000 pixels.")
                image.load()
                plain = image.convert("RGBA")
        except OSError as error:
            raise Problem(Code.INVALID, "The logo is not a PNG or JPEG picture. Choose another file.") from error
        scale = min(width / plain.width, height / plain.height)
        size = plain.width * scale, plain.height * scale
        self._pdf.drawImage(ImageReader(plain), x * mm, self._up(y + size[1]), size[0] * mm, size[1] * mm, mask="auto")
        return size[0]

    def _up(self, y: float) -> float:
        """PDF counts points from the bottom."""
        return float(A4[1] - y * mm)
