"""Sharing: the practice gives a reader a letter, changes its mind, or takes it back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.share import DAY, Audience, Release, ShareRecord, ShareState
from ..domain.study import StudyState
from ..keyholder.client import Keyholder
from ..registry import Registry, ShareRow, ShareStudyRow, StudyRow
from ..vault.columns import open_column, seal_column
from ..vault.keys import new_id

HOUR = 3600


RELEASE_DELAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Limits:
    """How long shares last: by default, at most, and how long after their end they can be reactivated. In seconds."""

    default: int = 90 * DAY
    longest: int = 365 * DAY
    grace: int = 14 * DAY


@dataclass(frozen=True, slots=True)
class Secrets:
    """What goes into the letter and onto the slip. Shown once, kept nowhere."""

    code: str
    password: str


@dataclass(frozen=True, slots=True)
class ShareView:
    """A share as the desk shows it."""

    record: ShareRecord
    state: ShareState
    recipient: str
    opened_at: int | None
    last_opened_at: int | None


class Sharing:
    """Every change of a share. The actor is a user id or the name of a process."""

    def __init__(self, registry: Registry, keyholder: Keyholder, now: Callable[[], int], limits: Limits) -> None:
        self._registry = registry
        self._keyholder = keyholder
        self._now = now
        self.limits = limits

    def create(
        self,
        actor: str,
        studies: Sequence[str],
        *,
        audience: Audience,
        language: str,
        days: int | None = None,
        not_before: int | None = None,
        may_download: bool = True,
        release: Release = Release.NOW,
        recipient: str = "",
    ) -> tuple[ShareRecord, Secrets]:
        """Make a share of studies. Keys first, then the row: a share that the keyholder does not know is never listed.

        Problem INVALID for studies or days that make no share, UNAVAILABLE when the keyholder does not answer.
        """
        now = self._now()
        if not studies:
            raise Problem(Code.INVALID, "A share needs at least one study. Choose one and try again.")
        self._are_there([self._registry.study(study_id) for study_id in studies])
        record = ShareRecord(
            share_id=new_id(),
            audience=audience,
            language=language,
            studies=tuple(dict.fromkeys(studies)),
            created_at=now,
            not_before=now if not_before is None else not_before,
            expires_at=now + self._duration(days),
            may_download=may_download,
            may_read_reports=release is not Release.NEVER,
            reports_from=_reports_from(release, now),
        )
        _must_begin(record)
        created = self._keyholder.share_create(record.canonical())
        with self._registry.change(now, actor) as change:
            about = seal_column(self._keyholder.desk_key(), recipient.strip()[:200], table="shares", row=record.share_id)
            # Once more inside the transaction: retention may have given a study up in this moment.
            self._are_there([next(iter(change.rows(StudyRow, "study_id = ?", [study_id])), None) for study_id in record.studies])
            change.insert(ShareRow(record.share_id, record.canonical(), about))
            for study_id in record.studies:
                change.insert(ShareStudyRow(record.share_id, study_id))
                change.note(
                    Action.SHARE_CREATED,
                    share_id=record.share_id,
                    study_id=study_id,
                    audience=audience,
                    expires_at=record.expires_at,
                )
        return record, Secrets(created.code, created.password)

    def extend(self, actor: str, share_id: str, days: int | None = None) -> ShareRecord:
        """Let the share last `days` from now; an expired one is open again, with the same code and password."""
        expires_at = self._now() + self._duration(days)
        return self._change(actor, share_id, lambda record: record.until(expires_at), "extended")

    def release_reports(self, actor: str, share_id: str) -> ShareRecord:
        """Let the reports of the share be read from now on."""
        now = self._now()
        return self._change(actor, share_id, lambda record: replace(record, reports_from=now), "reports released")

    def revoke(self, actor: str, share_id: str) -> None:
        """End the share at once. The row first, which ends running sessions; then its keys are destroyed."""
        row = self._open_row(share_id)
        if row.revoked_at is None:
            with self._registry.change(self._now(), actor) as change:
                change.update(ShareRow, share_id, revoked_at=change.now)
                change.note(Action.SHARE_REVOKED, share_id=share_id)
        self._keyholder.share_revoke(share_id)

    def unlock(self, actor: str, share_id: str) -> None:
        """Let a share be tried again that too many wrong passwords have locked."""
        self._open_row(share_id)
        self._keyholder.share_unlock(share_id)
        with self._registry.change(self._now(), actor) as change:
            change.update(ShareRow, share_id, locked_at=None)
            change.note(Action.SHARE_UNLOCKED, share_id=share_id)

    def new_password(self, actor: str, share_id: str) -> Secrets:
        """Replace the password; the old one is dead at once, a locked share is unlocked."""
        self._open_row(share_id)
        password = self._keyholder.share_password(share_id)
        code = self._keyholder.share_code(share_id)
        with self._registry.change(self._now(), actor) as change:
            change.update(ShareRow, share_id, locked_at=None)
            change.note(Action.PASSWORD_REPLACED, share_id=share_id)
        return Secrets(code, password)

    def letter_code(self, actor: str, share_id: str) -> tuple[ShareRecord, str]:
        """The record and access code of a share, to print its letter."""
        row = self._open_row(share_id)
        code = self._keyholder.share_code(share_id)
        with self._registry.change(self._now(), actor) as change:
            change.note(Action.LETTER_PRINTED, share_id=share_id)
        return row.share.record, code

    def slip_printed(self, actor: str, share_id: str) -> None:
        with self._registry.change(self._now(), actor) as change:
            change.note(Action.SLIP_PRINTED, share_id=share_id)

    def view(self, share_id: str) -> ShareView:
        """One share. Problem NOT_FOUND when there is none."""
        row = self._registry.share(share_id)
        if row is None:
            raise Problem(Code.NOT_FOUND, "This share does not exist. Reload the list.")
        return self._view(row)

    def views(self, study_id: str | None = None) -> list[ShareView]:
        """The shares of a study, or all; newest first."""
        rows = self._registry.shares() if study_id is None else self._registry.shares_of(study_id)
        return sorted((self._view(row) for row in rows), key=lambda view: -view.record.created_at)

    @staticmethod
    def _are_there(studies: Sequence[StudyRow | None]) -> None:
        if any(study is None or study.state is StudyState.FORGOTTEN for study in studies):
            raise Problem(Code.NOT_FOUND, "This study does not exist any more. Reload the list.")

    def _view(self, row: ShareRow) -> ShareView:
        share = row.share
        recipient = open_column(self._keyholder.desk_key(), row.about, table="shares", row=row.share_id) if row.about else ""
        return ShareView(share.record, share.state(self._now()), str(recipient), row.opened_at, row.last_opened_at)

    def _change(self, actor: str, share_id: str, edit: Callable[[ShareRecord], ShareRecord], what: str) -> ShareRecord:
        """The keyholder first: should the row not follow, nothing opens until it is changed again, and nothing opens wrongly."""
        row = self._open_row(share_id)
        record = edit(row.share.record)
        _must_begin(record)
        self._keyholder.share_change(record.canonical())
        with self._registry.change(self._now(), actor) as change:
            change.update(ShareRow, share_id, record=record.canonical())
            change.note(Action.SHARE_CHANGED, share_id=share_id, what=what, expires_at=record.expires_at)
        return record

    def _open_row(self, share_id: str) -> ShareRow:
        row = self._registry.share(share_id)
        if row is None:
            raise Problem(Code.NOT_FOUND, "This share does not exist. Reload the list.")
        if row.share.state(self._now()) in (ShareState.REVOKED, ShareState.GONE):
            raise Problem(Code.CONFLICT, "This share has ended for good. Create a new one.")
        return row

    def _duration(self, days: int | None) -> int:
        seconds = self.limits.default if days is None else days * DAY
        if not DAY <= seconds <= self.limits.longest:
            raise Problem(
                Code.INVALID, "A share lasts from 1 to %(longest)s days. Choose a number in between.", longest=self.limits.longest // DAY
            )
        return seconds


def _must_begin(record: ShareRecord) -> None:
    if record.not_before >= record.expires_at:
        raise Problem(Code.INVALID, "The share would end before it begins. Choose an earlier first day or more days.")


def _reports_from(release: Release, now: int) -> int | None:
    match release:
        case Release.NOW:
            return now
        case Release.LATER:
            return now + RELEASE_DELAY
        case Release.BY_HAND | Release.NEVER:
            return None
