"""Manifests: an older one is noticed, and so is one that is none."""

from types import SimpleNamespace
from typing import Any

import pytest
from stack import Stack

from appliance.deeds.checking import Checking
from appliance.deeds.manifest import Manifests
from appliance.domain.audit import Action
from appliance.registry import StudyRow
from appliance.vault.blobs import Local


class Archive:
    """One study of Alice's, whose manifests are written and put back."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.study_id = stack.put_study("Muster^Alice")
        key = stack.keyholder("desk").study_keys([self.study_id])[self.study_id]
        assert key is not None
        self._key = key

    def written(self, keyholder: Any) -> tuple[int, str, bytes]:
        """Generation, name and bytes of the next manifest."""
        Manifests(self.stack.registry, self.stack.objects, keyholder, self.stack.now).write(self.study_id, self._key, "ingester")
        study = self.stack.registry.study(self.study_id)
        assert study is not None
        assert study.manifest_id is not None
        with self.stack.objects.open(study.manifest_id) as source:
            return study.generation, study.manifest_id, source.read_at(0, source.size)

    def offer(self, generation: int, name: str, content: bytes) -> list[str]:
        """Put a manifest in place of the one there; what a check says."""
        self.stack.objects.put(name, [content])
        with self.stack.registry.change(0, "somebody") as change:
            change.update(StudyRow, self.study_id, generation=generation, manifest_id=name)
            change.note(Action.MANIFEST_WRITTEN, study_id=self.study_id)
        return self.problems()

    def problems(self) -> list[str]:
        quarantine = Local(self.stack.places.quarantine)
        return Checking(self.stack.registry, self.stack.objects, quarantine, self.stack.keyholder("desk")).run().problems


@pytest.fixture
def archive(stack: Stack) -> Archive:
    return Archive(stack)


def test_an_older_manifest_is_a_rollback_whatever_the_row_says_of_it(archive: Archive) -> None:
    desk = archive.stack.keyholder("desk")
    older, newest = archive.written(desk), archive.written(desk)
    assert archive.problems() == []
    for generation in (older[0], newest[0], newest[0] + 1):
        (problem,) = archive.offer(generation, *older[1:])
        assert problem.startswith(f"manifest {older[1]} is not the newest of its study: A newer state of this study is known.")
    assert archive.offer(*newest) == []


def test_a_manifest_that_the_keyholder_never_heard_of_is_remembered(archive: Archive) -> None:
    """The appliance died between its row and its anchor."""
    first = archive.written(archive.stack.keyholder("desk"))
    archive.written(SimpleNamespace(anchor=lambda *_: None))
    assert archive.problems() == []
    assert len(archive.offer(*first)) == 1, "from then on the one before is older"


def test_what_is_no_manifest_of_the_study_is_told(archive: Archive) -> None:
    desk = archive.stack.keyholder("desk")
    older, (generation, name, content) = archive.written(desk), archive.written(desk)
    for other in (older[2], content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
        (problem,) = archive.offer(generation, name, other)
        assert problem.startswith(f"manifest {name} ")
        assert "is damaged" in problem
    archive.stack.objects.delete(name)
    (problem,) = archive.problems()
    assert problem.startswith(f"manifest {name} ")
