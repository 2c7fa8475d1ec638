"""Delivery: what a granted reader may see of a share, streamed from sealed objects, never to disk."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from ..dicom import media
from ..dicom.zip import Plan
from ..domain.errors import Code, Problem
from ..domain.share import Audience, Grant
from ..domain.study import InstanceFacts, ReportFacts, SeriesFacts, StudyFacts, StudyState
from ..domain.study import Kind as Content
from ..language import date, translations
from ..registry import InstanceRow, ObjectRow, Registry, ReportRow, SeriesRow, StudyRow
from ..vault.blobs import Blobs
from . import facts, sealing

StudyKeys = Mapping[str, bytes]
"""Study id → study key: what the visit holds."""


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A series as a reader sees it. `note` says why there is no picture."""

    series_id: str
    facts: SeriesFacts
    images: int
    has_picture: bool
    note: str | None


@dataclass(frozen=True, slots=True)
class ReportView:
    """A report as a reader sees it."""

    report_id: str
    facts: ReportFacts
    added_at: int


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study as a reader sees it. `complete` False: images are still arriving. Sizes in plain bytes."""

    study_id: str
    facts: StudyFacts
    complete: bool
    series: list[SeriesView]
    reports: list[ReportView]
    images: int
    size: int


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes to hand out, in ranges: `read(start, stop)` yields the plain bytes of that half-open range."""

    object_id: str
    size: int
    read: Callable[[int, int], Iterator[bytes]]


