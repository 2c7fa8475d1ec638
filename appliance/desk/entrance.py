"""Coming in and going out: the set-up link, logging in, logging out, the language."""

from flask import Blueprint, g, redirect, request, url_for
from werkzeug.wrappers import Response as Answer

from ..deeds.staff import Member
from ..domain.errors import Code, Problem
from ..language import LANGUAGES
from .door import actor, keep, session, the_parts, the_sessions
from .pages import LANGUAGE_COOKIE, page
from .refusals import refuse, status

blueprint = Blueprint("entrance", __name__)

_USED = Problem(
    Code.FORBIDDEN, "This set-up link has been used or has expired. Restart the desk: it prints a new one while nobody can log in."
)


@blueprint.route("/setup/<token>", methods=["GET", "POST"])
def set_up(token: str) -> Answer:
    """The first user of the desk is made once, by whoever holds the link."""
    staff = the_parts().staff
    if not staff.is_setup_token(token):
        return refuse(_USED)
    if request.method == "GET":
        return page("setup.html", token=token)
    try:
        return _let_in(staff.set_up(token, **_given("login", "name", "password")))
    except Problem as problem:
        return page("setup.html", status(problem), token=token, problem=problem, given=request.form)


@blueprint.route("/login", methods=["GET", "POST"])
def log_in() -> Answer:
    if g.session is not None:
        return redirect(url_for("studies.worklist"), 303)
    if request.method == "GET":
        return page("login.html")
    try:
        member = the_parts().staff.enter(**_given("login", "password"), address=request.remote_addr or "")
    except Problem as problem:
        response = page("login.html", status(problem), problem=problem, given=request.form)
        if problem.code is Code.WAIT:
            response.headers["Retry-After"] = str(problem.values["seconds"])
        return response
    return _let_in(member)


@blueprint.post("/logout")
def log_out() -> Answer:
    the_parts().staff.leave(actor())
    the_sessions().close(session())
    g.visitor = None
    response = redirect(url_for("entrance.log_in"), 303)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@blueprint.post("/language")
def language() -> Answer:
    """Stay on the page one came from, in the other language."""
    here = request.form.get("here", "")
    # Only a path of ours: "//elsewhere" and "/\elsewhere" would lead away.
    response = redirect(here if here.startswith("/") and here[1:2] not in ("/", "\\") and here.isprintable() else "/", 303)
    wish = request.form.get("to", "")
    if wish in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, wish, max_age=365 * 86_400, httponly=True, samesite="Strict")
    return response


def _let_in(member: Member) -> Answer:
    """A new session under a new token; the one before the login is worth nothing."""
    g.visitor = None
    response = redirect(url_for("studies.worklist"), 303)
    keep(response, the_sessions().open(member))
    return response


def _given(*names: str) -> dict[str, str]:
    return {name: request.form.get(name, "") for name in names}
