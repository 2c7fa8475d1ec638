"""Inspecting: what staff may look at to be sure they hand over the right study, and what has happened to it."""

import json
from dataclasses import dataclass
from typing import Any

from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.study import Kind, ReportFacts, SeriesFacts, StudyFacts, StudyState
from ..keyholder.client import Keyholder
from ..registry import AuditRow, Registry, SeriesRow
from ..vault.blobs import Blobs
from . import facts, sealing

PICTURE_LIMIT = 4 << 20  # bytes of a picture


@dataclass(frozen=True, slots=True)
class SeriesDetails:
    """A series. `note` says why it has no thumbnail; `technical`: readers do not see it as images."""

    series_id: str
    facts: SeriesFacts
    images: int
    has_thumbnail: bool
    note: str | None
    technical: bool


@dataclass(frozen=True, slots=True)
class ReportDetails:
    """A report that was added at the desk."""

    report_id: str
    facts: ReportFacts
    added_at: int


@dataclass(frozen=True, slots=True)
class StudyDetails:
    """A study, opened for staff. `state` is receiving or complete; `revised` counts instances that came again with other bytes."""

    study_id: str
    state: StudyState
    received_at: int
    facts: StudyFacts
    series: list[SeriesDetails]
    reports: list[ReportDetails]
    revised: int


@dataclass(frozen=True, slots=True)
class Happening:
    """An audit entry as the desk tells it. `actor` is a user id or the name of a process."""

    at: int
    actor: str
    action: Action
    share_id: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SetAside:
    """A received file that could not be understood: why, when, from whom. `size` in bytes, 0 if unknown."""

    object_id: str
    reason: str
    received_at: int
    source_ae: str
    size: int


@dataclass(frozen=True, slots=True)
class Overview:
    """How the appliance is, as far as the desk can see. `waiting` and `failing` count what the mirror has yet to take.

    `keys_answer`: keyholder and master key are there; `backup_due`: the newest keys are in no backup.
    """

    keys_answer: bool
    backup_due: bool
    waiting: int
    failing: int
    set_aside: int


class Inspecting:
    """Reads only; each call opens what it needs with the study's key and forgets it again."""

    def __init__(self, registry: Registry, objects: Blobs, keyholder: Keyholder) -> None:
        self._registry = registry
        self._objects = objects
        self._keyholder = keyholder

    def study(self, study_id: str) -> StudyDetails:
        """Problem NOT_FOUND when there is no such study, or none any more."""
        row = self._registry.study(study_id)
        key = self._key(study_id)
        if row is None or row.state is StudyState.FORGOTTEN or key is None:
            raise _not_there()
        kinds: dict[str, list[Kind]] = {}
        instances = self._registry.instances(study_id)
        for instance in instances:
            kinds.setdefault(instance.series_id, []).append(facts.instance(instance, key).kind)
        return StudyDetails(
            study_id=study_id,
            state=row.state,
            received_at=row.last_received_at,
            facts=facts.study(row, key),
            series=sorted((_series(found, key, kinds.get(found.series_id, [])) for found in self._registry.series(study_id)), key=_order),
            reports=[
                ReportDetails(report.report_id, facts.report(report, key), report.added_at) for report in self._registry.reports(study_id)
            ],
            revised=sum(instance.revision > 1 for instance in instances),
        )

    def thumbnail(self, study_id: str, series_id: str) -> bytes:
        """The small picture of a series, WebP. Problem NOT_FOUND when there is none."""
        key = self._key(study_id)
        row = next((row for row in self._registry.series(study_id) if row.series_id == series_id), None)
        stored = self._registry.object(row.thumb_id) if row and row.thumb_id else None
        if stored is None or key is None:
            raise _not_there()
        with sealing.opened(self._objects, stored, key) as reader:
            return reader.read_all(PICTURE_LIMIT)

    def timeline(self, study_id: str) -> list[Happening]:
        """What was done with a study and its shares, latest first."""
        entries = {row.seq: row for row in self._registry.audit(study_id=study_id)}
        for share in self._registry.shares_of(study_id):
            entries |= {row.seq: row for row in self._registry.audit(share_id=share.share_id)}
        return [_happening(row) for row in sorted(entries.values(), key=lambda row: (-row.at, -row.seq))]

    def quarantine(self) -> list[SetAside]:
        """The files set aside, latest first."""
        rows = self._registry.quarantine()
        keys = self._keyholder.study_keys([row.study_id for row in rows]) if rows else {}
        return [
            SetAside(row.object_id, row.reason, row.received_at, str(facts.quarantine(row, key).get("source_ae", "")), row.size)
            for row in rows
            if (key := keys.get(row.study_id)) is not None
        ]

    def overview(self) -> Overview:
        """Never raises for a keyholder that does not answer: that is what it tells."""
        try:
            keys = self._keyholder.status()
        except Problem:
            keys = {}
        waiting, failing = self._registry.outbox_backlog()
        return Overview(
            keys.get("provider_state") == "ready", bool(keys.get("backup_due")), waiting, failing, len(self._registry.quarantine())
        )

    def _key(self, study_id: str) -> bytes | None:
        return self._keyholder.study_keys([study_id]).get(study_id)


def _series(row: SeriesRow, key: bytes, kinds: list[Kind]) -> SeriesDetails:
    technical = bool(kinds) and all(kind is Kind.TECHNICAL for kind in kinds)
    return SeriesDetails(row.series_id, facts.series(row, key), len(kinds), row.thumb_id is not None, row.picture_note, technical)


def _order(view: SeriesDetails) -> tuple[bool, bool, int, str]:
    return view.technical, view.facts.number is None, view.facts.number or 0, view.series_id


def _happening(row: AuditRow) -> Happening:
    return Happening(row.at, row.actor, Action(row.action), row.share_id, json.loads(row.detail) if row.detail else {})


def _not_there() -> Problem:
    return Problem(Code.NOT_FOUND, "This study does not exist any more. Reload the list.")