class Delivery:
    """Reads only with a Grant, and only the studies of that grant."""

    def __init__(self, registry: Registry, objects: Blobs) -> None:
        self._registry = registry
        self._objects = objects

    def worklist(self, grant: Grant, keys: StudyKeys) -> list[StudyView]:
        """All studies of the share that are still there, newest first."""
        views = [self._view(grant, row, keys) for row in map(self._registry.study, grant.record.studies) if row and _is_there(row)]
        return sorted(views, key=lambda view: (view.facts.study_date, view.facts.study_time), reverse=True)

    def study(self, grant: Grant, keys: StudyKeys, study_id: str) -> StudyView:
        """One study. Problem NOT_FOUND when the share does not hold it."""
        return self._view(grant, self._study(grant, study_id), keys)

    def picture(self, grant: Grant, keys: StudyKeys, study_id: str, series_id: str, *, large: bool) -> Document:
        """A series' picture, WebP. Problem NOT_FOUND when there is none."""
        self._study(grant, study_id)
        for row in self._registry.series(study_id):
            object_id = row.picture_id if large else row.thumb_id
            if row.series_id == series_id and object_id and not _is_hidden(grant, self._contents(row, keys)):
                return self._document(self._object(object_id), keys)
        raise _not_there()

    def report(self, grant: Grant, keys: StudyKeys, report_id: str) -> tuple[ReportView, Document]:
        """A released report's PDF."""
        row = self._report(grant, report_id)
        return self._report_view(row, keys), self._document(self._object(row.object_id), keys)

    def report_page(self, grant: Grant, keys: StudyKeys, report_id: str, number: int) -> Document:
        """The picture of a page of a released report, WebP; pages count from 1."""
        self._report(grant, report_id)
        for page in self._registry.report_pages(report_id):
            if page.number == number:
                return self._document(self._object(page.object_id), keys)
        raise _not_there()

    def download(self, grant: Grant, keys: StudyKeys, practice: media.Practice, study_id: str | None = None) -> Plan:
        """The ZIP of the whole share or of one study: an IHE PDI tree, its length known before the first byte.

        Problem FORBIDDEN when the share does not allow it, CONFLICT while images are still arriving.
        """
        if not grant.record.may_download:
            raise Problem(Code.FORBIDDEN, "This letter allows looking, not downloading. Please ask the practice.")
        chosen = grant.record.studies if study_id is None else (study_id,)
        items: list[media.Item] = []
        reports: list[media.Report] = []
        for chosen_id in chosen:
            row = self._study(grant, chosen_id)
            if row.state is not StudyState.COMPLETE:
                raise Problem(Code.CONFLICT, "Images of this study are still arriving. Please try again in a few minutes.")
            self._collect(grant, row, keys, items, reports)
        language = grant.record.language
        words = media.Words(language, translations(language).gettext, partial(date, language))
        return Plan(media.tree(items, reports, practice, words, created_at=grant.record.created_at))

    def _collect(self, grant: Grant, study: StudyRow, keys: StudyKeys, items: list[media.Item], reports: list[media.Report]) -> None:
        key = keys[study.study_id]
        about = facts.study(study, key)
        series = {row.series_id: facts.series(row, key) for row in self._registry.series(study.study_id)}
        objects = {row.object_id: row for row in self._registry.objects(study.study_id)}
        for row in self._registry.instances(study.study_id):
            stored = objects[row.object_id]
            instance = facts.instance(row, key)
            items.append(media.Item(about, series[row.series_id], instance, stored.size, row.crc32, self._document(stored, keys).read))
        if not grant.reports_released:
            return
        for report in self._registry.reports(study.study_id):
            pdf, wrapped = objects[report.object_id], objects[report.instance_id]
            reports.append(
                media.Report(
                    about,
                    facts.report(report, key),
                    report.report_id,
                    pdf=media.File(pdf.size, report.crc32, self._document(pdf, keys).read),
                    instance=media.File(wrapped.size, report.instance_crc32, self._document(wrapped, keys).read),
                )
            )

    def _view(self, grant: Grant, row: StudyRow, keys: StudyKeys) -> StudyView:
        key = keys[row.study_id]
        instances = self._registry.instances(row.study_id)
        by_series: dict[str, list[InstanceFacts]] = {}
        for instance in instances:
            by_series.setdefault(instance.series_id, []).append(facts.instance(instance, key))
        series = [
            SeriesView(
                found.series_id,
                facts.series(found, key),
                sum(content.frames for content in contents),
                found.picture_id is not None,
                found.picture_note,
            )
            for found in self._registry.series(row.study_id)
            if (contents := by_series.get(found.series_id, [])) and not _is_hidden(grant, contents)
        ]
        series.sort(key=lambda view: (view.facts.number is None, view.facts.number or 0, view.series_id))
        return StudyView(
            row.study_id,
            facts.study(row, key),
            row.state is StudyState.COMPLETE,
            series,
            [self._report_view(report, keys) for report in self._registry.reports(row.study_id)] if grant.reports_released else [],
            sum(view.images for view in series),
            sum(found.size for found in self._registry.objects(row.study_id) if found.kind == sealing.DICOM),
        )

    def _report_view(self, row: ReportRow, keys: StudyKeys) -> ReportView:
        return ReportView(row.report_id, facts.report(row, keys[row.study_id]), row.added_at)

    def _contents(self, series: SeriesRow, keys: StudyKeys) -> list[InstanceFacts]:
        rows: list[InstanceRow] = [row for row in self._registry.instances(series.study_id) if row.series_id == series.series_id]
        return [facts.instance(row, keys[series.study_id]) for row in rows]

    def _study(self, grant: Grant, study_id: str) -> StudyRow:
        row = self._registry.study(study_id) if study_id in grant.record.studies else None
        if row is None or not _is_there(row):
            raise _not_there()
        return row

    def _report(self, grant: Grant, report_id: str) -> ReportRow:
        row = self._registry.report(report_id)
        if row is None or row.study_id not in grant.record.studies or not grant.reports_released:
            raise _not_there()
        return row

    def _object(self, object_id: str) -> ObjectRow:
        row = self._registry.object(object_id)
        if row is None:
            raise _not_there()
        return row

    def _document(self, row: ObjectRow, keys: StudyKeys) -> Document:
        """Opened only when read, so that a plan over a thousand objects costs no file handle."""

        def read(start: int, stop: int) -> Iterator[bytes]:
            with sealing.opened(self._objects, row, keys[row.study_id]) as reader:
                yield from reader.read(start, stop)

        return Document(row.object_id, row.size, read)


def _is_there(row: StudyRow) -> bool:
    return row.state is not StudyState.FORGOTTEN


def _is_hidden(grant: Grant, contents: list[InstanceFacts]) -> bool:
    """Technical objects (dose reports, presentation states…) are in the download, but not shown to patients."""
    return grant.record.audience is Audience.PATIENT and all(content.kind is Content.TECHNICAL for content in contents)


def _not_there() -> Problem:
    return Problem(Code.NOT_FOUND, "This is not part of your letter, or it is not there any more.")


__all__ = ["Delivery", "Document", "Plan", "ReportView", "SeriesView", "StudyView"]
