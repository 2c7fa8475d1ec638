"""Sessions of the desk: in memory only, found by the SHA-256 of what the browser holds."""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from ..deeds.sharing import Secrets
from ..deeds.staff import Member

ABSOLUTE: Final = 8 * 3600  # seconds
IDLE: Final = 15 * 60
SHOWN: Final = 15 * 60  # how long code and password of a new share stay, to print the slip


@dataclass(slots=True)
class Session:
    """One member of staff at one browser. `words`: what was last searched for, kept here so that no name stands in an address."""

    key: bytes
    user_id: str
    name: str
    opened_at: int
    seen_at: int
    words: str = ""
    notices: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    handed: dict[str, tuple[Secrets, int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "Session(…)"


class Sessions:
    """All sessions of this process. Thread-safe."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Session] = {}

    def open(self, member: Member) -> str:
        """A new session; what its cookie holds."""
        token, now = new_token(), self._now()
        with self._lock:
            self._sessions[_key(token)] = Session(_key(token), member.user_id, member.name, now, now)
        return token

    def find(self, token: str, *, touch: bool = False) -> Session | None:
        """The running session of a cookie. `touch`: somebody is using it."""
        now = self._now()
        with self._lock:
            self._sweep(now)
            session = self._sessions.get(_key(token)) if token else None
            if session and touch:
                session.seen_at = now
            return session

    def close(self, session: Session) -> None:
        with self._lock:
            self._sessions.pop(session.key, None)

    def close_all_of(self, user_id: str) -> None:
        """End every session of a member."""
        with self._lock:
            for key in [key for key, session in self._sessions.items() if session.user_id == user_id]:
                del self._sessions[key]

    def _sweep(self, now: int) -> None:
        """Forget what is over, and what may no longer be shown."""
        for key, session in list(self._sessions.items()):
            if now >= session.opened_at + ABSOLUTE or now >= session.seen_at + IDLE:
                del self._sessions[key]
                continue
            for share_id in [share_id for share_id, (_, until) in session.handed.items() if now >= until]:
                del session.handed[share_id]

    # -- what a share's maker may still see ------------------------------------------------------------------------

    def hand(self, session: Session, share_id: str, given: Secrets) -> None:
        """Keep code and password of a share for its letter and slip, for a quarter of an hour."""
        with self._lock:
            session.handed[share_id] = given, self._now() + SHOWN

    def handed(self, session: Session, share_id: str) -> Secrets | None:
        with self._lock:
            self._sweep(self._now())
            given = session.handed.get(share_id)
            return given[0] if given else None

    def take_back(self, session: Session, share_id: str) -> None:
        with self._lock:
            session.handed.pop(share_id, None)

    # -- forms -----------------------------------------------------------------------------------------------------

    def form_token(self, token: str) -> str:
        """What the forms of the browser with this cookie must bring along, logged in or not."""
        return hmac.new(self._secret, token.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, token: str, given: str) -> bool:
        return bool(token) and hmac.compare_digest(self.form_token(token).encode(), given.encode())


def new_token() -> str:
    return secrets.token_urlsafe(32)


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
