"""Downloads: a link of the session leads to a ticket, and the ticket's address is what a browser fetches and resumes."""

import threading
from collections.abc import Callable
from typing import Final

from flask import Blueprint, redirect, request, url_for
from werkzeug import Response

from ..deeds.delivery import Delivery
from ..deeds.opening import Opening
from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.share import Grant, Refused
from ..log import log
from ..registry.settings import Practice
from . import transfer
from .pages import current_session, file_name
from .reading import NoSession, who_reads
from .sessions import Sessions, Ticket

AT_ONCE: Final = 32
"""Transfers at the same time. Each holds a thread of the web server; the others stay for those who want to log in."""

AT_ONCE_PER_TICKET: Final = 4  # browsers that fetch a large file in parts


def routes(opening: Opening, delivery: Delivery, sessions: Sessions, practice: Callable[[], Practice], now: Callable[[], int]) -> Blueprint:
    """`/download` and `/download/STUDY` for the session, `/d/TICKET/NAME` for whoever holds the ticket."""
    downloads = Blueprint("downloads", __name__)
    places = threading.BoundedSemaphore(AT_ONCE)
    who = who_reads(opening, sessions)

    @downloads.get("/download", defaults={"study_id": None})
    @downloads.get("/download/<study_id>")
    def ask(study_id: str | None) -> Response:
        reader = who()
        session = current_session()
        if session is None:
            raise NoSession
        ticket = sessions.ticket(session, study_id, lambda: delivery.download(reader.grant, session.visit.study_keys, practice(), study_id))
        return redirect(url_for(".fetch", ticket=ticket, name=file_name("images", "zip")), 302)

    @downloads.get("/d/<ticket>/<name>")
    def fetch(ticket: str, name: str) -> Response:  # noqa: ARG001  (what browsers call the file)
        found = sessions.redeem(ticket)
        if found is None:
            raise Problem(Code.NOT_FOUND, "This download has ended. Please open your letter again and start it anew.")
        if isinstance(refused := opening.grant(found.visit.proof), Refused):
            raise NoSession(refused.reason)
        plan = found.plan

        def started(start: int, stop: int) -> None:
            if found.running >= AT_ONCE_PER_TICKET or not places.acquire(blocking=False):
                raise Problem(Code.UNAVAILABLE, "Too many downloads are running at this moment. Please try again in a few minutes.")
            sessions.running(found, 1)
            try:
                opening.note(Action.DOWNLOAD_STARTED, found.visit, study=found.study_id, first=start, last=stop - 1, of=plan.length)
            except Problem:
                leave()
                raise

        def ended(sent: int) -> None:
            leave()
            try:
                opening.note(Action.DOWNLOAD_ENDED, found.visit, study=found.study_id, sent=sent)
            except Problem:
                log.warning("download's end not noted", sent=sent)

        def leave() -> None:
            places.release()
            sessions.running(found, -1)

        return transfer.answer(
            request,
            transfer.Content(plan.length, plan.etag, plan.stream, "application/zip"),
            disposition="attachment",  # under the name in the address
            started=started,
            proceed=_still_open(opening, found, now),
            ended=ended,
        )

    return downloads


def _still_open(opening: Opening, ticket: Ticket, now: Callable[[], int]) -> Callable[[], None]:
    """Asked before each piece; looks once a second whether the letter has ended meanwhile."""
    looked_at = now()

    def check() -> None:
        nonlocal looked_at
        if now() == looked_at:
            return
        looked_at = now()
        if not isinstance(opening.grant(ticket.visit.proof), Grant):
            raise Problem(Code.FORBIDDEN, "This letter has ended.")

    return check
