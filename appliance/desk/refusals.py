"""Refusals: from what went wrong to an HTTP status and a page that says what to do."""

from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from ..deeds.reports import too_large
from ..domain.errors import Code, Problem
from ..log import log
from .door import the_parts
from .pages import page

STATUS: Final = {
    Code.INVALID: 400,
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.TOO_LARGE: 413,
    Code.WAIT: 429,
    Code.UNAVAILABLE: 503,
    Code.DAMAGED: 500,
    Code.NO_SPACE: 507,
}

NO_PAGE: Final = Problem(Code.NOT_FOUND, "There is no such page at the desk.")


def status(problem: Problem) -> int:
    return STATUS[problem.code]


def refuse(problem: Problem) -> Response:
    """A page of its own for a refusal."""
    response = page("refusal.html", status(problem), problem=problem)
    if problem.code is Code.WAIT:
        response.headers["Retry-After"] = str(problem.values["seconds"])
    return response


def set_up(app: Flask) -> None:
    app.register_error_handler(Problem, refuse)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def _http(error: HTTPException) -> Response:
    if isinstance(error, RequestEntityTooLarge):
        return refuse(too_large(the_parts().reports.limit))
    if error.code == 404:
        return refuse(NO_PAGE)
    if isinstance(error, MethodNotAllowed):
        response = page("refusal.html", 405, problem=Problem(Code.INVALID, "This page cannot be opened that way. Go back to the list."))
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    return refuse(Problem(Code.INVALID, "The desk did not understand what the browser sent. Go back and try again."))


def _unforeseen(_: Exception) -> Response:
    log.error("page failed", exc_info=True)
    return page(
        "refusal.html", 500, problem=Problem(Code.UNAVAILABLE, "Something went wrong at the desk. It has been noted. Please try again.")
    )
