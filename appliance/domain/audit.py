"""The audit log: what can happen, and how each entry is chained to the one before it."""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """Everything that is written down."""

    INSTANCES_STORED = "instances-stored"
    INSTANCES_REPEATED = "instances-repeated"
    INSTANCE_REVISED = "instance-revised"
    INSTANCE_QUARANTINED = "instance-quarantined"
    QUARANTINE_DISMISSED = "quarantine-dismissed"
    STUDY_COMPLETED = "study-completed"
    PICTURES_DRAWN = "pictures-drawn"
    MANIFEST_WRITTEN = "manifest-written"
    STUDY_FORGOTTEN = "study-forgotten"
    STUDY_KEPT = "study-kept"
    STUDY_REMOVED = "study-removed"
    REPORT_ADDED = "report-added"
    REPORTS_RELEASED = "reports-released"
    SHARE_CREATED = "share-created"
    SHARE_CHANGED = "share-changed"
    SHARE_REVOKED = "share-revoked"
    SHARE_CLOSED = "share-closed"
    SHARE_UNLOCKED = "share-unlocked"
    LETTER_PRINTED = "letter-printed"
    PASSWORD_REPLACED = "password-replaced"  # noqa: S105
    SLIP_PRINTED = "slip-printed"
    SHARE_OPENED = "share-opened"
    SHARE_REFUSED = "share-refused"
    SHARE_LOCKED = "share-locked"
    SHARE_LEFT = "share-left"
    REPORT_READ = "report-read"
    DOWNLOAD_STARTED = "download-started"
    DOWNLOAD_ENDED = "download-ended"
    SENDING_STARTED = "sending-started"
    SENDING_ENDED = "sending-ended"
    COMMITMENT_ASKED = "commitment-asked"
    COMMITMENT_JUDGED = "commitment-judged"
    COMMITMENT_REPORTED = "commitment-reported"
    COMMITMENT_DELAYED = "commitment-delayed"
    COMMITMENT_GIVEN_UP = "commitment-given-up"
    OBJECTS_MIRRORED = "objects-mirrored"
    OBJECTS_UNMIRRORED = "objects-unmirrored"
    MIRROR_FAILED = "mirror-failed"
    SETUP_LINK_MADE = "setup-link-made"
    USER_ADDED = "user-added"
    USER_CHANGED = "user-changed"
    USER_REMOVED = "user-removed"
    USER_IN = "user-in"
    USER_REFUSED = "user-refused"
    USER_OUT = "user-out"
    SETTINGS_CHANGED = "settings-changed"
    KEYS_CHANGED = "keys-changed"  # this and the next four are the keyholder's own word, whatever its callers write down
    KEYS_USED = "keys-used"
    KEY_DESTROYED = "key-destroyed"
    KEYS_COPIED = "keys-copied"
    KEYS_RESTORED = "keys-restored"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry: who did what to which study, share or object. `detail` holds ids, counts and reasons, never names or codes."""

    at: int
    actor: str
    action: Action
    study_id: str | None = None
    share_id: str | None = None
    object_id: str | None = None
    detail: dict[str, Any] | None = None

    def text(self) -> str:
        """The entry as the one text that is chained."""
        return json.dumps(
            [self.at, self.actor, self.action, self.study_id, self.share_id, self.object_id, self.detail],
            separators=(",", ":"),
            sort_keys=True,
        )


FIRST = bytes(32)
"""What the first entry is chained to."""


def link(previous: bytes, event: Event) -> bytes:
    """The hash that chains an entry to the one before it: SHA-256(previous ‖ text)."""
    return hashlib.sha256(previous + event.text().encode()).digest()
