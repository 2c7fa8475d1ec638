"""Opening: what the portal asks with a reader's code and password. Specification: `docs/format.md`, "Shares".

Only here is a password tried. Whoever has none learns nothing: neither from the answer nor from the work it takes.
"""

from contextlib import ExitStack
from threading import BoundedSemaphore
from typing import Any, Final

from sqlite_utils import Database

from ..domain.audit import Action
from ..domain.codes import CODE_DIGITS
from ..domain.errors import Problem
from ..domain.share import Share, ShareRecord, ShareState
from ..log import log
from ..vault.keys import new_id, unwrap
from . import budgets, events
from .devices import Devices
from .ring import Ring, rows
from .shares import existing, find, insert, parse_record, share_study_context
from .slots import Slot, Slots, open_slot

QUEUE: Final = 16
"""Attempts that may wait for the one that is being derived (`vault.argon2`); more are told that we are busy."""

WRONG: Final = {"refused": "wrong"}


class Opening:
    def __init__(self, ring: Ring, memory_kib: int) -> None:
        """`memory_kib`: what trying an unknown code costs (Argon2id)."""
        self._ring = ring
        self._slots = Slots(ring.secret("pepper"), memory_kib)
        self._places = BoundedSemaphore(1 + QUEUE)
        self._devices = Devices(ring)
        self._alarmed_at = 0
        # The share that stands for every unknown code: trying it costs the same, and nothing opens it. Nobody knows its id.
        self._nobody = new_id()
        with ring.write() as db:
            db.execute("DELETE FROM shares WHERE record = ''")
            insert(ring, db, self._nobody, "", "0" * CODE_DIGITS, None, self._slots.decoy())

    def open_share(self, code: str, password: str, prefix: str, device: str | None) -> dict[str, Any]:
        """Try a code and a password, both in the form of `domain.codes`.

        Unknown code, wrong password, closed and locked share: same answer, same work (one derivation, the same writes). Charged
        before the derivation, in the transaction that looks at the budgets, so that nothing is tried uncharged. Whether the share
        is open by its record is not judged here. Errors: Problem UNAVAILABLE while the master key is away.
        """
        self._ring.require_master()  # what is in memory would do; but whoever takes the HSM away ends it, and nothing is charged
        now = self._ring.now()
        with ExitStack() as attempt:
            with self._ring.write() as db:
                tried = find(db, "code_tag", self._ring.code_tag(code)) or existing(db, self._nobody)
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
            kek = self._slots.key(_slot_of(tried), share_id, code, password)
            with self._ring.write() as db:
                # Looked at anew: while it was tried, the share may have been closed or its password replaced.
                share = find(db, "share_id", share_id)
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


def _slot_of(share: dict[str, Any]) -> Slot:
    return Slot(share["salt"], share["memory_kib"], share["passes"], share["lanes"], share["verifier"], share["slot_key"])


def _write_down(db: Database, share: dict[str, Any], record: ShareRecord, now: int) -> None:
    """A right password is an event; whether it let its owner in is the record's matter."""
    state = Share(record, revoked_at=share["revoked_at"]).state(now)
    if state is ShareState.OPEN:
        events.record(db, now, Action.SHARE_OPENED, share["share_id"])
    else:
        events.record(db, now, Action.SHARE_REFUSED, share["share_id"], detail={"state": state})
