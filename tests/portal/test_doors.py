"""Who may not come in, at each door of the portal: every route is tried by strangers, by Charlie, and by Alice when her time is over."""

from collections.abc import Callable, Iterator

import pytest
from rooms import Rooms, Visit, de
from stack import NOON

from appliance.desk import DeskParts
from appliance.desk import create_app as create_desk
from appliance.domain.share import DAY

ALICES = ("Brown", "Alice", "19480229", "29.02.1948", "29 Feb 1948", "Schulter", "Weichteil", "PID-0815", "Uniklinik")
OURS = ("Traceback", "sqlite", "/tmp/", "keyholder", "appliance", "werkzeug", "Problem")
"""What no refusal says: who Alice is and what was examined, and what only we know of ourselves."""

LETTER = {
    "GET /worklist": "/worklist",
    "GET /study/<study_id>": "/study/{study}",
    "GET /study/<study_id>/<series_id>/<any(small,large):which>.webp": "/study/{study}/{series}/large.webp",
    "GET /report/<report_id>": "/report/{report}",
    "GET /report/<report_id>/<int:number>.webp": "/report/{report}/1.webp",
    "GET /report/<report_id>/pdf": "/report/{report}/pdf",
    "GET /report/<report_id>/pdf/<any(download):how>": "/report/{report}/pdf/download",
    "GET /download": "/download",
    "GET /download/<study_id>": "/download/{study}",
    "GET /d/<ticket>/<name>": "{ticket}",
    "POST /here": "/here",
}
"""Routes of an open letter, and where Alice's own things are."""

PUBLIC = {
    "GET /": "/",
    "GET /s/<code>": "/s/000000000000000000",
    "GET /help": "/help",
    "GET /privacy": "/privacy",
    "GET /imprint": "/imprint",
    "GET /ended": "/ended",
    "GET /robots.txt": "/robots.txt",
    "GET /health": "/health",
    "GET /static/<version>/<name>": "/static/0/portal.css",
    "POST /": "/",
    "POST /s/<code>": "/s/000000000000000000",
    "POST /logout": "/logout",
    "POST /gone": "/gone",
}
"""Routes that know nobody."""


# -- the refusals --------------------------------------------------------------------------------------------------------


def nobody(rooms: Rooms) -> Visit:
    return Visit(rooms.house.reader(), rooms.places)


def forged(rooms: Rooms) -> Visit:
    visit = nobody(rooms)
    visit.reader.client.set_cookie("__Host-session", "A" * 43, domain="bilder.example")
    return visit


def charlie(rooms: Rooms) -> Visit:
    return rooms.visit(rooms.charlies)


def expired(rooms: Rooms) -> Visit:
    record, letter = rooms.stack.share(rooms.alices, days=1)
    rooms.stack.now.pass_by(DAY - 60)
    reader = rooms.house.enter(letter)
    visit = Visit(reader, rooms.places | {"ticket": reader.get("/download").location}, reader.token, record.share_id)
    rooms.stack.now.pass_by(60)
    return visit


def revoked(rooms: Rooms) -> Visit:
    visit = rooms.alice()
    rooms.stack.sharing.revoke("desk", visit.share_id)
    return visit


def logged_out(rooms: Rooms) -> Visit:
    """Somebody else at the same computer, with the addresses from its history."""
    visit = rooms.alice()
    visit.reader.end()
    return visit


def stolen(rooms: Rooms) -> Visit:
    """The cookie was copied before Alice logged out."""
    visit = rooms.alice()
    cookie = visit.reader.cookie("__Host-session") or ""
    visit.reader.end()
    visit.reader.client.set_cookie("__Host-session", cookie, domain="bilder.example")
    return visit


def window_closed(rooms: Rooms) -> Visit:
    visit = rooms.alice()
    visit.reader.check_in("1")
    visit.reader.leave("1")
    rooms.stack.now.pass_by(15)
    return visit


def silent(rooms: Rooms) -> Visit:
    visit = rooms.alice()
    visit.reader.check_in("1")
    rooms.stack.now.pass_by(120)
    return visit


def idle(rooms: Rooms) -> Visit:
    visit = rooms.alice()
    rooms.stack.now.pass_by(5 * 60)
    return visit


def an_hour_later(rooms: Rooms) -> Visit:
    visit = rooms.alice()
    for _ in range(60):
        visit.reader.check_in("1", active=True)
        rooms.stack.now.pass_by(60)
    return visit


def no_keyholder(rooms: Rooms) -> Visit:
    """What is noted is not shown unless it can be noted. The keys of an open letter are with its session."""
    visit = rooms.alice()
    rooms.stack.stop_keyholder()
    return visit


