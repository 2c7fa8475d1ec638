"""Who comes in, and what is refused at the door."""

import re
from dataclasses import replace

import pytest
from flask import Flask
from stack import Stack
from visitor import PASSWORD, Browser
from werkzeug.routing import Rule

from appliance.desk import DeskParts, create_app
from appliance.desk.refusals import STATUS
from appliance.domain.audit import Action
from appliance.domain.errors import Code

SOME_ID = "0123456789abcdef" * 2
OPEN = {"/login", "/language", "/setup/<token>", "/static/<name>"}


def routes(app: Flask, method: str) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if method in (rule.methods or ())]


def path_of(rule: Rule) -> str:
    return re.sub(r"<[^>]+>", SOME_ID, str(rule).replace("<token>", "x").replace("<name>", "desk.css"))


def session_cookie(browser: Browser, name: str = "desk") -> str:
    found = browser.client.get_cookie(name)
    return found.value if found else ""


# -- without a login ---------------------------------------------------------------------------------------------------


def test_every_page_asks_for_the_login(app: Flask, browser: Browser) -> None:
    for rule in routes(app, "GET"):
        if str(rule) not in OPEN:
            answer = browser.get(path_of(rule))
            assert (answer.status_code, answer.location) == (303, "/login"), rule
    for rule in routes(app, "POST"):
        if str(rule) not in OPEN:
            answer = browser.post(path_of(rule))
            assert (answer.status_code, answer.location) == (303, "/login"), rule


@pytest.mark.parametrize(
    "path", ["/s/123456789012345678", "/dlx/v1/api_info", "/studies/", "/x", "/static/", "/static/../__init__.py", "/robots.txt"]
)
def test_there_are_no_pages_of_the_portal_here(browser: Browser, alma: Browser, path: str) -> None:
    for visitor in (Browser(browser.client.application.test_client()), alma):  # type: ignore[attr-defined]
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert "There is no such page at the desk." in answer.text


# -- logging in --------------------------------------------------------------------------------------------------------


def test_the_setup_link_leads_to_the_first_user(stack: Stack, browser: Browser) -> None:
    token = stack.staff.setup_token()
    assert "Welcome to Bildbrief" in browser.get(f"/setup/{token}").text
    wrong = browser.post(f"/setup/{token}", login="alma", name="Alma", password="short")
    assert wrong.status_code == 400
    assert "at least 10 characters" in wrong.text
    assert 'value="alma"' in wrong.text
    assert "short" not in wrong.text
    page = browser.post(f"/setup/{token}", login="alma", name="Alma", password=PASSWORD, follow=True)
    assert page.status_code == 200
    assert "No studies yet." in page.text
    again = browser.get(f"/setup/{token}")
    assert again.status_code == 403
    assert "has been used or has expired" in again.text


@pytest.mark.parametrize("token", ["x", "%00", "a" * 5000, "..%2f"])
def test_a_wrong_setup_link_says_so(stack: Stack, browser: Browser, token: str) -> None:
    stack.staff.setup_token()
    assert browser.get(f"/setup/{token}").status_code in (403, 404)


def test_a_wrong_password_is_refused_alike_for_everybody(stack: Stack, alma: Browser, other: Browser) -> None:
    answers = []
    for login in ("alma", "eve"):
        other.get("/login")
        answers.append(other.post("/login", login=login, password="wrong"))
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].text.replace("alma", "eve") == answers[1].text
    assert "User name or password is not right." in answers[0].text
    assert "wrong" not in answers[0].text.split("<main")[1]


def test_five_wrong_passwords_make_one_wait(stack: Stack, alma: Browser, other: Browser) -> None:
    other.get("/login")
    for _ in range(5):
        other.post("/login", login="alma", password="wrong")
    answer = other.post("/login", login="alma", password=PASSWORD)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "30"
    assert "Wait 30 seconds" in answer.text


def test_the_session_is_a_new_one_after_the_login(stack: Stack, app: Flask) -> None:
    """What somebody else put into the browser before is worth nothing after."""
    stack.staff.add("operator", login="alma", name="", password=PASSWORD, role="admin")
    browser = Browser(app.test_client())
    browser.client.set_cookie("desk", "planted", domain="localhost")
    browser.log_in()
    assert session_cookie(browser) not in ("", "planted")
    thief = Browser(app.test_client())
    thief.client.set_cookie("desk", "planted", domain="localhost")
    assert thief.get("/").location == "/login"


