"""Ingest: what the receiver published becomes a study: understood once, in a cage, and registered.

The order for each file, each step repeatable after a crash at any point:
open envelope → pre-scan → describe in the cage → link into `objects/` (bytes before row) → rows and audit in one transaction →
unlink from `intake/new/`. The intake's name carries the only copy of the file's key envelope until the row carries the wrapped
key; that is why the file is linked and not renamed: a rename would drop the envelope before the row exists.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from secrets import token_bytes

from ..dicom.cage import Cage, Failed
from ..dicom.reasons import Reason
from ..dicom.scan import Scan, Scanner, Verdict
from ..disk.files import fsync_dir
from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.study import Described, StudyState
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import Change, InstanceRow, ObjectRow, OutboxRow, QuarantineRow, Registry, SeriesRow, StudyRow
from ..vault import intake
from ..vault.blobs import Local
from ..vault.keys import derive, object_key, tag, wrap_object_key
from ..vault.sealed import Kind, Reader
from . import facts

ACTOR = "ingester"
BATCH = 64
"""Files taken in one transaction: enough that its fsync costs little per file, few enough that a study shows soon."""


@dataclass(frozen=True, slots=True)
class Read:
    """A file of the intake after pre-scan and cage: understood, or to be set aside with a reason."""

    arrived: intake.Arrived
    key: bytes
    scan: Scan | None
    described: Described | None
    reason: Reason | None


@dataclass(frozen=True, slots=True)
class Placed:
    """An understood file with the tags by which its study, series and instance are found again."""

    read: Read
    described: Described
    scan: Scan
    study_tag: bytes
    study_id: str
    study_key: bytes
    is_new: bool
    """Whether the study was unknown when the key was asked for."""


class Ingest:
    """One process runs it; it is the only one that adds studies."""

    def __init__(
        self,
        intake_dir: Path,
        objects: Local,
        quarantine: Local,
        registry: Registry,
        keyholder: Keyholder,
        cage: Cage,
        now: Callable[[], int],
        readers: int,
    ) -> None:
        """`readers`: files read at a time; as many as the cage has workers."""
        self._intake = intake_dir
        self._objects = objects
        self._quarantine = quarantine
        self._registry = registry
        self._keyholder = keyholder
        self._cage = cage
        self._now = now
        self._readers = ThreadPoolExecutor(max_workers=readers, thread_name_prefix="ingest")
        self._uid_key: bytes | None = None
        self._association_key = lru_cache(maxsize=256)(keyholder.open_envelope)

    def publish_key(self) -> None:
        """Put today's public intake key where the receiver reads it."""
        key = self._keyholder.intake_public()
        current = intake.read_public(self._intake)
        if current is None or current.key_id != key.key_id:
            intake.write_public(self._intake, intake.PublicKey(key.key_id, key.public))
            log.info("intake key published", key_id=key.key_id)

    def retire_keys(self) -> None:
        """Let the keyholder destroy intake keys of days gone by that no waiting file needs."""
        waiting = (*intake.waiting(self._intake), *intake.requests(self._intake))
        self._keyholder.retire_intake_keys(sorted({arrived.key_id for arrived in waiting}))

    def run_once(self) -> int:
        """Take the oldest waiting files, at most a batch. Returns how many there were."""
        batch = list(islice(intake.waiting(self._intake), BATCH))
        if not batch:
            return 0
        read = list(self._readers.map(self._read, batch))
        placed, aside = self._place(read)
        self._link(placed, aside)
        self._register(placed, aside)
        for item in read:
            item.arrived.path.unlink(missing_ok=True)
        fsync_dir(batch[0].path.parent)
        return len(batch)

    def waits_since(self) -> int | None:
        """When the oldest file arrived that is still to be taken; None when none is."""
        return next((arrived.arrived_at for arrived in intake.waiting(self._intake)), None)

    def close(self) -> None:
        self._readers.shutdown()

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read(self, arrived: intake.Arrived) -> Read:
        try:
            association = self._association_key(arrived.key_id, arrived.envelope)
        except Problem as problem:
            if problem.code is Code.UNAVAILABLE:
                raise
            return Read(arrived, b"", None, None, Reason.UNREADABLE)
        key = object_key(association, bytes.fromhex(arrived.object_id))
        scanner = Scanner()
        try:
            with intake.opened(arrived) as source:
                for piece in Reader(source, object_id=bytes.fromhex(arrived.object_id), key=key, kind=Kind.DICOM).read():
                    scanner.feed(piece)
        except Problem as problem:
            if problem.code is not Code.DAMAGED:
                raise
            return Read(arrived, key, None, None, Reason.UNREADABLE)
        scan = scanner.finish()
        if scan.verdict is not Verdict.OK:
            return Read(arrived, key, scan, None, scan.reason)
        described = self._cage.describe(scan.header)
        if isinstance(described, Failed):
            return Read(arrived, key, scan, None, described.reason)
        return Read(arrived, key, scan, described, None)

    # -- placing ---------------------------------------------------------------------------------------------------

    def _place(self, read: Sequence[Read]) -> tuple[list[Placed], list[Read]]:
        """Find or make the study of each file, and its key."""
        uid_key = self._uid_key = self._uid_key or self._keyholder.uid_key()
        placed: list[Placed] = []
        studies: dict[bytes, tuple[str, bytes, bool]] = {}
        for item in read:
            if item.described is None or item.scan is None:
                continue
            about = item.described.study
            study_tag = tag(uid_key, b"study", about.study_uid.encode(), about.patient_id.encode())
            if study_tag not in studies:
                found = self._known(study_tag)
                study_id, study_key = found or self._new(uid_key, study_tag, item.arrived.object_id)
                studies[study_tag] = study_id, study_key, found is None
            placed.append(Placed(item, item.described, item.scan, study_tag, *studies[study_tag]))
        return placed, [item for item in read if item.described is None]

    def _known(self, study_tag: bytes) -> tuple[str, bytes] | None:
        """The study with this tag and its key. None also if its key is lost with a ring: what is sent again is then a new study."""
        study = self._registry.study_by_tag(study_tag)
        key = self._keyholder.study_keys([study.study_id])[study.study_id] if study else None
        return (study.study_id, key) if study and key else None

    def _new(self, uid_key: bytes, study_tag: bytes, object_id: str) -> tuple[str, bytes]:
        """A new study is named after its first file, so that a repeated attempt makes no second key."""
        study_id = derive(uid_key, "bildbrief/v1/study-id", study_tag, object_id.encode(), length=16).hex()
        return study_id, self._keyholder.create_study_key(study_id)

    def _link(self, placed: Iterable[Placed], aside: Iterable[Read]) -> None:
        self._objects.adopt((item.read.arrived.path, item.read.arrived.object_id) for item in placed)
        self._quarantine.adopt((item.arrived.path, item.arrived.object_id) for item in aside)

    # -- registering -----------------------------------------------------------------------------------------------

    def _register(self, placed: Sequence[Placed], aside: Sequence[Read]) -> None:
        now = self._now()
        dropped: list[str] = []
        with self._registry.change(now, ACTOR) as change:
            for study_id in dict.fromkeys(item.study_id for item in placed):
                files = [item for item in placed if item.study_id == study_id]
                dropped += self._register_study(change, study_id, files)
            for item in aside:
                self._set_aside(change, item)
        for object_id in dropped:
            self._objects.delete(object_id)
        log.info("files taken in", understood=len(placed), quarantined=len(aside), repeated=len(dropped))

    def _register_study(self, change: Change, study_id: str, files: Sequence[Placed]) -> list[str]:
        """Rows for the files of one study. Returns the objects that hold nothing new."""
        first = files[0]
        study = next(iter(change.rows(StudyRow, "study_id = ?", [study_id])), None)
        if not first.is_new and (study is None or study.state is StudyState.FORGOTTEN):
            # Given up since its key was asked for. The files still wait in the intake; the next round makes a new study of them.
            raise Problem(Code.CONFLICT, "This study does not exist any more. Reload the list.")
        latest = max(item.read.arrived.arrived_at for item in files)
        if study is None:
            about = facts.seal(first.described.study, first.study_key, study_id)
            for lost in change.rows(StudyRow, "tag = ?", [first.study_tag]):  # its key is lost: the tag goes to the study sent anew
                change.update(StudyRow, lost.study_id, tag=token_bytes(16))
            change.insert(StudyRow(study_id, first.study_tag, StudyState.RECEIVING, change.now, latest, about))
        stored, repeated, revised = 0, [], 0
        for item in files:
            object_id = item.read.arrived.object_id
            if change.rows(ObjectRow, "object_id = ?", [object_id]):
                continue  # registered before a crash; only its name in the intake was left
            series_id = self._series(change, item)
            instance_tag = tag(item.study_key, b"instance", item.described.instance.sop_instance.encode())
            content_tag = tag(item.study_key, b"content", bytes.fromhex(item.scan.sha256))
            revisions = change.rows(InstanceRow, "study_id = ? AND tag = ?", [study_id, instance_tag])
            if any(row.content_tag == content_tag for row in revisions):
                repeated.append(object_id)
                continue
            wrapped = wrap_object_key(item.study_key, item.read.key, study_id, object_id, Kind.DICOM)
            change.insert(
                ObjectRow(object_id, study_id, int(Kind.DICOM), item.scan.size, wrapped, change.now),
                InstanceRow(
                    object_id,
                    study_id,
                    series_id,
                    instance_tag,
                    content_tag,
                    len(revisions) + 1,
                    item.scan.crc32,
                    facts.seal(item.described.instance, item.study_key, object_id),
                    item.read.arrived.arrived_at,
                ),
                OutboxRow(0, "put", object_id, study_id, change.now),
            )
            stored += 1
            revised += bool(revisions)
        if study is not None and stored:
            change.update(
                StudyRow, study_id, state=StudyState.RECEIVING, last_received_at=max(latest, study.last_received_at), completed_at=None
            )
        if stored or not repeated:
            change.note(Action.INSTANCES_STORED, study_id=study_id, count=stored)
        if revised:
            change.note(Action.INSTANCE_REVISED, study_id=study_id, count=revised)
        if repeated:
            change.note(Action.INSTANCES_REPEATED, study_id=study_id, count=len(repeated))
        return repeated

    def _series(self, change: Change, item: Placed) -> str:
        series_tag = tag(item.study_key, b"series", item.described.series.series_uid.encode())
        for row in change.rows(SeriesRow, "study_id = ? AND tag = ?", [item.study_id, series_tag]):
            return row.series_id
        series_id = derive(item.study_key, "bildbrief/v1/series-id", series_tag, length=16).hex()
        change.insert(SeriesRow(series_id, item.study_id, series_tag, facts.seal(item.described.series, item.study_key, series_id)))
        return series_id

    def _set_aside(self, change: Change, item: Read) -> None:
        """Quarantine: the file keeps a key of its own (its study id is its object id), so that it can be forgotten alone."""
        object_id = item.arrived.object_id
        if change.rows(QuarantineRow, "object_id = ?", [object_id]):
            return
        study_key = self._keyholder.create_study_key(object_id)
        wrapped = wrap_object_key(study_key, item.key, object_id, object_id, Kind.DICOM) if item.key else b""
        about = {"source_ae": _sender(item.scan.header) if item.scan else ""}
        size = item.scan.size if item.scan else 0
        change.insert(
            QuarantineRow(
                object_id,
                object_id,
                item.reason or "",
                size,
                wrapped,
                item.arrived.arrived_at,
                facts.seal_quarantine(about, study_key, object_id),
            )
        )
        change.note(Action.INSTANCE_QUARANTINED, object_id=object_id, reason=item.reason)


def _sender(header: bytes) -> str:
    """The AE title of who sent a file that could not be understood: (0002,0016) of the file meta information, which the receiver wrote."""
    at = header.find(b"\x02\x00\x16\x00AE")
    if at < 0:
        return ""
    length = int.from_bytes(header[at + 6 : at + 8], "little")
    return header[at + 8 : at + 8 + min(length, 16)].decode("ascii", "replace").strip()
