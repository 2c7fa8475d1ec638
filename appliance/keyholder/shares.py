"""Shares: what makes a code and a password open studies, and what ends that. Specification: `docs/format.md`, "Shares".

A share key lies twice in the ring: under the master key, so that the desk can change a share without its password, and in a slot
under code and password. The study keys lie under the share key, wrapped for the digest of the share's record: whoever edits the
record opens nothing. (The digest is bound there and not in the slot, so that a share can be extended while its password stays.)
"""

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from threading import BoundedSemaphore
from typing import Any, Final

from sqlite_utils import Database

from ..domain.audit import Action
from ..domain.codes import CODE_DIGITS, new_code, new_password
from ..domain.errors import Code, Problem
from ..domain.share import Share, ShareRecord, ShareState
from ..log import log
from ..vault.keys import Context, new_id, new_key, unwrap, wrap
from . import budgets, events
from .calls import ID
from .devices import Devices
from .ring import Ring, bury, refuse_buried, row, rows
from .slots import Slot, Slots, open_slot
from .studies import Studies

QUEUE: Final = 16
"""Attempts that may wait for the one that is being derived (`vault.argon2`); more are told that we are busy."""

WRONG: Final = {"refused": "wrong"}


class Shares:
    def __init__(self, ring: Ring, studies: Studies, memory_kib: int) -> None:
        """`memory_kib`: what trying one password costs (Argon2id)."""
        self._ring = ring
        self._studies = studies
        self._slots = Slots(ring.secret("pepper"), memory_kib)
        self._places = BoundedSemaphore(1 + QUEUE)
        self._devices = Devices(ring)
        self._alarmed_at = 0
        # The share that stands for every unknown code: trying it costs the same, and nothing opens it. Nobody knows its id.
        self._nobody = new_id()
        with ring.write() as db:
            db.execute("DELETE FROM shares WHERE record = ''")
            self._insert(db, self._nobody, "", "0" * CODE_DIGITS, None, self._slots.decoy())

    # -- the desk ----------------------------------------------------------------------------------------------------

    def share_create(self, record: str) -> dict[str, str]:
        """Make a share of the studies in its record; `code` and `password` in the form of `domain.codes`.

        Errors: Problem INVALID for a text that is no canonical record, NOT_FOUND for an unknown study, CONFLICT for a share that
        exists or existed.
        """
        wanted = parse_record(record)
        code, password, share_key = new_code(secrets.randbelow), new_password(secrets.randbelow), new_key()
        slot = self._slots.make(wanted.share_id, code, password, share_key)
        with self._ring.write() as db:
            refuse_buried(db, wanted.share_id)
            if row(db, "SELECT 1 FROM shares WHERE share_id = ?", [wanted.share_id]):
                raise Problem(Code.CONFLICT, "This share exists already. Reload the list.")
            self._insert(db, wanted.share_id, record, code, share_key, slot)
            self._wrap_studies(db, wanted, share_key)
            self._witness(db, "share_create", wanted.share_id)
        return {"code": code, "password": password}

    def share_change(self, record: str) -> None:
        """Put another record in a share's place. Code and password stay. Errors: as above; CONFLICT for a revoked share."""
        wanted = parse_record(record)
        with self._ring.write() as db:
            share_key = self._share_key(_existing(db, wanted.share_id))
            db.execute("UPDATE shares SET record = ? WHERE share_id = ?", [record, wanted.share_id])
            db.execute("DELETE FROM share_studies WHERE share_id = ?", [wanted.share_id])
            self._wrap_studies(db, wanted, share_key)
            self._witness(db, "share_change", wanted.share_id)

    def share_password(self, share_id: str) -> str:
        """Replace the password: the old one is dead when this returns. Failures are forgotten. Errors: NOT_FOUND, CONFLICT."""
        share = _existing(self._ring.here(), share_id)
        code, password = self._code(share), new_password(secrets.randbelow)
        slot = self._slots.make(share_id, code, password, self._share_key(share))
        with self._ring.write() as db:
            self._share_key(_existing(db, share_id))  # it may have been revoked meanwhile
            _put_slot(db, share_id, slot)
            _forget_failures(db, share_id, share["code_tag"])
            self._witness(db, "share_password", share_id)
        return password

    def share_code(self, share_id: str) -> str:
        """The access code. Errors: Problem NOT_FOUND; CONFLICT for a revoked share."""
        with self._ring.write() as db:
            code = self._code(_existing(db, share_id))
            self._witness(db, "share_code", share_id)
        return code

    def share_digests(self, share_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The digest of each share's record; None for one that is closed, revoked or was never known."""
        db = self._ring.here()
        found = {share_id: _find(db, "share_id", share_id) for share_id in share_ids}
        return {
            share_id: None if share is None or share["share_key"] is None else parse_record(share["record"]).digest()
            for share_id, share in found.items()
        }

    def share_unlock(self, share_id: str) -> None:
        """Let a share be tried again. Errors: Problem NOT_FOUND."""
        with self._ring.write() as db:
            _forget_failures(db, share_id, _existing(db, share_id)["code_tag"])
            self._witness(db, "share_unlock", share_id)

    def share_revoke(self, share_id: str) -> None:
        """Destroy the share key, the code and the study keys under it. What recognises the two factors stays, so that their owner
        can be told. Repeatable, also for a share that is closed."""
        with self._ring.write() as db:
            self.revoke(db, share_id)

    def revoke(self, db: Database, share_id: str) -> None:
        """`share_revoke` inside the caller's transaction."""
        db.execute("DELETE FROM share_studies WHERE share_id = ?", [share_id])
        revoked = db.execute(
            """UPDATE shares SET code = NULL, share_key = NULL, slot_key = NULL, revoked_at = ?
                WHERE share_id = ? AND revoked_at IS NULL""",
            [self._ring.now(), share_id],
        ).rowcount
        if revoked:
            self._witness(db, "share_revoke", share_id)

    def share_close(self, share_id: str) -> None:
        """Forget everything of a share: its code is unknown from now on. Repeatable."""
        with self._ring.write() as db:
            self.close(db, share_id)

    def close(self, db: Database, share_id: str) -> None:
        """`share_close` inside the caller's transaction."""
        closed = db.execute("DELETE FROM shares WHERE share_id = ?", [share_id]).rowcount
        bury(db, share_id, self._ring.now())
        if closed:
            self._witness(db, "share_close", share_id)

    def void_password(self, db: Database, share_id: str) -> None:
        """Let no password fit any more until the desk makes a new one."""
        _put_slot(db, share_id, self._slots.decoy())

    # -- the portal --------------------------------------------------------------------------------------------------

    def open_share(self, code: str, password: str, prefix: str, device: str | None) -> dict[str, Any]:
        """Try a code and a password, both in the form of `domain.codes`.

        Unknown code, wrong password, closed and locked share: same answer, same work (one derivation, the same writes). Charged
        before the derivation, in the transaction that looks at the budgets, so that nothing is tried uncharged. Whether the share
        is open by its record is not judged here.
        """
        now = self._ring.now()
        with ExitStack() as attempt:
            with self._ring.write() as db:
                tried = _find(db, "code_tag", self._ring.code_tag(code)) or _existing(db, self._nobody)
                share_id = tried["share_id"]
                known = self._devices.known(share_id, device)
                visitor = budgets.Visitor(self._ring.code_tag(code), self._ring.tag("prefix", prefix), known)
                if seconds := budgets.seconds_to_wait(db, visitor, now):
                    return {"refused": "wait", "seconds": seconds}
                if not self._places.acquire(blocking=False):
                    return {"refused": "busy"}
                attempt.callback(self._places.release)
                charged = budgets.charge(db, visitor, now)
                db.execute("UPDATE shares SET failures = failures + 1 WHERE share_id = ?", [share_id])
            kek = self._slots.key(_slot(tried), share_id, code, password)
            with self._ring.write() as db:
                # Looked at anew: while it was tried, the share may have been closed or its password replaced.
                share = _find(db, "share_id", share_id)
                if share is None or share["salt"] != tried["salt"]:
                    return WRONG
                opened = None if kek is None else self._unwrap(db, share, kek)
                if opened is None:
                    self._after_a_failure(db, share, now)
                    return WRONG
                budgets.give_back(db, visitor, charged)
                db.execute("UPDATE shares SET failures = max(0, failures - 1) WHERE share_id = ?", [share_id])
                record, study_keys = opened
                _write_down(db, share, record, now)
        return {
            "opened": {
                "share_id": share_id,
                "record_digest": record.digest(),
                "study_keys": study_keys,
                "device": device if device and known else self._devices.new(share_id),
            }
        }

    def _unwrap(self, db: Database, share: dict[str, Any], kek: bytes) -> tuple[ShareRecord, dict[str, bytes]] | None:
        """The record and the study keys; None if the share is locked or was tampered with."""
        if share["locked_at"] is not None or share["failures"] > budgets.LIFETIME:
            return None
        share_id = share["share_id"]
        try:
            record = parse_record(share["record"])
            if share["slot_key"] is None:
                return record, {}
            share_key = open_slot(kek, share["slot_key"], share_id)
            wrapped = rows(db, "SELECT study_id, wrapped FROM share_studies WHERE share_id = ?", [share_id])
            contexts = {item["study_id"]: share_study_context(record, item["study_id"]) for item in wrapped}
            return record, {item["study_id"]: unwrap(share_key, item["wrapped"], contexts[item["study_id"]]) for item in wrapped}
        except Problem:
            log.error("share does not fit its record", share_id=share_id)
            return None

    def _after_a_failure(self, db: Database, share: dict[str, Any], now: int) -> None:
        # For the share of nobody too, so that an unknown code costs the same writes; the journal writes it down without a share.
        events.record(db, now, Action.SHARE_REFUSED, share["share_id"], detail={"state": "wrong"})
        if share["failures"] >= budgets.LIFETIME and share["locked_at"] is None and share["share_id"] != self._nobody:
            db.execute("UPDATE shares SET locked_at = ? WHERE share_id = ?", [now, share["share_id"]])
            events.record(db, now, Action.SHARE_LOCKED, share["share_id"])
            log.warning("share locked", share_id=share["share_id"])
        count = budgets.attempts_within(db, budgets.ALARM.seconds, now)
        if count >= budgets.ALARM.most and now >= self._alarmed_at + budgets.ALARM.seconds:
            self._alarmed_at = now
            log.error("many wrong codes and passwords", count=count, seconds=budgets.ALARM.seconds)

    # -- rows --------------------------------------------------------------------------------------------------------

    def _witness(self, db: Database, call: str, share_id: str) -> None:
        events.witness(db, self._ring.now(), call, share_id=share_id)

    def _insert(self, db: Database, share_id: str, record: str, code: str, share_key: bytes | None, slot: Slot) -> None:
        fields = {
            "share_id": share_id,
            "record": record,
            "code_tag": self._ring.code_tag(code),
            "code": wrap(share_key, code.encode(), access_code_context(share_id)) if share_key else None,
            "share_key": self._ring.master.wrap(share_key, share_key_context(share_id)) if share_key else None,
            "salt": slot.salt,
            "memory_kib": slot.memory_kib,
            "passes": slot.passes,
            "lanes": slot.lanes,
            "verifier": slot.verifier,
            "slot_key": slot.slot_key,
        }
        places = ", ".join("?" * len(fields))
        db.execute(f"INSERT INTO shares ({', '.join(fields)}) VALUES ({places})", list(fields.values()))  # noqa: S608

    def _wrap_studies(self, db: Database, record: ShareRecord, share_key: bytes) -> None:
        for study_id in record.studies:
            key = self._studies.key(db, study_id)
            if key is None:
                raise Problem(Code.NOT_FOUND, "This study does not exist any more. Reload the list.")
            db.execute(
                "INSERT INTO share_studies (share_id, study_id, wrapped) VALUES (?, ?, ?)",
                [record.share_id, study_id, wrap(share_key, key, share_study_context(record, study_id))],
            )

    def _share_key(self, share: dict[str, Any]) -> bytes:
        if share["share_key"] is None:
            raise Problem(Code.CONFLICT, "This share has ended for good. Create a new one.")
        return self._ring.master.unwrap(share["share_key"], share_key_context(share["share_id"]))

    def _code(self, share: dict[str, Any]) -> str:
        if share["code"] is None:
            raise Problem(Code.CONFLICT, "This share has ended for good. Create a new one.")
        return unwrap(self._share_key(share), share["code"], access_code_context(share["share_id"])).decode()


def parse_record(text: str) -> ShareRecord:
    """Errors: Problem INVALID."""
    try:
        record = ShareRecord.parse(text)
        for name in (record.share_id, *record.studies):
            ID.decode(name)
        if record.canonical() == text:
            return record
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise Problem(Code.INVALID, "This is not the record of a share.")


def _find(db: Database, column: str, value: str | bytes) -> dict[str, Any] | None:
    return row(db, f"SELECT * FROM shares WHERE {column} = ?", [value])  # noqa: S608


def _existing(db: Database, share_id: str) -> dict[str, Any]:
    share = _find(db, "share_id", share_id)
    if share is None:
        raise Problem(Code.NOT_FOUND, "This share does not exist. Reload the list.")
    return share


def _slot(share: dict[str, Any]) -> Slot:
    return Slot(share["salt"], share["memory_kib"], share["passes"], share["lanes"], share["verifier"], share["slot_key"])


def _put_slot(db: Database, share_id: str, slot: Slot) -> None:
    db.execute(
        "UPDATE shares SET salt = ?, memory_kib = ?, passes = ?, lanes = ?, verifier = ?, slot_key = ? WHERE share_id = ?",
        [slot.salt, slot.memory_kib, slot.passes, slot.lanes, slot.verifier, slot.slot_key, share_id],
    )


def _forget_failures(db: Database, share_id: str, code_tag: bytes) -> None:
    db.execute("UPDATE shares SET failures = 0, locked_at = NULL WHERE share_id = ?", [share_id])
    budgets.clear(db, code_tag)


def _write_down(db: Database, share: dict[str, Any], record: ShareRecord, now: int) -> None:
    """A right password is an event; whether it let its owner in is the record's matter."""
    state = Share(record, revoked_at=share["revoked_at"]).state(now)
    if state is ShareState.OPEN:
        events.record(db, now, Action.SHARE_OPENED, share["share_id"])
    else:
        events.record(db, now, Action.SHARE_REFUSED, share["share_id"], detail={"state": state})


def share_study_context(record: ShareRecord, study_id: str) -> Context:
    return Context("bildbrief/v1/share-study", bytes.fromhex(record.share_id), bytes.fromhex(study_id), record.digest())


def share_key_context(share_id: str) -> Context:
    return Context("bildbrief/v1/share-key", bytes.fromhex(share_id))


def access_code_context(share_id: str) -> Context:
    return Context("bildbrief/v1/access-code", bytes.fromhex(share_id))
