"""The report that goes with the sample CT: a PDF of two pages in German, with plausible findings of an invented patient."""

import datetime as dt
import io
from functools import cache
from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table

FONTS = Path(__file__).parents[1] / "appliance" / "deeds" / "fonts"
MARK = "MUSTERBEFUND – erfundene Daten, keine wirkliche Person"

FINDINGS = (
    (
        "Klinische Angaben",
        "Seit sechs Wochen Husten, 4 kg Gewichtsabnahme. Frage nach einer Raumforderung in Thorax und Oberbauch.",
    ),
    (
        "Technik",
        "Spiral-CT von Thorax und Oberbauch in portalvenöser Phase nach intravenöser Gabe von 80 ml jodhaltigem Kontrastmittel. "
        "Schichtdicke 2,5 mm, Darstellung im Weichteil- und im Lungenfenster.",
    ),
    (
        "Thorax",
        "Beide Lungen sind regelrecht belüftet. Kein Rundherd, kein Infiltrat, kein Pleuraerguss. Trachea und Hauptbronchien sind frei. "
        "Herz normal groß, kein Perikarderguss. Aorta und Pulmonalarterien regelrecht kontrastiert, keine zentrale Lungenembolie. "
        "Keine vergrößerten mediastinalen, hilären oder axillären Lymphknoten.",
    ),
    (
        "Oberbauch",
        "Leber normal groß, homogen kontrastiert. Im rechten Leberlappen (Segment VII) eine glatt begrenzte, 14 mm große Zyste ohne "
        "Kontrastmittelaufnahme. Gallenblase zart, Gallenwege nicht erweitert. Milz, Pankreas und beide Nieren unauffällig; "
        "kein Harnstau. Keine freie Flüssigkeit.",
    ),
    (
        "Skelett",
        "Altersentsprechende Veränderungen der Brustwirbelsäule. Kein Anhalt für Osteolysen oder Frakturen.",
    ),
)
CONCLUSION = (
    "Kein Nachweis einer Raumforderung in Thorax oder Oberbauch.",
    "Einfache Leberzyste in Segment VII (14 mm), ohne Krankheitswert; keine Kontrolle nötig.",
    "Keine vergrößerten Lymphknoten, kein Erguss.",
)
PLAIN = (
    "Wir haben mit der Computertomographie Ihren Brustkorb und Ihren Oberbauch untersucht. Dabei haben wir <b>nichts gefunden, was Ihre "
    "Beschwerden erklärt und behandelt werden müsste</b>.",
    "In der Leber liegt ein kleines, mit Flüssigkeit gefülltes Bläschen (eine Zyste). Solche Zysten sind häufig und harmlos. "
    "Sie müssen nicht kontrolliert werden.",
    "Lunge, Herz, Milz, Bauchspeicheldrüse und Nieren sehen so aus, wie es in Ihrem Alter zu erwarten ist.",
    "Bitte besprechen Sie den Befund mit Ihrer Hausärztin oder Ihrem Hausarzt. Er ersetzt nicht das Gespräch.",
)


@cache
def _fonts() -> None:
    for face, name in (("Report", "DejaVuSans.ttf"), ("Report-Bold", "DejaVuSans-Bold.ttf")):
        pdfmetrics.registerFont(TTFont(face, str(FONTS / name)))
    pdfmetrics.registerFontFamily("Report", normal="Report", bold="Report-Bold", italic="Report", boldItalic="Report-Bold")


def report(today: dt.date, name: str, birth_date: str, patient_id: str) -> bytes:
    """The PDF. `name` is a DICOM person name, `birth_date` YYYYMMDD."""
    _fonts()
    text = ParagraphStyle("text", fontName="Report", fontSize=9.5, leading=14, spaceAfter=5)
    head = ParagraphStyle("head", parent=text, fontName="Report-Bold", spaceBefore=7, spaceAfter=2)
    title = ParagraphStyle("title", parent=head, fontSize=14, leading=18, spaceAfter=8)
    family, given = (*name.split("^"), "")[:2]
    born = dt.datetime.strptime(birth_date, "%Y%m%d").replace(tzinfo=dt.UTC)
    facts = [
        ("Patientin", f"{family}, {given}", "Untersuchung", f"{today:%d.%m.%Y}"),
        ("Geboren", f"{born:%d.%m.%Y}", "Nummer", patient_id),
        ("Zuweiser", "Dr. med. Bob Beispiel", "Befund vom", f"{today:%d.%m.%Y}"),
    ]
    table = Table(facts, colWidths=[24 * mm, 60 * mm, 28 * mm, 53 * mm], hAlign="LEFT")
    table.setStyle(
        [
            ("FONT", (0, 0), (-1, -1), "Report", 9.5),
            ("TEXTCOLOR", (0, 0), (0, -1), "#55606b"),
            ("TEXTCOLOR", (2, 0), (2, -1), "#55606b"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ]
    )

    story: list[object] = [Paragraph("Computertomographie von Thorax und Oberbauch", title), table, Spacer(0, 4 * mm)]
    for part, finding in FINDINGS:
        story += [Paragraph(part, head), Paragraph(finding, text)]
    story.append(Paragraph("Beurteilung", head))
    story += [Paragraph(f"{number}. {line}", text) for number, line in enumerate(CONCLUSION, start=1)]
    story += [Spacer(0, 6 * mm), Paragraph("Dr. med. Charlotte Muster<br/>Fachärztin für Radiologie (erfunden)", text)]
    story += [PageBreak(), Paragraph("Der Befund in einfachen Worten", title), *(Paragraph(line, text) for line in PLAIN)]

    pdf = io.BytesIO()
    margins = {"leftMargin": 25 * mm, "rightMargin": 20 * mm, "topMargin": 34 * mm, "bottomMargin": 22 * mm}
    document = SimpleDocTemplate(
        pdf, pagesize=A4, invariant=1, lang="de", title="Befund (Muster)", author="Musterpraxis (sample data)", **margins
    )
    document.build(story, onFirstPage=_frame, onLaterPages=_frame)
    return pdf.getvalue()


def _frame(canvas: Canvas, document: SimpleDocTemplate) -> None:
    """Head and foot of each page."""
    width, height = A4
    canvas.setFont("Report-Bold", 12)
    canvas.setFillColor(HexColor("#0d5c75"))
    canvas.drawString(25 * mm, height - 18 * mm, "Musterpraxis für Radiologie")
    canvas.setFont("Report", 8)
    canvas.setFillColor(HexColor("#55606b"))
    canvas.drawRightString(width - 20 * mm, height - 18 * mm, "Lindenplatz 4 · 12345 Musterstadt · 030 1234567")
    canvas.line(25 * mm, height - 21 * mm, width - 20 * mm, height - 21 * mm)
    canvas.setFont("Report-Bold", 8)
    canvas.setFillColor(HexColor("#a03018"))
    canvas.drawString(25 * mm, height - 26 * mm, MARK)
    canvas.drawString(25 * mm, 12 * mm, MARK)
    canvas.drawRightString(width - 20 * mm, 12 * mm, f"Seite {document.page}")
