"""Shares: the desk makes, changes and ends them. Specification: `docs/format.md`, "Shares". How one is opened: `opening`.

A share key lies twice in the ring: under the master key, so that the desk can change a share without its password, and in a slot
under code and password. The study keys lie under the share key, wrapped for the digest of the share's record: whoever edits the
record opens nothing. (The digest is bound there and not in the slot, so that a share can be extended while its password stays.)
"""

import secrets
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database

from ..domain.codes import new_code, new_password
from ..domain.errors import Code, Problem
from ..domain.share import ShareRecord
from ..vault.keys import Context, new_key, unwrap, wrap
from . import budgets, events
from .calls import ID
from .ring import Ring, bury, refuse_buried, row
from .slots import Slot, Slots
from .studies import Studies


class Shares:
    def __init__(self, ring: Ring, studies: Studies, memory_kib: int) -> None:
        """`memory_kib`: what trying one password costs (Argon2id)."""
        self._ring = ring
        self._studies = studies
        self._slots = Slots(ring.secret("pepper"), memory_kib)

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
            insert(self._ring, db, wanted.share_id, record, code, share_key, slot)
            self._wrap_studies(db, wanted, share_key)
            self._witness(db, "share_create", wanted.share_id)
        return {"code": code, "password": password}

    def share_change(self, record: str) -> None:
        """Put another record in a share's place. Code and password stay. Errors: as above; CONFLICT for a revoked share."""
        wanted = parse_record(record)
        with self._ring.write() as db:
            share_key = self._share_key(existing(db, wanted.share_id))
            db.execute("UPDATE shares SET record = ? WHERE share_id = ?", [record, wanted.share_id])
            db.execute("DELETE FROM share_studies WHERE share_id = ?", [wanted.share_id])
            self._wrap_studies(db, wanted, share_key)
            self._witness(db, "share_change", wanted.share_id)

    def share_password(self, share_id: str) -> str:
        """Replace the password: the old one is dead when this returns. Failures are forgotten. Errors: NOT_FOUND, CONFLICT."""
        share = existing(self._ring.here(), share_id)
        code, password = self._code(share), new_password(secrets.randbelow)
        slot = self._slots.make(share_id, code, password, self._share_key(share))
        with self._ring.write() as db:
            self._share_key(existing(db, share_id))  # it may have been revoked meanwhile
            _put_slot(db, share_id, slot)
            _forget_failures(db, share_id, share["code_tag"])
            self._witness(db, "share_password", share_id)
        return password

    def share_code(self, share_id: str) -> str:
        """The access code. Errors: Problem NOT_FOUND; CONFLICT for a revoked share."""
        with self._ring.write() as db:
            code = self._code(existing(db, share_id))
            self._witness(db, "share_code", share_id)
        return code

    def share_digests(self, share_ids: Sequence[str]) -> dict[str, bytes | None]:
        """The digest of each share's record; None for one that is closed, revoked or was never known."""
        db = self._ring.here()
        found = {share_id: find(db, "share_id", share_id) for share_id in share_ids}
        return {
            share_id: None if share is None or share["share_key"] is None else parse_record(share["record"]).digest()
            for share_id, share in found.items()
        }

    def share_unlock(self, share_id: str) -> None:
        """Let a share be tried again. Errors: Problem NOT_FOUND."""
        with self._ring.write() as db:
            _forget_failures(db, share_id, existing(db, share_id)["code_tag"])
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

    # -- rows --------------------------------------------------------------------------------------------------------

    def _witness(self, db: Database, call: str, share_id: str) -> None:
        events.witness(db, self._ring.now(), call, share_id=share_id)

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


def insert(ring: Ring, db: Database, share_id: str, record: str, code: str, share_key: bytes | None, slot: Slot) -> None:
    """The row of a new share. `code`: also of one that is found by it and has no key."""
    fields = {
        "share_id": share_id,
        "record": record,
        "code_tag": ring.code_tag(code),
        "code": wrap(share_key, code.encode(), access_code_context(share_id)) if share_key else None,
        "share_key": ring.master.wrap(share_key, share_key_context(share_id)) if share_key else None,
        "salt": slot.salt,
        "memory_kib": slot.memory_kib,
        "passes": slot.passes,
        "lanes": slot.lanes,
        "verifier": slot.verifier,
        "slot_key": slot.slot_key,
    }
    places = ", ".join("?" * len(fields))
    db.execute(f"INSERT INTO shares ({', '.join(fields)}) VALUES ({places})", list(fields.values()))  # noqa: S608


def find(db: Database, column: str, value: str | bytes) -> dict[str, Any] | None:
    return row(db, f"SELECT * FROM shares WHERE {column} = ?", [value])  # noqa: S608


def existing(db: Database, share_id: str) -> dict[str, Any]:
    """Errors: Problem NOT_FOUND."""
    share = find(db, "share_id", share_id)
    if share is None:
        raise Problem(Code.NOT_FOUND, "This share does not exist. Reload the list.")
    return share


def _put_slot(db: Database, share_id: str, slot: Slot) -> None:
    db.execute(
        "UPDATE shares SET salt = ?, memory_kib = ?, passes = ?, lanes = ?, verifier = ?, slot_key = ? WHERE share_id = ?",
        [slot.salt, slot.memory_kib, slot.passes, slot.lanes, slot.verifier, slot.slot_key, share_id],
    )


def _forget_failures(db: Database, share_id: str, code_tag: bytes) -> None:
    db.execute("UPDATE shares SET failures = 0, locked_at = NULL WHERE share_id = ?", [share_id])
    budgets.clear(db, code_tag)


def share_study_context(record: ShareRecord, study_id: str) -> Context:
    return Context("bildbrief/v1/share-study", bytes.fromhex(record.share_id), bytes.fromhex(study_id), record.digest())


def share_key_context(share_id: str) -> Context:
    return Context("bildbrief/v1/share-key", bytes.fromhex(share_id))


def access_code_context(share_id: str) -> Context:
    return Context("bildbrief/v1/access-code", bytes.fromhex(share_id))
