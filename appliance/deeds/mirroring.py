"""Mirroring: sealed objects go to the mirror as they are, are read back and compared; what is forgotten is deleted there."""

import hashlib
from collections.abc import Callable, Iterator

from ..domain.audit import Action
from ..domain.errors import Problem
from ..log import log
from ..registry import ObjectRow, OutboxRow, Registry
from ..vault.blobs import Blobs, Missing
from ..vault.sealed import ReadAt
from .manifest import mirror_name

ACTOR = "clock"
BATCH = 50
_PIECE = 1 << 20
_PATIENCE = (10, 30, 60, 300, 900)
"""Seconds until a failed entry is tried again; the last one over and over, so that a backlog drains within 15 minutes of a cure."""


class Mirroring:
    """Runs in the clock. Every entry of the outbox can be done twice without harm."""

    def __init__(self, registry: Registry, objects: Blobs, mirror: Blobs | None, now: Callable[[], int]) -> None:
        self._registry = registry
        self._objects = objects
        self._mirror = mirror
        self._now = now

    def run_once(self) -> int:
        """Work off what is due, a batch at a time, until nothing is or the mirror fails. Returns how many entries were done."""
        if self._mirror is None:
            return 0
        total = 0
        while entries := self._registry.outbox(self._now(), BATCH):
            done: list[OutboxRow] = []
            failed: tuple[OutboxRow, str] | None = None
            for entry in entries:
                try:
                    self._do(self._mirror, entry)
                except (Problem, OSError) as problem:
                    # The mirror is likely down for all: the rest of the batch would only wait for the same answer.
                    failed = entry, problem.code if isinstance(problem, Problem) else "unavailable"
                    break
                done.append(entry)
            self._settle(done, failed)
            total += len(done)
            if failed:
                break
        return total

    def _do(self, mirror: Blobs, entry: OutboxRow) -> None:
        if entry.verb == "delete":
            mirror.delete(entry.name)
            return
        local = self._local_name(entry)
        if local is None:
            return  # forgotten since: retention has told the mirror to delete it
        try:
            with self._objects.open(local) as source:
                sent = hashlib.sha256()
                mirror.put(entry.name, _hashed(source, sent))
        except Missing:
            # A manifest replaced in this moment has another entry behind this one. Anything else missing is a loss to be told.
            if local != entry.name:
                return
            raise
        with mirror.open(entry.name) as copy:
            if _digest(copy) != sent.digest():
                raise OSError("the mirror gave back other bytes than were sent")

    def _local_name(self, entry: OutboxRow) -> str | None:
        if entry.name == mirror_name(entry.study_id):
            study = self._registry.study(entry.study_id)
            return None if study is None else study.manifest_id
        return entry.name if self._registry.object(entry.name) else None

    def _settle(self, done: list[OutboxRow], failed: tuple[OutboxRow, str] | None) -> None:
        with self._registry.change(self._now(), ACTOR) as change:
            for entry in done:
                if entry.verb == "put" and entry.name != mirror_name(entry.study_id):
                    change.update(ObjectRow, entry.name, mirrored_at=change.now)
            change.delete(OutboxRow, "entry", [entry.entry for entry in done])
            if puts := sum(entry.verb == "put" for entry in done):
                change.note(Action.OBJECTS_MIRRORED, count=puts)
            if deletes := len(done) - puts:
                change.note(Action.OBJECTS_UNMIRRORED, count=deletes)
            if failed:
                entry, reason = failed
                wait = _PATIENCE[min(entry.attempts, len(_PATIENCE) - 1)]
                change.update(OutboxRow, entry.entry, attempts=entry.attempts + 1, due_at=change.now + wait, problem=reason)
                change.note(Action.MIRROR_FAILED, study_id=entry.study_id, reason=reason)
        if done or failed:
            log.info("mirrored", done=len(done), failed=bool(failed))


def _hashed(source: ReadAt, digest: "hashlib._Hash") -> Iterator[bytes]:
    for at in range(0, source.size, _PIECE):
        piece = source.read_at(at, min(_PIECE, source.size - at))
        digest.update(piece)
        yield piece


def _digest(source: ReadAt) -> bytes:
    digest = hashlib.sha256()
    for _ in _hashed(source, digest):
        pass
    return digest.digest()
