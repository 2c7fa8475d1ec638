"""Sessions and download tickets: in memory only, found by the SHA-256 of what the browser holds.

A session ends when nobody uses it, after an hour, when its reader leaves, and when the last of its windows is closed.
Windows are known by their pages: each page with script checks in under a number of its own and counts as open until its deadline,
which each heartbeat moves on. Everything else is a deadline too: a page that was just sent has a while to check in, a page that says
good-bye leaves a short grace for the next one (reload, back, a link). When all deadlines have passed, the window is closed.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ..deeds.delivery import Plan
from ..deeds.opening import Visit

_EXPECTED = ""
"""Stands for the page that should check in next."""

_MOST_PAGES = 64
"""So many windows of one session are told apart; a reader with more of them is no reader."""


@dataclass(frozen=True, slots=True)
class Limits:
    """In seconds. `silence`: a page that sends no heartbeat for so long is closed. `ticket`: a download may be resumed so long."""

    idle: int = 5 * 60
    absolute: int = 60 * 60
    grace: int = 15
    silence: int = 120
    ticket: int = 30 * 60


@dataclass(slots=True)
class Session:
    """One reader's visit. `key` is the SHA-256 of the cookie; `pages` are deadlines in UTC seconds by page id."""

    key: bytes
    visit: Visit
    language: str
    opened_at: int
    seen_at: int
    scripted: bool = False
    pages: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "Session(…)"


@dataclass(slots=True)
class Ticket:
    """The right to fetch one download, and to resume it after its session. The plan is fixed with the first request."""

    visit: Visit
    study_id: str | None
    plan: Plan
    session: bytes
    expires_at: int
    running: int = 0

    def __repr__(self) -> str:
        return "Ticket(…)"


class Sessions:
    """All sessions and tickets of this process. Thread-safe."""

    def __init__(self, limits: Limits, now: Callable[[], int], ended: Callable[[Visit, str], None]) -> None:
        self._limits = limits
        self._now = now
        self._ended = ended
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Session] = {}
        self._tickets: dict[bytes, Ticket] = {}
        self._swept_at = 0

    # -- sessions --------------------------------------------------------------------------------------------------

    def open(self, visit: Visit, language: str) -> str:
        """A new session; what its cookie holds."""
        token, now = secrets.token_urlsafe(32), self._now()
        session = Session(_key(token), visit, language, now, now, pages={_EXPECTED: now + self._limits.idle})
        with self._lock:
            self._sessions[session.key] = session
        return token

    def find(self, token: str | None) -> Session | None:
        """The running session of a cookie."""
        if not token:
            return None
        self.sweep()
        with self._lock:
            session = self._sessions.get(_key(token))
            return session if session and self._why_ended(session, self._now()) is None else None

    def page_sent(self, session: Session, *, without_script: bool = False) -> None:
        """A page is on its way. One that can never check in (a PDF) is given as long as its reader may sit still."""
        now = self._now()
        patience = self._limits.silence if session.scripted and not without_script else self._limits.idle
        with self._lock:
            session.seen_at = now
            session.pages[_EXPECTED] = now + patience

    def page_here(self, session: Session, page: str, *, active: bool) -> int:
        """A page's heartbeat; `active` if its reader did something since the last. Seconds left, unless the reader goes on."""
        now = self._now()
        with self._lock:
            if page not in session.pages:
                session.pages.pop(_EXPECTED, None)
                if len(session.pages) >= _MOST_PAGES:
                    session.pages.pop(min(session.pages, key=session.pages.__getitem__))
            session.scripted = True
            session.pages[page] = now + self._limits.silence
            if active:
                session.seen_at = now
            return min(session.seen_at + self._limits.idle, session.opened_at + self._limits.absolute) - now

    def page_gone(self, session: Session, page: str) -> None:
        """A page was closed or left. If it was the last, the next must come within the grace."""
        now = self._now()
        with self._lock:
            session.pages.pop(page, None)
            if all(deadline <= now for deadline in session.pages.values()):
                session.pages[_EXPECTED] = now + self._limits.grace

    def close(self, session: Session, reason: str) -> None:
        """End a session. A reader who says so leaves no ticket behind, but for downloads that are running."""
        with self._lock:
            if self._sessions.pop(session.key, None) is None:
                return
            for key, ticket in list(self._tickets.items()):
                if ticket.session == session.key and not ticket.running:
                    del self._tickets[key]
        self._ended(session.visit, reason)

    def sweep(self) -> None:
        """Forget, with their keys, what is over. Called on every request, does something once a second."""
        now = self._now()
        with self._lock:
            if now == self._swept_at:
                return
            self._swept_at = now
            over = [(session, why) for session in self._sessions.values() if (why := self._why_ended(session, now))]
            for session, _ in over:
                del self._sessions[session.key]
            for key in [key for key, ticket in self._tickets.items() if ticket.expires_at <= now and not ticket.running]:
                del self._tickets[key]
        for session, why in over:
            self._ended(session.visit, why)

    def _why_ended(self, session: Session, now: int) -> str | None:
        if now >= session.opened_at + self._limits.absolute:
            return "time is up"
        if now >= session.seen_at + self._limits.idle:
            return "idle"
        if all(deadline <= now for deadline in session.pages.values()):
            return "window closed"
        return None

    # -- what a session's pages carry --------------------------------------------------------------------------------

    def form_token(self, session: Session) -> str:
        """What the forms of a session must bring along."""
        return self._derived(b"form", session.key)

    def is_form_token(self, session: Session, given: str) -> bool:
        return hmac.compare_digest(self.form_token(session).encode(), given.encode())

    def _derived(self, *parts: bytes) -> str:
        return hmac.new(self._secret, b"\0".join(parts), hashlib.sha256).hexdigest()

    # -- tickets -----------------------------------------------------------------------------------------------------

    def ticket(self, session: Session, study_id: str | None, plan: Callable[[], Plan]) -> str:
        """The ticket of a session for a download: always the same, so that asking twice resumes."""
        name = self._derived(b"ticket", session.key, (study_id or "").encode())
        with self._lock:
            known = self._tickets.get(_key(name))
        if known is None:
            made = Ticket(session.visit, study_id, plan(), session.key, 0)
            with self._lock:
                known = self._tickets.setdefault(_key(name), made)
        known.expires_at = self._now() + self._limits.ticket
        return name

    def redeem(self, name: str) -> Ticket | None:
        """The ticket of that name, if it still counts."""
        self.sweep()
        with self._lock:
            return self._tickets.get(_key(name))

    def running(self, ticket: Ticket, change: int) -> None:
        """A transfer of that ticket began (1) or ended (-1); from its end it can be resumed for a while."""
        with self._lock:
            ticket.running += change
            ticket.expires_at = self._now() + self._limits.ticket


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
