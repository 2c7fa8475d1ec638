"""A QR code as an inline picture (SVG)."""

from markupsafe import Markup
from qrcode import QRCode
from qrcode.constants import ERROR_CORRECT_M

QUIET_ZONE = 4  # modules (ISO/IEC 18004, 5.3.8)


def qr_svg(text: str, label: str) -> Markup:
    """One path of dark modules on white."""
    code = QRCode(error_correction=ERROR_CORRECT_M, border=QUIET_ZONE)
    code.add_data(text)
    matrix = code.get_matrix()
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark)
    side = len(matrix)
    return Markup(
        '<svg class="qr" role="img" aria-label="{}" viewBox="0 0 {} {}" shape-rendering="crispEdges">'
        '<path class="qr-paper" d="M0 0h{}v{}H0z"/><path class="qr-ink" d="{}"/></svg>'
    ).format(label, side, side, side, side, path)
