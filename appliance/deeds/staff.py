"""Staff: who may use the desk, how the first of them comes in, and what the practice says of itself."""

import hashlib
import os
import secrets
import threading
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.share import DAY
from ..keyholder.client import Keyholder
from ..registry import Registry, SetupRow, UserRow
from ..registry.settings import Practice, Settings
from ..vault.argon2 import ALONE
from ..vault.columns import open_column, seal_column
from ..vault.keys import new_id, tag

SETUP_TIME: Final = 14 * DAY
SHORTEST_PASSWORD: Final = 10
LONGEST: Final = 128  # characters of anything typed
FIELD_LIMIT: Final = 2000  # characters of a practice's text
FREE_TRIES: Final = 5
WAITS: Final = (30, 60, 120, 300, 600)
"""Seconds to wait after the fifth, sixth… wrong password from one address; the last one from then on."""
_REMEMBERED: Final = 10_000


class Role(StrEnum):
    """What a member of staff is. Only an admin sees users and settings."""

    FRONT_DESK = "front-desk"
    PHYSICIAN = "physician"
    ADMIN = "admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of staff. `name` is what the desk and the log of a study show; the login if none was given."""

    user_id: str
    login: str
    name: str
    role: Role
    created_at: int


class Staff:
    """Logins and names are sealed under the desk key; a login is found by its keyed hash."""

    def __init__(self, registry: Registry, keyholder: Keyholder, now: Callable[[], int], *, memory_kib: int = 65_536) -> None:
        """`memory_kib`: of one password check (Argon2id)."""
        self._registry = registry
        self._keyholder = keyholder
        self._now = now
        self._memory_kib = memory_kib
        self._nobody = self._hash(secrets.token_urlsafe(16))
        self._tries = _Tries()

    # -- the first user --------------------------------------------------------------------------------------------

    def setup_token(self) -> str | None:
        """A fresh token for the set-up link while there are no users; the one before it is void. To be shown once, to the operator."""
        if self._registry.users():
            return None
        token = urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        with self._registry.change(self._now(), "desk") as change:
            change.delete(SetupRow, "token_hash", [row.token_hash for row in change.rows(SetupRow, "1", [])])
            change.insert(SetupRow(_token_hash(token), change.now + SETUP_TIME))
            change.note(Action.SETUP_LINK_MADE, expires_at=change.now + SETUP_TIME)
        return token

    def is_setup_token(self, token: str) -> bool:
        rows = self._registry.setup_links() if not self._registry.users() else []
        return any(secrets.compare_digest(row.token_hash, _token_hash(token)) and self._now() < row.expires_at for row in rows)

    def set_up(self, token: str, *, login: str, name: str, password: str) -> Member:
        """Make the first user, an admin, and void the link. Problem FORBIDDEN for a link that does not count."""
        row = self._user(login=login, name=name, password=password, role=Role.ADMIN)
        with self._registry.change(self._now(), row.user_id) as change:
            links = change.rows(SetupRow, "token_hash = ? AND expires_at > ?", [_token_hash(token), change.now])
            if not links or change.rows(UserRow, "1", []):
                raise Problem(
                    Code.FORBIDDEN,
                    "This set-up link has been used or has expired. Restart the desk: it prints a new one while nobody can log in.",
                )
            change.delete(SetupRow, "token_hash", [links[0].token_hash])
            change.insert(row)
            change.note(Action.USER_ADDED, user=row.user_id, role=row.role)
        return self._member(row)

    # -- users -----------------------------------------------------------------------------------------------------

    def add(self, actor: str, *, login: str, name: str, password: str, role: str) -> str:
        """Add a member of staff; their user id. Problem INVALID or CONFLICT says what is wrong."""
        row = self._user(login=login, name=name, password=password, role=_role(role))
        with self._registry.change(self._now(), actor) as change:
            if change.rows(UserRow, "login_tag = ?", [row.login_tag]):
                raise Problem(Code.CONFLICT, "Somebody with this user name exists already. Choose another one.")
            change.insert(row)
            change.note(Action.USER_ADDED, user=row.user_id, role=row.role)
        return row.user_id

    def remove(self, actor: str, user_id: str) -> None:
        """Take a member's access away. Nobody removes themselves, so that an admin remains."""
        if actor == user_id:
            raise Problem(Code.CONFLICT, "You cannot remove yourself. Ask another admin.")
        with self._registry.change(self._now(), actor) as change:
            if not change.rows(UserRow, "user_id = ?", [user_id]):
                raise _nobody()
            change.delete(UserRow, "user_id", [user_id])
            change.note(Action.USER_REMOVED, user=user_id)

    def change_password(self, user_id: str, old: str, new: str) -> None:
        """A member chooses a new password. Problem FORBIDDEN when the old one is wrong."""
        row = self._registry.user(user_id)
        if row is None:
            raise _nobody()
        if not self._verify(old, row.password):
            raise Problem(Code.FORBIDDEN, "The old password is not right. Nothing was changed.")
        hashed = self._hash(_password(new))
        with self._registry.change(self._now(), user_id) as change:
            change.update(UserRow, user_id, password=hashed)
            change.note(Action.USER_CHANGED, user=user_id)

    def members(self) -> list[Member]:
        return [self._member(row) for row in self._registry.users()]

    def member(self, user_id: str) -> Member | None:
        row = self._registry.user(user_id)
        return self._member(row) if row else None

    def role(self, user_id: str) -> Role | None:
        """What a member may do now; None for nobody. Needs no keyholder, so a session goes on when it does not answer."""
        row = self._registry.user(user_id)
        return Role(row.role) if row else None

    # -- logging in ------------------------------------------------------------------------------------------------

    def enter(self, login: str, password: str, address: str) -> Member:
        """Whoever this is. Problem UNAUTHENTICATED for a wrong login or password (the same work either way), WAIT after five."""
        login_tag = self._login_tag(login)
        place = (login_tag, address)
        if seconds := self._tries.wait(place, self._now()):
            raise Problem(Code.WAIT, "Too many wrong tries. Wait %(seconds)s seconds, then try again.", seconds=seconds)
        row = self._registry.user_by_tag(login_tag)
        right = self._verify(password, row.password if row else self._nobody)
        with self._registry.change(self._now(), row.user_id if row else "desk") as change:
            change.note(Action.USER_IN if row and right else Action.USER_REFUSED)
        if row is None or not right:
            self._tries.wrong(place, self._now())
            raise Problem(Code.UNAUTHENTICATED, "User name or password is not right. Check both and try again.")
        self._tries.forget(place)
        return self._member(row)

    def leave(self, user_id: str) -> None:
        with self._registry.change(self._now(), user_id) as change:
            change.note(Action.USER_OUT)

    # -- the practice ----------------------------------------------------------------------------------------------

    def set_practice(self, actor: str, settings: Settings, **given: str) -> Practice:
        """Change what is given of the practice's settings, leave the rest."""
        texts = {name: _text(value) for name, value in given.items()}
        too_long = [name for name, value in texts.items() if len(value) > (FIELD_LIMIT if name in ("privacy", "imprint") else LONGEST)]
        if too_long:
            raise Problem(Code.INVALID, "One of the texts is too long. Shorten it and save again.")
        practice = replace(settings.practice(), **texts)
        settings.set_practice(practice)
        with self._registry.change(self._now(), actor) as change:
            change.note(Action.SETTINGS_CHANGED, fields=sorted(texts))
        return practice

    # -- inside ----------------------------------------------------------------------------------------------------

    def _user(self, *, login: str, name: str, password: str, role: Role) -> UserRow:
        login, name, user_id = _text(login), _text(name), new_id()
        if not 1 <= len(login) <= LONGEST or any(sign.isspace() for sign in login):
            raise Problem(Code.INVALID, "A user name has 1 to 128 characters and no blanks. Choose another one.")
        if len(name) > LONGEST:
            raise Problem(Code.INVALID, "The name is too long. Shorten it.")
        about = seal_column(self._keyholder.desk_key(), {"login": login, "name": name or login}, table=UserRow.TABLE, row=user_id)
        return UserRow(user_id, self._login_tag(login), about, self._hash(_password(password)), role, self._now())

    def _member(self, row: UserRow) -> Member:
        about = open_column(self._keyholder.desk_key(), row.about, table=UserRow.TABLE, row=row.user_id)
        return Member(row.user_id, about["login"], about["name"], Role(row.role), row.created_at)

    def _login_tag(self, login: str) -> bytes:
        return tag(self._keyholder.desk_key(), b"login", _text(login)[:LONGEST].casefold().encode())

    def _hash(self, password: str) -> str:
        kdf = Argon2id(salt=os.urandom(16), length=32, iterations=3, lanes=4, memory_cost=self._memory_kib)
        with ALONE:
            return kdf.derive_phc_encoded(password.encode())

    def _verify(self, password: str, phc: str) -> bool:
        try:
            with ALONE:
                Argon2id.verify_phc_encoded(password[:LONGEST].encode(), phc)
        except InvalidKey:
            return False
        return True