TICKET, LIST, HERE, ALL = "GET /d/<ticket>/<name>", "GET /worklist", "POST /here", "GET /download"
RESUMED = {TICKET: 200}  # a download that was asked for may be resumed
NOTED = [route for route in LETTER if route.startswith("GET /report/") and "webp" not in route] + [TICKET]
REFUSALS: dict[Callable[[Rooms], Visit], dict[str, int]] = {
    nobody: {TICKET: 404},
    forged: {TICKET: 404},
    charlie: dict.fromkeys(LETTER, 404) | {LIST: 200, HERE: 200, ALL: 302},
    expired: {},
    revoked: {},
    logged_out: {TICKET: 404},
    stolen: {TICKET: 404},
    window_closed: RESUMED,
    silent: RESUMED,
    idle: RESUMED,
    an_hour_later: {TICKET: 404},  # asked for an hour ago and never begun
    no_keyholder: dict.fromkeys(LETTER, 200) | {ALL: 302, "GET /download/<study_id>": 302} | dict.fromkeys(NOTED, 503),
}
"""Who comes, and with what they are answered where it is not 403."""


@pytest.fixture(autouse=True)
def as_before(rooms: Rooms) -> Iterator[None]:
    yield
    rooms.stack.now.seconds = NOON
    rooms.stack.stop_keyholder()
    rooms.stack.start_keyholder()


@pytest.mark.parametrize("route", LETTER)
def test_alice_comes_in(rooms: Rooms, route: str) -> None:
    status, _ = ask(rooms.alice(), route)
    assert status == (302 if route.startswith("GET /download") else 200)


@pytest.mark.parametrize("route", LETTER)
@pytest.mark.parametrize("who", REFUSALS, ids=lambda who: who.__name__)
def test_the_others_do_not(rooms: Rooms, who: Callable[[Rooms], Visit], route: str) -> None:
    status, text = ask(who(rooms), route)
    assert status == REFUSALS[who].get(route, 403)
    if status >= 400 or who is charlie:
        assert [word for word in (*ALICES, *OURS) if word in text] == []
    if status >= 400 and route != HERE:
        assert "030 1234567" in text, "a way on"


def ask(visit: Visit, route: str) -> tuple[int, str]:
    method, path = route.split(" ")[0], LETTER[route].format(**visit.places)
    answer = visit.reader.get(path) if method == "GET" else visit.reader.post(path, {"token": visit.token, "page": "1"})
    return answer.status_code, answer.get_data().decode("latin-1")


@pytest.mark.parametrize(
    ("who", "told"),
    [(expired, "This letter has expired"), (revoked, "The practice has closed this letter"), (idle, "You are logged out")],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_reader_who_was_in_is_told_why_no_longer(rooms: Rooms, who: Callable[[Rooms], Visit], told: str) -> None:
    reader = who(rooms).reader
    assert de(told) in reader.get("/worklist").text
    assert reader.cookie("__Host-session") is None
    assert de("You are logged out") in reader.get("/worklist").text


def test_no_route_is_forgotten(rooms: Rooms) -> None:
    rules = rooms.house.app.url_map.iter_rules()
    assert {f"{method} {rule}" for rule in rules for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}} == {*LETTER, *PUBLIC}


@pytest.mark.parametrize("route", PUBLIC)
def test_public_pages_know_nobody(rooms: Rooms, route: str) -> None:
    """Alice, logged in, sees no more there than anybody: nothing that stands in her letter."""
    visit = rooms.alice()
    method, path = route.split(" ")[0], PUBLIC[route]
    answer = visit.reader.get(path) if method == "GET" else visit.reader.post(path)
    assert [word for word in (*ALICES, *OURS) if word in answer.text] == []


@pytest.mark.parametrize("study", ["../worklist", "%2e%2e", "%00", "a" * 3000, "' OR 1=1 --", "<script>", "0" * 32])
def test_foreign_ids_lead_nowhere(rooms: Rooms, study: str) -> None:
    reader = rooms.alice().reader
    for path in (f"/study/{study}x", f"/report/{study}x", f"/download/{study}x", f"/report/{study}x/pdf", f"/study/{study}x/y/small.webp"):
        answer = reader.get(path)
        assert answer.status_code == 404
        assert "<script>" not in answer.text


def test_a_series_of_another_study_is_not_served(rooms: Rooms) -> None:
    """A study of the letter, a series of somebody else's."""
    (foreign,) = rooms.stack.registry.series(rooms.charlies)
    assert rooms.alice().reader.get(f"/study/{rooms.alices}/{foreign.series_id}/large.webp").status_code == 404


def test_nothing_of_the_desk_answers_here(rooms: Rooms) -> None:
    stack = rooms.stack
    parts = DeskParts(
        worklist=stack.worklist,
        inspecting=stack.inspecting,
        sharing=stack.sharing,
        reports=rooms.house.reports,
        staff=stack.staff,
        settings=stack.settings,
        now=stack.now,
        desk_url="http://127.0.0.1:8081",
        public_url="https://bilder.example",
        language="de",
        timezone="Europe/Berlin",
        mirrored=False,
        wide_open=False,
        commits=False,
        rehearse_days=0,
    )
    reader, answered = rooms.alice().reader, {}
    for rule in create_desk(parts).url_map.iter_rules():
        path = str(rule).replace("<study_id>", rooms.alices).replace("<", "").replace(">", "")
        for method, send in (("GET", reader.get), ("POST", reader.post)):
            if method in (rule.methods or ()):
                answered[f"{method} {rule}"] = send(path).status_code
    shared = {"GET /", "POST /", "POST /logout"}
    assert {route: status for route, status in answered.items() if status != 404 and route not in shared} == {}
