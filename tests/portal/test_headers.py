"""What every answer of the portal carries, whatever it is for, and what no page holds."""

import re

import pytest
from rooms import Rooms, Visit
from werkzeug.datastructures import Headers

from appliance.portal.guard import network

EXACTLY = {
    "Strict-Transport-Security": "max-age=31536000",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "X-Frame-Options": "DENY",
}

ANSWERS = {
    "/": 200,
    "/s/000000000000000000": 200,
    "/s/1": 404,
    "/help": 200,
    "/privacy": 200,
    "/imprint": 200,
    "/ended": 200,
    "/nowhere": 404,
    "/logout": 405,
    "/worklist": 200,
    "/study/{study}": 200,
    "/report/{report}": 200,
    "/report/{report}/9.webp": 404,
    "/study/{study}/{series}/huge.webp": 404,
    "/study/{study}/{series}/small.webp": 200,
    "/report/{report}/1.webp": 200,
    "/report/{report}/pdf": 200,
    "/report/{report}/pdf/download": 200,
    "/download": 302,
    "{ticket}": 200,
    "//worklist": 308,
    "/health": 200,
    "/robots.txt": 200,
    "/favicon.ico": 404,
    "/static/1/nothing.css": 404,
    "/static/1/..%2fguard.py": 404,
}
ASSETS = ("portal.css", "portal.js", "mark.svg")


@pytest.fixture(scope="module")
def visit(rooms: Rooms) -> Visit:
    return rooms.alice()


def looks_right(headers: Headers) -> bool:
    assert {name: headers.get(name) for name in EXACTLY} == EXACTLY
    policy = headers["Permissions-Policy"].split(", ")
    assert {feature.partition("=")[2] for feature in policy} == {"()"}
    assert {"camera=()", "geolocation=()", "microphone=()"} <= set(policy)
    return "Server" not in headers


@pytest.mark.parametrize("path", ANSWERS)
def test_every_answer_is_guarded_and_kept_nowhere(visit: Visit, path: str) -> None:
    for ask in (visit.reader.get, visit.reader.head):
        answer = ask(path.format(**visit.places))
        assert answer.status_code == ANSWERS[path]
        assert looks_right(answer.headers)
        assert answer.headers["Cache-Control"] == "no-store, private"
        assert {"Cookie", "Accept-Language"} <= answer.vary.as_set(preserve_casing=True)


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/", {"code": "1"}, 422),
        ("/", {"code": "0" * 18}, 303),
        ("/", {"code": "x" * 20_000}, 413),
        ("/s/000000000000000000", {"password": "WRONG"}, 403),
        ("/here", {}, 403),
        ("/gone", {}, 204),
        ("/worklist", {}, 405),
        ("/nowhere", {}, 404),
    ],
)
def test_so_is_every_answer_to_a_form(visit: Visit, path: str, form: dict[str, str], status: int) -> None:
    answer = visit.reader.post(path, form)
    assert answer.status_code == status
    assert looks_right(answer.headers)
    assert answer.headers["Cache-Control"] == "no-store, private"


def test_a_fault_of_ours_is_guarded_and_says_nothing(rooms: Rooms, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("Brown^Alice in /tmp")

    monkeypatch.setattr(rooms.house.opening, "grant", lambda _: broken())
    answer = visit.reader.get("/worklist")
    assert answer.status_code == 500
    assert looks_right(answer.headers)
    assert "Brown" not in answer.text


def test_a_wrong_method_is_told_the_right_ones(visit: Visit) -> None:
    assert visit.reader.get("/logout").allow.as_set() == {"post", "options"}


@pytest.mark.parametrize("name", ASSETS)
def test_our_own_files_may_be_kept_because_their_address_changes_with_them(visit: Visit, name: str) -> None:
    (path,) = set(re.findall(rf'"(/static/[0-9a-f]{{12}}/{name})"', visit.reader.get("/").text))
    answer = visit.reader.get(path)
    assert looks_right(answer.headers)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Set-Cookie" not in answer.headers


def test_robots_are_sent_away(visit: Visit) -> None:
    assert visit.reader.get("/robots.txt").text == "User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize("path", list(ANSWERS)[:14])
def test_no_page_holds_script_or_style_of_its_own(visit: Visit, path: str) -> None:
    """The policy would stop them; they are not there in the first place. Nor is anything from elsewhere."""
    text = visit.reader.get(path.format(**visit.places)).text
    assert re.findall(r"<script(?! src=\"/static/[^\"]+\" defer></script>)", text) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
    assert re.findall(r"(?:src|href|action)=\"(?:https?:)?//", text) == []


@pytest.mark.parametrize("path", list(ANSWERS)[:14])
def test_titles_are_neutral(visit: Visit, path: str) -> None:
    """They stand in histories, on tabs, and in the preview that a messenger makes of a link."""
    text = visit.reader.get(path.format(**visit.places)).text
    (title,) = re.findall(r"<title>(.*)</title>", text)
    (preview,) = re.findall(r'<meta name="description" content="(.*)">', text)
    assert re.fullmatch(r"[\w ,]+ · Bildbrief", title)
    assert [word for word in ("Brown", "Alice", "Schulter", "Radiologie", "MR") if word in title + preview] == []


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("2001:db8:1:2ff::7", "2001:db8:1:200::/56"),
        ("::ffff:198.51.100.7", "198.51.100.0/24"),
        ("fe80::1%eth0", "fe80::/56"),
        ("", "unknown"),
        ("nonsense", "unknown"),
    ],
)
def test_the_network_that_is_counted(address: str, counted_as: str) -> None:
    assert network(address) == counted_as
