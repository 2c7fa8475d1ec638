"""Reports: the practice adds a PDF to a study. It is kept as it came, as an Encapsulated PDF for the download, and as pictures."""

import zlib
from collections.abc import Callable
from typing import Final

from ..dicom import media
from ..dicom.cage import Cage, Failed
from ..dicom.reasons import Reason
from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.study import ReportFacts, StudyState
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import ObjectRow, OutboxRow, Registry, ReportPageRow, ReportRow, StudyRow
from ..vault.blobs import Blobs
from ..vault.keys import new_id
from ..vault.sealed import Kind
from . import facts, sealing
from .manifest import Manifests

TITLE_LIMIT: Final = 64  # characters: Document Title is an ST, but DICOMDIR readers show a line


class Reports:
    """Bytes before rows: all objects are durable before the one transaction that names them."""

    def __init__(
        self,
        registry: Registry,
        objects: Blobs,
        keyholder: Keyholder,
        cage: Cage,
        manifests: Manifests,
        now: Callable[[], int],
        limit: int,
    ) -> None:
        """`limit`: the largest PDF taken, in bytes."""
        self._registry = registry
        self._objects = objects
        self._keyholder = keyholder
        self._cage = cage
        self._manifests = manifests
        self._now = now
        self.limit = limit

    def add(self, actor: str, study_id: str, title: str, pdf: bytes) -> str:
        """Add a report to a study; its id. Problem TOO_LARGE or INVALID says why a PDF is not taken, NOT_FOUND that the study is gone."""
        if len(pdf) > self.limit:
            raise too_large(self.limit)
        if not pdf.startswith(b"%PDF-"):
            raise Problem(Code.INVALID, "This file is not a PDF. Save or print the report as PDF and add that.")
        study = self._registry.study(study_id)
        key = self._keyholder.study_keys([study_id])[study_id]
        if study is None or key is None or study.state is StudyState.FORGOTTEN:
            raise _study_gone()
        pages = self._cage.pages(pdf)
        if isinstance(pages, Failed):
            raise _refusal(pages.reason)
        about = ReportFacts(title=_one_line(title), pages=len(pages))
        report_id, now = new_id(), self._now()
        instance = media.encapsulated_pdf(facts.study(study, key), about, report_id, pdf, now)

        def keep(kind: Kind, content: bytes) -> ObjectRow:
            return sealing.store(self._objects, study_id, key, kind, content, now)

        kept = [keep(Kind.REPORT, pdf), keep(Kind.DICOM, instance), *(keep(Kind.PICTURE, page) for page in pages)]
        try:
            self._register(actor, report_id, study_id, key, about, (zlib.crc32(pdf), zlib.crc32(instance)), kept)
        except BaseException:
            for row in kept:
                self._objects.delete(row.object_id)
            raise
        if study.state is StudyState.COMPLETE:
            self._manifests.write(study_id, key, actor)
        log.info("report added", study_id=study_id, pages=len(pages))
        return report_id

    def _register(
        self, actor: str, report_id: str, study_id: str, key: bytes, about: ReportFacts, crcs: tuple[int, int], kept: list[ObjectRow]
    ) -> None:
        """`kept`: the PDF, the instance, and one picture a page."""
        pdf, instance, *pages = kept
        with self._registry.change(self._now(), actor) as change:
            if not change.rows(StudyRow, "study_id = ? AND state <> 'forgotten'", [study_id]):
                raise _study_gone()
            change.insert(*kept, *(OutboxRow(0, "put", row.object_id, study_id, change.now) for row in kept))
            sealed = facts.seal(about, key, report_id)
            change.insert(ReportRow(report_id, study_id, pdf.object_id, instance.object_id, *crcs, sealed, change.now))
            change.insert(*(ReportPageRow(row.object_id, report_id, number) for number, row in enumerate(pages, start=1)))
            change.note(Action.REPORT_ADDED, study_id=study_id, object_id=report_id, pages=len(pages))

    def read(self, actor: str, report_id: str) -> tuple[ReportFacts, bytes]:
        """A report for staff to look at. Problem NOT_FOUND when there is none."""
        row = self._registry.report(report_id)
        stored = self._registry.object(row.object_id) if row else None
        key = self._keyholder.study_keys([row.study_id])[row.study_id] if row else None
        if row is None or stored is None or key is None:
            raise Problem(Code.NOT_FOUND, "This report does not exist any more. Reload the page.")
        with sealing.opened(self._objects, stored, key) as reader:
            pdf = reader.read_all(self.limit)
        with self._registry.change(self._now(), actor) as change:
            change.note(Action.REPORT_READ, study_id=row.study_id, object_id=report_id)
        return facts.report(row, key), pdf


def too_large(limit: int) -> Problem:
    return Problem(
        Code.TOO_LARGE, "This file is larger than %(limit)s MB. Save it with smaller pictures and add it again.", limit=limit >> 20
    )


def _refusal(reason: Reason) -> Problem:
    match reason:
        case Reason.LOCKED:
            return Problem(Code.INVALID, "This PDF is protected by a password. Save it without the password and add it again.")
        case Reason.TOO_LARGE:
            return Problem(Code.TOO_LARGE, "This PDF is too large to be read here. Save it with smaller pictures and add it again.")
        case Reason.TOO_LONG:
            return Problem(Code.INVALID, "This PDF took too long to read. Print it as PDF once more and add that.")
        case _:
            return Problem(Code.INVALID, "This PDF is damaged and cannot be read. Print it as PDF once more and add that.")


def _study_gone() -> Problem:
    return Problem(Code.NOT_FOUND, "This study does not exist any more. Reload the list.")


def _one_line(title: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in title).split())[:TITLE_LIMIT]
