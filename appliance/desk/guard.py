"""What guards every request and every answer of the desk, whatever page it is for."""

from typing import Final

from flask import Request, Response

FORM_LIMIT: Final = 64 << 10  # bytes of a form without a file
UPLOAD_SLACK: Final = 64 << 10  # bytes of an upload's form around its file

_CLOSED: Final = (
    "accelerometer autoplay camera clipboard-read display-capture encrypted-media gamepad geolocation gyroscope hid"
    " idle-detection local-fonts magnetometer microphone midi payment publickey-credentials-get screen-wake-lock serial sync-xhr"
    " usb xr-spatial-tracking"
)

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _CLOSED.split()),
}


def protect(response: Response, *, https: bool) -> Response:
    """Add what every answer carries. What is not said to be public is personal."""
    response.headers.update(_HEADERS)
    if https:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if "immutable" not in response.headers.get("Cache-Control", ""):
        response.headers["Cache-Control"] = "no-store"
        response.vary.update(("Cookie", "Accept-Language"))
    return response


def is_from_here(request: Request) -> bool:
    """Whether one of our own pages sent a form (Fetch Metadata). Browsers say so over https only; else the form's token must do."""
    return request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
