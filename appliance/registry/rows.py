"""The rows of the registry, one frozen class a table.

`about` columns are sealed JSON (`vault.columns`): under the study key for everything that names or describes a patient, under the
desk key for staff and recipients. Times are UTC seconds; sizes are plain bytes; tags are keyed hashes (16 bytes).
"""

from dataclasses import dataclass, fields
from typing import ClassVar

from ..domain.share import Share, ShareRecord
from ..domain.study import StudyState


class Row:
    """A row of the table `TABLE`, whose first column is its key."""

    TABLE: ClassVar[str]

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        return tuple(column.name for column in fields(cls))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class StudyRow(Row):
    """A study. `tag` finds it again by Study Instance UID and Patient ID; `generation` counts its manifests."""

    TABLE: ClassVar[str] = "studies"

    study_id: str
    tag: bytes
    state: StudyState
    first_received_at: int
    last_received_at: int
    about: bytes
    completed_at: int | None = None
    generation: int = 0
    manifest_id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", StudyState(self.state))


@dataclass(frozen=True, slots=True)
class SeriesRow(Row):
    """A series. `picture_note` says why there is no picture, when there is none."""

    TABLE: ClassVar[str] = "series"

    series_id: str
    study_id: str
    tag: bytes
    about: bytes
    thumb_id: str | None = None
    picture_id: str | None = None
    picture_note: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectRow(Row):
    """A sealed object and its key, wrapped under the study key. `kind` as in `vault.sealed.Kind`."""

    TABLE: ClassVar[str] = "objects"

    object_id: str
    study_id: str
    kind: int
    size: int
    wrapped_key: bytes
    stored_at: int
    mirrored_at: int | None = None


@dataclass(frozen=True, slots=True)
class InstanceRow(Row):
    """A received file. Same `tag` (SOP Instance UID) with another `content_tag` (dataset bytes) is a later revision."""

    TABLE: ClassVar[str] = "instances"

    object_id: str
    study_id: str
    series_id: str
    tag: bytes
    content_tag: bytes
    revision: int
    crc32: int
    about: bytes
    received_at: int


@dataclass(frozen=True, slots=True)
class ReportRow(Row):
    """A PDF report, and the same as an Encapsulated PDF instance for the download."""

    TABLE: ClassVar[str] = "reports"

    report_id: str
    study_id: str
    object_id: str
    instance_id: str
    crc32: int
    instance_crc32: int
    about: bytes
    added_at: int


@dataclass(frozen=True, slots=True)
class ReportPageRow(Row):
    """The picture of one page of a report; pages count from 1."""

    TABLE: ClassVar[str] = "report_pages"

    object_id: str
    report_id: str
    number: int


@dataclass(frozen=True, slots=True)
class QuarantineRow(Row):
    """A received file that could not be understood. It has a study key of its own, so that it can be forgotten alone."""

    TABLE: ClassVar[str] = "quarantine"

    object_id: str
    study_id: str
    reason: str
    size: int
    wrapped_key: bytes
    received_at: int
    about: bytes


@dataclass(frozen=True, slots=True)
class ShareRow(Row):
    """A share: its record as canonical text, and what happened to it."""

    TABLE: ClassVar[str] = "shares"

    share_id: str
    record: str
    about: bytes
    revoked_at: int | None = None
    closed_at: int | None = None
    locked_at: int | None = None
    opened_at: int | None = None
    last_opened_at: int | None = None

    @property
    def share(self) -> Share:
        return Share(ShareRecord.parse(self.record), self.revoked_at, self.closed_at, self.locked_at)


@dataclass(frozen=True, slots=True)
class ShareStudyRow(Row):
    """A study in a share."""

    TABLE: ClassVar[str] = "share_studies"

    share_id: str
    study_id: str


@dataclass(frozen=True, slots=True)
class OutboxRow(Row):
    """Something the mirror has yet to do: `verb` is put or delete, `name` a blob. `entry` 0 on insert: numbered by the table."""

    TABLE: ClassVar[str] = "outbox"

    entry: int
    verb: str
    name: str
    study_id: str
    due_at: int
    attempts: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CommitmentRow(Row):
    """A modality's question whether its images are kept. `tag` recognises the same question; `judged_at` None: no answer yet.

    `attempts` counts tries to report the answer; `about` is sealed under the uid secret.
    """

    TABLE: ClassVar[str] = "commitments"

    request_id: str
    tag: bytes
    asked_at: int
    due_at: int
    about: bytes
    attempts: int = 0
    judged_at: int | None = None


@dataclass(frozen=True, slots=True)
class UserRow(Row):
    """A member of staff. `password` is an Argon2id PHC string."""

    TABLE: ClassVar[str] = "users"

    user_id: str
    login_tag: bytes
    about: bytes
    password: str
    role: str
    created_at: int


@dataclass(frozen=True, slots=True)
class SetupRow(Row):
    """The one-time link with which the first user is made: only its SHA-256 is kept."""

    TABLE: ClassVar[str] = "setup"

    token_hash: bytes
    expires_at: int


@dataclass(frozen=True, slots=True)
class AuditRow(Row):
    """One audit entry, chained to the one before it (`domain.audit.link`)."""

    TABLE: ClassVar[str] = "audit"

    seq: int
    at: int
    actor: str
    action: str
    study_id: str | None
    share_id: str | None
    object_id: str | None
    detail: str | None
    hash: bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a study holds: series, instances (latest revisions), reports, and all its objects' plain bytes."""

    study_id: str
    series: int
    instances: int
    reports: int
    size: int
