"""The keyholder as the other processes see it: one method for each call of the table, over this process's own socket or certificate."""

import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..domain.errors import Code, Problem
from .calls import CALLS, pack
from .dialling import dial, has_ended, problem_of, receive_answer
from .tls import Remote

IDLE = 8  # connections kept for the next call
FRESH = 30.0  # seconds they are kept; less than the keyholder's patience (`doors.IDLE`), which could end in the middle of a call
MANY = 2000  # study keys asked for at a time


@dataclass(frozen=True, slots=True)
class IntakePublic:
    """The public half of an intake key pair. `key_id`: 8 hex digits."""

    key_id: str
    public: bytes


@dataclass(frozen=True, slots=True)
class Created:
    """The two factors of a new share, in the form of `domain.codes`; the password is kept nowhere."""

    code: str
    password: str

    def __repr__(self) -> str:
        return "Created(…)"


@dataclass(frozen=True, slots=True)
class Opened:
    """Code and password were right. The study keys (32 bytes each) are none when the share is revoked."""

    share_id: str
    record_digest: bytes
    study_keys: dict[str, bytes]
    device: str

    def __repr__(self) -> str:
        return f"Opened(share_id={self.share_id!r}, …)"


@dataclass(frozen=True, slots=True)
class Wrong:
    """Unknown code, wrong password, closed or locked: nobody is told which."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Too many tries; the next may come in so many seconds."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Too many readers try at this moment."""


@dataclass(frozen=True, slots=True)
class AccessEvent:
    """What a reader did, or what the keyholder did for the process `actor`. `seq` grows for ever; `action` is a `domain.audit.Action`."""

    seq: int
    at: int
    actor: str
    action: str
    study_id: str | None
    share_id: str | None
    object_id: str | None
    detail: dict[str, Any]


