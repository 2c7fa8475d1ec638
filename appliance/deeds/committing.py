"""Storage commitment (PS3.4 Annex J): a modality asks whether its images are kept, and is told once that is known.

The order for each request, each step repeatable after a crash at any point:
open envelope → read in the cage → row and audit → unlink from `intake/new/` → judged: the answer into the row → reported until it is
taken → row gone. What was judged once is reported as it was judged, however often.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..dicom.cage import Cage, Failed
from ..disk.files import fsync_dir
from ..domain.audit import Action
from ..domain.commitment import Failure, Reference, Request, Verdict
from ..domain.errors import Code, Problem
from ..domain.node import Node
from ..domain.share import DAY
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import CommitmentRow, Registry
from ..vault import intake
from ..vault.columns import open_column, seal_column
from ..vault.keys import object_key, tag
from ..vault.sealed import Kind, Reader
from .proving import Proving

ACTOR: Final = "ingester"
LIMIT: Final = 9 << 20
"""Bytes of a request, more than the receiver takes."""
AGAIN: Final = 30
"""Seconds between looks at what is under way."""
PATIENCE: Final = (10, 30, 60, 300, 900, 3600)
"""Seconds until a report that was not taken is made again; the last one over and over."""
GIVE_UP: Final = DAY
"""Seconds after its judgement until a report is not made any more."""

Report = Callable[[Node, str, Verdict], str | None]
"""Tells a node, calling as an AE title. None if it took the report, else why not: `scu.commitment.report`."""


class Committing:
    """Runs in the ingester, in a thread of its own: who is told may be slow."""

    def __init__(
        self,
        intake_dir: Path,
        registry: Registry,
        keyholder: Keyholder,
        cage: Cage,
        proving: Proving,
        now: Callable[[], int],
        report: Report,
        nodes: Mapping[str, Node],
        ae_title: str,
    ) -> None:
        """`nodes`: who can be called, by AE title. `ae_title`: as what we call."""
        self._intake = intake_dir
        self._registry = registry
        self._keyholder = keyholder
        self._cage = cage
        self._proving = proving
        self._now = now
        self._report = report
        self._nodes = nodes
        self._ae_title = ae_title
        self._under_way: dict[str, int] = {}  # request → when to look again

    def run_once(self) -> int:
        """Take in what came, judge what is due, report what is judged. Returns how much there was."""
        arrived = list(intake.requests(self._intake))
        for request in arrived:
            self._take_in(request)
        now = self._now()
        due = [row for row in self._registry.commitments_due(now) if self._under_way.get(row.request_id, 0) <= now]
        for row in due:
            if row.judged_at is None:
                self._judge(row)
            else:
                self._tell(row, row.judged_at)
        return len(arrived) + len(due)

    # -- taking in -------------------------------------------------------------------------------------------------

    def _take_in(self, arrived: intake.Arrived) -> None:
        request = self._read(arrived)
        with self._registry.change(self._now(), ACTOR) as change:
            if request is None:
                change.note(Action.COMMITMENT_GIVEN_UP, object_id=arrived.object_id, reason="unreadable")
            else:
                row = self._row(arrived, request)
                # The same question once more, because the answer to it got lost on the way, or we were killed before the unlink.
                if not change.rows(CommitmentRow, "tag = ? OR request_id = ?", [row.tag, row.request_id]):
                    change.insert(row)
                change.note(Action.COMMITMENT_ASKED, object_id=row.request_id, ae=request.calling, count=len(request.references))
        arrived.path.unlink(missing_ok=True)
        fsync_dir(arrived.path.parent)

    def _read(self, arrived: intake.Arrived) -> Request | None:
        """None for what nobody can understand: it cannot even be answered."""
        try:
            association = self._keyholder.open_envelope(arrived.key_id, arrived.envelope)
            key = object_key(association, bytes.fromhex(arrived.object_id))
            with intake.opened(arrived) as source:
                file = Reader(source, object_id=bytes.fromhex(arrived.object_id), key=key, kind=Kind.DICOM).read_all(LIMIT)
        except Problem as problem:
            if problem.code is Code.UNAVAILABLE:
                raise
            return None
        answer = self._cage.commitment(file)
        return None if isinstance(answer, Failed) else answer

    def _row(self, arrived: intake.Arrived, request: Request) -> CommitmentRow:
        asked = "\n".join([request.calling, request.transaction, *(uid for reference in request.references for uid in reference)])
        same = tag(self._keyholder.uid_key(), b"commitment", asked.encode())
        return CommitmentRow(arrived.object_id, same, arrived.arrived_at, 0, self._sealed(arrived.object_id, request, None))

    # -- judging and telling ---------------------------------------------------------------------------------------

    def _judge(self, row: CommitmentRow) -> None:
        request, _ = self._opened(row)
        failures = self._proving.judge(request, row.asked_at)
        if failures is None:
            self._under_way[row.request_id] = self._now() + AGAIN
            return
        self._under_way.pop(row.request_id, None)
        failed = sum(failure is not None for failure in failures)
        with self._registry.change(self._now(), ACTOR) as change:
            change.update(CommitmentRow, row.request_id, judged_at=change.now, about=self._sealed(row.request_id, request, failures))
            change.note(Action.COMMITMENT_JUDGED, object_id=row.request_id, kept=len(failures) - failed, failed=failed)

    def _tell(self, row: CommitmentRow, judged_at: int) -> None:
        request, failures = self._opened(row)
        node = self._nodes.get(request.calling)
        verdict = Verdict(request, tuple(failures or ()))
        problem = self._report(node, self._ae_title, verdict) if node else "no address"
        with self._registry.change(self._now(), ACTOR) as change:
            if problem is None:
                change.delete(CommitmentRow, "request_id", [row.request_id])
                change.note(Action.COMMITMENT_REPORTED, object_id=row.request_id, ae=request.calling, kept=len(verdict.kept))
            elif change.now - judged_at >= GIVE_UP:
                change.delete(CommitmentRow, "request_id", [row.request_id])
                change.note(Action.COMMITMENT_GIVEN_UP, object_id=row.request_id, ae=request.calling, reason=problem)
            else:
                wait = PATIENCE[min(row.attempts, len(PATIENCE) - 1)]
                change.update(CommitmentRow, row.request_id, attempts=row.attempts + 1, due_at=change.now + wait)
                change.note(Action.COMMITMENT_DELAYED, object_id=row.request_id, ae=request.calling, reason=problem)
        log.info("commitment reported", kept=len(verdict.kept), failed=len(verdict.failed), taken=problem is None)

    # -- rows ------------------------------------------------------------------------------------------------------

    def _sealed(self, request_id: str, request: Request, failures: Sequence[Failure | None] | None) -> bytes:
        content = [request.calling, request.transaction, request.references, failures]
        return seal_column(self._keyholder.uid_key(), content, table=CommitmentRow.TABLE, row=request_id)

    def _opened(self, row: CommitmentRow) -> tuple[Request, list[Failure | None] | None]:
        calling, transaction, references, failures = open_column(
            self._keyholder.uid_key(), row.about, table=CommitmentRow.TABLE, row=row.request_id
        )
        request = Request(calling, transaction, tuple(Reference(*each) for each in references))
        return request, None if failures is None else [None if each is None else Failure(each) for each in failures]