class _Tries:
    """Wrong passwords by login and address, in memory: a restart forgives."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wrong: dict[tuple[bytes, str], tuple[int, int]] = {}

    def wait(self, place: tuple[bytes, str], now: int) -> int:
        """Seconds until the next try may come."""
        with self._lock:
            count, at = self._wrong.get(place, (0, 0))
        pause = 0 if count < FREE_TRIES else WAITS[min(count - FREE_TRIES, len(WAITS) - 1)]
        return max(0, at + pause - now)

    def wrong(self, place: tuple[bytes, str], now: int) -> None:
        with self._lock:
            count, _ = self._wrong.pop(place, (0, 0))
            self._wrong[place] = count + 1, now
            while len(self._wrong) > _REMEMBERED:
                self._wrong.pop(next(iter(self._wrong)))

    def forget(self, place: tuple[bytes, str]) -> None:
        with self._lock:
            self._wrong.pop(place, None)


def _text(value: str) -> str:
    """What was typed, without control characters and outer blanks; lines stay lines."""
    return "".join(sign for sign in value.replace("\r\n", "\n") if sign.isprintable() or sign == "\n").strip()


def _password(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST:
        raise Problem(Code.INVALID, "A password has at least %(least)s characters. Choose a longer one.", least=SHORTEST_PASSWORD)
    return password


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise Problem(Code.INVALID, "This role does not exist. Choose front-desk, physician, admin or auditor.") from None


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _nobody() -> Problem:
    return Problem(Code.NOT_FOUND, "This user does not exist any more. Reload the page.")