class Keyholder:
    """Safe to use from several threads: a slow call holds one connection, never another thread's call.

    Every method raises the keyholder's own Problems (docs in `calls.CALLS`), and UNAVAILABLE when it does not answer.
    """

    def __init__(self, where: Path | Remote, timeout: float = 30.0) -> None:
        """`where`: the socket of this process's role, or a keyholder on another machine. `timeout`: seconds for one answer."""
        self._where = where
        self._timeout = timeout
        self._idle: list[tuple[socket.socket, float]] = []  # with the time of its last use
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop()[0].close()

    # -- all ---------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return dict(self._call("status"))

    # -- intake ------------------------------------------------------------------------------------------------------

    def intake_public(self) -> IntakePublic:
        return IntakePublic(**self._call("intake_public"))

    def open_envelope(self, key_id: str, envelope: bytes) -> bytes:
        return bytes(self._call("open_envelope", key_id=key_id, envelope=envelope))

    def retire_intake_keys(self, in_use: Sequence[str]) -> None:
        self._call("retire_intake_keys", in_use=in_use)

    def uid_key(self) -> bytes:
        return bytes(self._call("uid_key"))

    # -- studies -----------------------------------------------------------------------------------------------------

    def create_study_key(self, study_id: str) -> bytes:
        return bytes(self._call("create_study_key", study_id=study_id))

    def study_keys(self, study_ids: Sequence[str]) -> dict[str, bytes | None]:
        parts = (study_ids[start : start + MANY] for start in range(0, len(study_ids), MANY))
        return {study_id: key for part in parts for study_id, key in self._call("study_keys", study_ids=part).items()}

    def anchor(self, study_id: str, generation: int, sha256: bytes) -> None:
        self._call("anchor", study_id=study_id, generation=generation, sha256=sha256)

    def forget_study(self, study_id: str) -> None:
        self._call("forget_study", study_id=study_id)

    # -- shares ------------------------------------------------------------------------------------------------------

    def desk_key(self) -> bytes:
        return bytes(self._call("desk_key"))

    def share_create(self, record: str) -> Created:
        return Created(**self._call("share_create", record=record))

    def share_change(self, record: str) -> None:
        self._call("share_change", record=record)

    def share_password(self, share_id: str) -> str:
        return str(self._call("share_password", share_id=share_id))

    def share_code(self, share_id: str) -> str:
        return str(self._call("share_code", share_id=share_id))

    def share_unlock(self, share_id: str) -> None:
        self._call("share_unlock", share_id=share_id)

    def share_revoke(self, share_id: str) -> None:
        self._call("share_revoke", share_id=share_id)

    def share_close(self, share_id: str) -> None:
        self._call("share_close", share_id=share_id)

    def share_digests(self, share_ids: Sequence[str]) -> dict[str, bytes | None]:
        parts = (share_ids[start : start + MANY] for start in range(0, len(share_ids), MANY))
        return {share_id: digest for part in parts for share_id, digest in self._call("share_digests", share_ids=part).items()}

    def open_share(self, code: str, password: str, prefix: str, device: str | None) -> Opened | Wrong | Wait | Busy:
        answer = self._call("open_share", code=code, password=password, prefix=prefix, device=device)
        if answer["opened"] is not None:
            return Opened(**answer["opened"])
        match answer["refused"]:
            case "wait":
                return Wait(answer["seconds"] or 0)
            case "busy":
                return Busy()
            case _:
                return Wrong()

    # -- access events -----------------------------------------------------------------------------------------------

    def note(self, action: str, share_id: str, object_id: str | None = None, detail: Mapping[str, Any] | None = None) -> None:
        self._call("note", action=action, share_id=share_id, object_id=object_id, detail=dict(detail or {}))

    def events(self, after: int, limit: int) -> list[AccessEvent]:
        return [AccessEvent(**event) for event in self._call("events", after=after, limit=limit)]

    def events_done(self, upto: int) -> None:
        self._call("events_done", upto=upto)

    # -- a restored ring ---------------------------------------------------------------------------------------------

    def restored(self) -> int | None:
        found = self._call("restored")
        return None if found is None else int(found)

    def rebury(self, *, studies: Sequence[str], closed: Sequence[str], revoked: Sequence[str], replaced: Sequence[str]) -> None:
        self._call("rebury", studies=studies, closed=closed, revoked=revoked, replaced=replaced)

    def rebury_done(self) -> None:
        self._call("rebury_done")

    # -- the operator ------------------------------------------------------------------------------------------------

    def rotate_intake(self) -> str:
        return str(self._call("rotate_intake"))

    def rotate_master(self) -> None:
        self._call("rotate_master")

    # -- machines ----------------------------------------------------------------------------------------------------

    def enrol(self, host: str) -> dict[str, str]:
        """The credentials of each role (`authority`)."""
        return dict(self._call("enrol", host=host))

    def withdraw(self, host: str) -> int:
        return int(self._call("withdraw", host=host))

    # -- the wire ----------------------------------------------------------------------------------------------------

    def _call(self, name: str, **values: Any) -> Any:
        call = CALLS[name]
        frame = pack({"call": name, **call.takes.encode(values)})
        connection = None
        try:
            connection = self._send(frame)
            answer = receive_answer(connection)
            problem = problem_of(answer)
            result = None if problem else call.gives.decode(answer["ok"])
        except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
            if connection is not None:
                connection.close()
            self.close()  # the others have most likely ended with it
            raise Problem(Code.UNAVAILABLE, "The keyholder does not answer. Please try again in a moment.") from error
        with self._lock:
            if len(self._idle) < IDLE:
                self._idle.append((connection, time.monotonic()))
                connection = None
        if connection is not None:
            connection.close()
        if problem is not None:
            raise problem
        return result

    def _send(self, frame: bytes) -> socket.socket:
        """Send on an idle connection, or on a new one if the keyholder has ended those (it was restarted).

        Only what was not sent is sent again: some calls must not happen twice.
        """
        while True:
            with self._lock:
                connection, since = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                break
            if time.monotonic() - since > FRESH or has_ended(connection):
                connection.close()
                continue
            try:
                connection.sendall(frame)
            except OSError:
                connection.close()
            else:
                return connection
        connection = dial(self._where)
        try:
            connection.settimeout(self._timeout)
            connection.sendall(frame)
        except BaseException:
            connection.close()
            raise
        return connection
