"""PDFs for tests: made and read with real libraries."""

import io

import pypdfium2
from reportlab.pdfgen.canvas import Canvas


def a_pdf(text: str = "Befund", *, pages: int = 1, padding: int = 0) -> bytes:
    """A small report; `padding`: bytes of noise in a comment behind its end."""
    out = io.BytesIO()
    canvas = Canvas(out)
    for number in range(1, pages + 1):
        canvas.drawString(100, 700, f"{text} {number}")
        canvas.showPage()
    canvas.save()
    return out.getvalue() + (b"\n%" + b"x" * padding if padding else b"")


def locked_pdf() -> bytes:
    from reportlab.lib.pdfencrypt import StandardEncryption

    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption("secret", canPrint=0))
    canvas.drawString(100, 700, "Befund")
    canvas.save()
    return out.getvalue()


def words_of(pdf: bytes) -> str:
    """All text of a PDF without blanks between figures, to look for codes in."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        texts = []
        for page in document:
            text = page.get_textpage()
            texts.append(text.get_text_range())
            text.close()
            page.close()
    finally:
        document.close()
    together = " ".join(texts)
    return together + "".join(sign for sign in together if sign.isdigit())
