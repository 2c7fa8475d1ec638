"""Sending on: the instances of a study, as they were received, go to another DICOM node, such as the practice's PACS."""

import ssl
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..domain.audit import Action
from ..domain.errors import Code, Problem
from ..domain.node import Node
from ..domain.study import InstanceFacts, StudyState
from ..keyholder.client import Keyholder
from ..log import log
from ..registry import InstanceRow, ObjectRow, Registry
from ..scu.storage import Instance, Outcome, send
from ..vault.blobs import Blobs
from . import facts, sealing


@dataclass(frozen=True, slots=True)
class Sent:
    """An instance, by the id of its object, and what became of it."""

    object_id: str
    outcome: Outcome


class Sending:
    """Reads objects and writes only to the audit log: that it begins, before the first byte leaves the house, and how it ended."""

    def __init__(self, registry: Registry, objects: Blobs, keyholder: Keyholder, now: Callable[[], int], ae_title: str) -> None:
        """`ae_title`: as what we call."""
        self._registry = registry
        self._objects = objects
        self._keyholder = keyholder
        self._now = now
        self._ae_title = ae_title

    def send(
        self, actor: str, study_id: str, node: Node, *, only: Collection[str] | None = None, tls: ssl.SSLContext | None = None
    ) -> list[Sent]:
        """Send the latest revision of each instance of a study, or `only` the objects with these ids. Whether to try again is the caller's.

        Problem NOT_FOUND when there is no such study, CONFLICT while images are still arriving.
        """
        key = self._key(study_id)
        rows = [row for row in self._registry.instances(study_id) if only is None or row.object_id in only]
        stored = {row.object_id: row for row in self._registry.objects(study_id)}
        instances = [self._instance(row, stored[row.object_id], key) for row in rows]
        with self._registry.change(self._now(), actor) as change:
            change.note(Action.SENDING_STARTED, study_id=study_id, ae=node.ae_title, count=len(rows))
        outcomes: list[Outcome] = []
        try:
            outcomes.extend(send(node, self._ae_title, instances, tls=tls))
        finally:
            arrived = sum(outcome.arrived for outcome in outcomes)
            with self._registry.change(self._now(), actor) as change:
                change.note(Action.SENDING_ENDED, study_id=study_id, ae=node.ae_title, count=len(rows), sent=arrived)
            log.info("study sent", study_id=study_id, **Counter(outcome.result.value for outcome in outcomes))
        return [Sent(row.object_id, outcome) for row, outcome in zip(rows, outcomes, strict=True)]

    def _key(self, study_id: str) -> bytes:
        study = self._registry.study(study_id)
        key = self._keyholder.study_keys([study_id])[study_id] if study and study.state is not StudyState.FORGOTTEN else None
        if study is None or key is None:
            raise Problem(Code.NOT_FOUND, "This study does not exist any more. Reload the list.")
        if study.state is not StudyState.COMPLETE:
            raise Problem(Code.CONFLICT, "Images of this study are still arriving. Please try again in a few minutes.")
        return key

    def _instance(self, row: InstanceRow, stored: ObjectRow, key: bytes) -> Instance:
        about: InstanceFacts = facts.instance(row, key)

        @contextmanager
        def dataset() -> Iterator[Iterator[bytes]]:
            with sealing.opened(self._objects, stored, key) as reader:
                yield reader.read(about.dataset_offset)

        return Instance(about.sop_class, about.sop_instance, about.transfer_syntax, dataset)
