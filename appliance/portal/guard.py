"""What guards every answer and every request of the portal, whatever page it is for."""

import ipaddress
from typing import Final

from werkzeug import Request, Response

SESSION_COOKIE: Final = "__Host-session"
DEVICE_COOKIE: Final = "__Host-device"
DEVICE_DAYS: Final = 400  # as long as browsers keep a cookie at most (RFC 6265bis, 5.5)

BODY_LIMIT: Final = 16 << 10  # bytes: forms are small, and nothing is uploaded here

_CLOSED: Final = (
    "accelerometer autoplay camera clipboard-read display-capture encrypted-media gamepad geolocation gyroscope hid"
    " idle-detection local-fonts magnetometer microphone midi payment publickey-credentials-get screen-wake-lock serial sync-xhr usb"
    " xr-spatial-tracking"
)

HEADERS: Final = {
    "Strict-Transport-Security": "max-age=31536000",
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
"""On every answer of the application, refusals included."""


def protect(response: Response) -> Response:
    """Add what every answer carries. What is not said to be public is personal."""
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store, private"
        response.vary.update(("Cookie", "Accept-Language"))
    return response


def is_from_here(request: Request, public_url: str) -> bool:
    """Whether a form was sent by one of our own pages (Fetch Metadata; before it, the Origin header, which `no-referrer` makes "null")."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("Origin", "null") in ("null", public_url)


def network(address: str) -> str:
    """The network that budgets are counted for: the /24 of an IPv4 address, the /56 of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 56), strict=False))
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 24), strict=False))


def set_cookie(answer: Response, name: str, value: str, *, days: int | None = None) -> None:
    """A cookie that only this host gets, only over TLS, only from our own pages, and that no script can read."""
    age = None if days is None else days * 86_400
    answer.set_cookie(name, value, max_age=age, path="/", secure=True, httponly=True, samesite="Strict")


def delete_cookie(answer: Response, name: str) -> None:
    answer.delete_cookie(name, path="/", secure=True, httponly=True, samesite="Strict")
