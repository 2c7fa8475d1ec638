"""The practice's own matters: files set aside, one's password, and for admins the settings and users."""

from dataclasses import fields

from flask import Blueprint, g, redirect, request, url_for
from werkzeug.wrappers import Response as Answer

from ..deeds.staff import Role
from ..domain.errors import Code, Problem
from ..language import N_
from ..registry.settings import Practice
from .door import actor, the_parts, the_sessions
from .pages import page, tell
from .refusals import status

blueprint = Blueprint("office", __name__)


@blueprint.get("/set-aside")
def set_aside() -> Answer:
    return page("set_aside.html", files=the_parts().inspecting.quarantine())


@blueprint.route("/practice", methods=["GET", "POST"])
def practice() -> Answer:
    parts = the_parts()
    if request.method == "GET":
        return page("practice.html", given=parts.settings.practice())
    given = {field.name: request.form.get(field.name, "") for field in fields(Practice)}
    try:
        parts.staff.set_practice(actor(), parts.settings, **given)
    except Problem as problem:
        return page("practice.html", status(problem), given=given, problem=problem)
    tell(N_("Saved. Letters and pages say so from now on."))
    return redirect(url_for("office.practice"), 303)


@blueprint.get("/users")
def users() -> Answer:
    return _users_page()


@blueprint.post("/users")
def add_user() -> Answer:
    given = {name: request.form.get(name, "") for name in ("login", "name", "password", "role")}
    try:
        the_parts().staff.add(actor(), **given)
    except Problem as problem:
        return _users_page(problem)
    tell(N_("The user was added. Hand over the password personally; it can be changed under “My account”."))
    return redirect(url_for("office.users"), 303)


@blueprint.post("/users/<id:user_id>/remove")
def remove_user(user_id: str) -> Answer:
    try:
        the_parts().staff.remove(actor(), user_id)
    except Problem as problem:
        return _users_page(problem)
    the_sessions().close_all_of(user_id)
    tell(N_("The user was removed."))
    return redirect(url_for("office.users"), 303)


def _users_page(problem: Problem | None = None) -> Answer:
    return page(
        "users.html",
        status(problem) if problem else 200,
        members=the_parts().staff.members(),
        roles=list(Role),
        me=actor(),
        problem=problem,
        given=request.form,
    )


@blueprint.route("/account", methods=["GET", "POST"])
def account() -> Answer:
    if request.method == "GET":
        return page("account.html", role=g.role)
    try:
        the_parts().staff.change_password(actor(), request.form.get("old", ""), _typed_twice())
    except Problem as problem:
        return page("account.html", status(problem), role=g.role, problem=problem)
    tell(N_("Your password was changed."))
    return redirect(url_for("office.account"), 303)


def _typed_twice() -> str:
    new = request.form.get("new", "")
    if new != request.form.get("again", ""):
        raise Problem(Code.INVALID, "The new password was not typed twice the same. Try again.")
    return new