@pytest.mark.parametrize(
    ("url", "name", "secure"), [("http://127.0.0.1:8081", "desk", False), ("https://desk.praxis.lan", "__Host-desk", True)]
)
def test_the_cookie_is_as_safe_as_the_address_allows(stack: Stack, parts: DeskParts, url: str, name: str, secure: bool) -> None:
    stack.staff.add("operator", login="alma", name="", password=PASSWORD, role="admin")
    browser = Browser(create_app(replace(parts, desk_url=url)).test_client())
    browser.get("/login", base_url=url)
    answer = browser.client.post(
        "/login", data={"form": browser.token, "login": "alma", "password": PASSWORD}, headers=browser.headers, base_url=url
    )
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith(f"{name}=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(cookie.split("; "))
    assert ("Secure" in cookie.split("; ")) is secure
    assert "Max-Age" not in cookie
    assert "Domain" not in cookie
    assert ("Strict-Transport-Security" in answer.headers) is secure


def test_a_session_ends_when_nobody_uses_it(stack: Stack, alma: Browser) -> None:
    stack.now.pass_by(14 * 60)
    assert alma.get("/").status_code == 200
    stack.now.pass_by(14 * 60)
    assert alma.get("/").status_code == 200
    stack.now.pass_by(15 * 60)
    assert alma.get("/").location == "/login"


def test_a_page_that_looks_for_news_keeps_no_session_alive(stack: Stack, alma: Browser) -> None:
    alma.headers["X-Live"] = "1"
    stack.now.pass_by(14 * 60)
    assert alma.get("/").status_code == 200
    stack.now.pass_by(60)
    assert alma.get("/").location == "/login"


def test_a_session_ends_after_eight_hours(stack: Stack, alma: Browser) -> None:
    for _ in range(8 * 6 - 1):
        stack.now.pass_by(600)
        assert alma.get("/").status_code == 200
    stack.now.pass_by(600)
    assert alma.get("/").location == "/login"


def test_logging_out_ends_the_session(stack: Stack, alma: Browser, app: Flask) -> None:
    alma.get("/")
    token = session_cookie(alma)
    answer = alma.post("/logout")
    assert answer.location == "/login"
    assert "cache" in answer.headers["Clear-Site-Data"]
    thief = Browser(app.test_client())
    thief.client.set_cookie("desk", token, domain="localhost")
    assert thief.get("/").location == "/login"
    assert stack.registry.audit()[-1].action == Action.USER_OUT


def test_who_is_removed_is_out_at_once(stack: Stack, alma: Browser, bert: Browser) -> None:
    assert bert.get("/").status_code == 200
    page = alma.get("/users")
    assert "Bert Bucht" in page.text
    user = next(member for member in stack.staff.members() if member.login == "bert")
    alma.post(f"/users/{user.user_id}/remove")
    assert bert.get("/").location == "/login"


# -- forms -------------------------------------------------------------------------------------------------------------


def test_no_form_works_without_its_token(app: Flask, stack: Stack, alma: Browser, bert: Browser) -> None:
    before = stack.registry.last_change()
    bert.get("/")
    for rule in routes(app, "POST"):
        for token in ("", "0" * 64, bert.token):
            alma.token = token
            answer = alma.post(path_of(rule))
            assert answer.status_code == 403, rule
            assert "did not come from here" in answer.text
    assert stack.registry.last_change() == before


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_no_form_works_from_another_site(app: Flask, stack: Stack, alma: Browser, site: str) -> None:
    alma.get("/")
    before = stack.registry.last_change()
    alma.headers["Sec-Fetch-Site"] = site
    token = alma.token
    for rule in routes(app, "POST"):
        alma.token = token
        assert alma.post(path_of(rule)).status_code == 403, rule
    assert stack.registry.last_change() == before


def test_nothing_but_a_form_changes_anything(app: Flask, stack: Stack, alma: Browser) -> None:
    before = stack.registry.last_change()
    for rule in routes(app, "GET"):
        alma.get(path_of(rule))
    assert stack.registry.last_change() == before


@pytest.mark.parametrize("path", ["/practice", "/users"])
def test_settings_and_users_are_for_admins(stack: Stack, bert: Browser, path: str) -> None:
    answer = bert.get(path)
    assert answer.status_code == 403
    assert "This page is for admins." in answer.text
    bert.get("/")
    assert bert.post(path, login="eve", password=PASSWORD, role="admin", name="x").status_code == 403
    assert bert.post(f"/users/{SOME_ID}/remove").status_code == 403
    assert "/users" not in bert.get("/").text
    assert [member.login for member in stack.staff.members()] == ["bert"]


# -- headers -----------------------------------------------------------------------------------------------------------


def test_every_answer_carries_the_headers(app: Flask, alma: Browser) -> None:
    for path in ("/", "/login", "/nowhere", f"/studies/{SOME_ID}", "/static/desk.css", "/set-aside"):
        headers = alma.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["X-Robots-Tag"] == "noindex, nofollow, noarchive"
        assert "camera=()" in headers["Permissions-Policy"]
        assert ("no-store" in headers["Cache-Control"]) is not path.startswith("/static"), path


def test_a_page_names_no_other_host_and_no_inline_code(stack: Stack, alma: Browser) -> None:
    study_id = stack.put_study()
    for path in ("/", f"/studies/{study_id}", "/users", "/practice", "/account"):
        text = alma.get(path).text
        assert "style=" not in text
        assert "<style" not in text
        assert "onclick" not in text
        assert text.count("<script") == 1
        assert "//" not in text.replace("https://www.w3.org", "").split("<body")[1].split("<main")[0]


def test_every_kind_of_refusal_has_a_status() -> None:
    assert set(STATUS) == set(Code)
    assert len(set(STATUS.values())) == len(STATUS)


def test_what_nobody_foresaw_is_a_page_without_a_trace(app: Flask, alma: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Muster^Alice")

    monkeypatch.setattr("appliance.deeds.inspecting.Inspecting.quarantine", fail)
    answer = alma.get("/set-aside")
    assert answer.status_code == 500
    assert "Something went wrong at the desk." in answer.text
    assert "Alice" not in answer.text
    assert "Traceback" not in answer.text
