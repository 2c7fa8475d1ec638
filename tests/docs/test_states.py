"""`docs/states.md`: whatever can happen to a share and to a study, in whatever state, is done, and the page shows where it leads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import pytest
from stack import Stack, dicom_file

from appliance.deeds.completing import Completing
from appliance.deeds.ingest import Ingest
from appliance.deeds.journal import Journal
from appliance.deeds.retention import Retention
from appliance.dicom.cage import Cage
from appliance.domain.errors import Code, Problem
from appliance.domain.retention import Terms
from appliance.domain.share import DAY, ShareState
from appliance.domain.study import StudyState
from appliance.keyholder import budgets
from appliance.vault import intake
from appliance.vault.blobs import Local

PAGE: Final = (Path(__file__).parents[2] / "docs/states.md").read_text()
TERMS: Final = Terms()
QUIET: Final = 30
NONE: Final = "–"
"""Not there yet, or no more."""

Steps = dict[tuple[str, str, str], list[str]]
"""From a state, by whom, to another state: all that can happen to that effect."""


class Subject(Protocol):
    """Something that has states. `situation` tells apart what may go on differently, although the state is the same."""

    @property
    def state(self) -> str: ...

    @property
    def situation(self) -> object: ...


class Deed(NamedTuple):
    """What can happen, who does it, and how. Does nothing, or raises Problem, where it makes no sense."""

    what: str
    who: str
    do: Callable[[Any], object]


def explore(new: Callable[[], Subject], deeds: tuple[Deed, ...]) -> tuple[Steps, set[str]]:
    """All steps between states, and the states, found by doing everything in every situation that can be reached."""
    first = new()
    steps: Steps = {}
    states, known = {first.state}, {first.situation}
    ways: deque[tuple[Deed, ...]] = deque([()])
    while ways:
        way = ways.popleft()
        for deed in deeds:
            subject = new()
            for earlier in way:
                earlier.do(subject)
            before = subject.state
            try:
                deed.do(subject)
            except Problem:
                assert subject.state == before, "refused, and yet something happened"
                continue
            if subject.situation not in known:
                known.add(subject.situation)
                states.add(subject.state)
                ways.append((*way, deed))
            if subject.state != before:
                whats = steps.setdefault((before, deed.who, subject.state), [])
                whats += [deed.what] if deed.what not in whats else []
    return steps, states


def written(steps: Steps, order: Iterable[str]) -> str:
    """The table and the picture of docs/states.md, the states in this order."""
    places = [*order]
    ways = sorted(steps, key=lambda way: (places.index(way[0]), places.index(way[2])))
    rows = [(before, ", or ".join(steps[before, who, after]), who, after) for before, who, after in ways]
    table = ["| from | what happens | who | to |", "| --- | --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
    arrows = [f"    {_name(before)} --> {_name(after)}: {what}" for before, what, _, after in rows]
    return "\n".join([*table, "", "```mermaid", "stateDiagram-v2", *arrows, "```", ""])


def _name(state: str) -> str:
    return "[*]" if state == NONE else state.replace("-", "_")


def shown(name: str) -> str:
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def retention(stack: Stack) -> Retention:
    quarantine = Local(stack.places.quarantine)
    return Retention(stack.registry, stack.objects, quarantine, stack.keyholder("clock"), stack.now, TERMS, mirrored=False)


class AShare:
    """A share for Alice that begins in ten days."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        study_id = stack.put_study(series=(("CT", "Thorax", 1),), pictures=False)
        record, self.given = stack.share(study_id, not_before=stack.now() + 10 * DAY, days=30)
        self.id, self.first_day = record.share_id, record.not_before

    @property
    def state(self) -> str:
        return self.stack.sharing.view(self.id).state

    @property
    def situation(self) -> object:
        row = self.stack.registry.share(self.id)
        assert row is not None
        if self.state in (ShareState.REVOKED, ShareState.GONE):  # for good, whatever came before
            return self.state
        return self.state, row.locked_at is not None, self.stack.now() < self.first_day

    def wait_for(self, moment: int) -> None:
        self.stack.now.seconds = max(self.stack.now(), moment)

    def begin(self) -> None:
        self.wait_for(self.first_day)

    def end(self) -> None:
        if self.stack.now() >= self.first_day:
            self.wait_for(self.stack.sharing.view(self.id).record.expires_at)

    def grace(self) -> None:
        if self.state in (ShareState.EXPIRED, ShareState.REVOKED):
            self.stack.now.pass_by(TERMS.grace)
        retention(self.stack).run_once()

    def guess(self) -> None:
        for _ in range(budgets.LIFETIME):
            self.stack.keyholder("portal").open_share(self.given.code, "WRONGWRONG", self.id, None)
        Journal(self.stack.registry, self.stack.keyholder("clock"), self.stack.now).run_once()

    DEEDS: ClassVar = (
        Deed("its first day comes", "time", begin),
        Deed("its last day is over", "time", end),
        Deed(f"{budgets.LIFETIME} wrong passwords", "reader", guess),
        Deed("unlocked", "desk", lambda share: share.stack.sharing.unlock("desk", share.id)),
        Deed("a new password", "desk", lambda share: share.stack.sharing.new_password("desk", share.id)),
        Deed("extended", "desk", lambda share: share.stack.sharing.extend("desk", share.id, 30)),
        Deed("revoked", "desk", lambda share: share.stack.sharing.revoke("desk", share.id)),
        Deed("the grace time is over", "clock", grace),
    )


def test_shares(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budgets, "LIFETIME", 3)  # the page says how many it really are
    steps, states = explore(lambda: AShare(stack), AShare.DEEDS)
    assert states == set(ShareState)
    assert ShareState.GONE not in {before for before, _, _ in steps}
    assert {after for before, _, after in steps if before == ShareState.REVOKED} == {ShareState.GONE}
    page = written(steps, ShareState)
    assert shown("share") == page, f"docs/states.md should say:\n{page}"


class Ingester:
    """The deeds that a study goes through, over one stack."""

    def __init__(self, stack: Stack, cage: Cage) -> None:
        self.stack = stack
        keyholder = stack.keyholder("ingester")
        quarantine = Local(stack.places.quarantine)
        self.ingest = Ingest(stack.places.intake, stack.objects, quarantine, stack.registry, keyholder, cage, stack.now, 1)
        self.completing = Completing(stack.registry, stack.objects, keyholder, cage, stack.manifests, stack.now, QUIET)
        self.retention = retention(stack)
        self.numbers = count(1)

    def close(self) -> None:
        self.ingest.close()


@pytest.fixture
def ingester(stack: Stack) -> Iterator[Ingester]:
    with Cage(workers=1) as cage, closing(Ingester(stack, cage)) as ingester:
        yield ingester


class AStudy:
    """A study of somebody new."""

    def __init__(self, ingester: Ingester) -> None:
        self.ingester = ingester
        self.patient = f"Muster^{next(ingester.numbers)}"
        self.id = ""

    @property
    def state(self) -> str:
        study = self.ingester.stack.registry.study(self.id)
        return NONE if study is None else study.state

    @property
    def situation(self) -> object:
        return self.state, self.id != ""

    def send(self) -> None:
        """Once it is forgotten, what comes makes another study."""
        stack = self.ingester.stack
        self.ingester.ingest.publish_key()
        key = intake.read_public(stack.places.intake)
        assert key is not None
        incoming = intake.Association(stack.places.intake, key, stack.now).begin()
        incoming.writer.write(dicom_file(self.patient, 1, "CT", "Thorax", next(self.ingester.numbers), {}))
        incoming.publish()
        known = {study.study_id for study in stack.registry.studies()}
        self.ingester.ingest.run_once()
        came = {study.study_id for study in stack.registry.studies()} - known
        self.id = self.id or came.pop()

    def rest(self) -> None:
        self.ingester.stack.now.pass_by(QUIET)
        self.ingester.completing.run_once()

    def give_up(self) -> None:
        """The clock's first half. The second waits as long as the keyholder is away."""

        def away(_: str) -> None:
            raise Problem(Code.UNAVAILABLE, "The keyholder does not answer.")

        self.ingester.stack.now.pass_by(TERMS.unshared)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.ingester.stack.keyholder("clock"), "forget_study", away)
            if self.state == StudyState.COMPLETE:
                with pytest.raises(Problem):
                    self.ingester.retention.run_once()

    DEEDS: ClassVar = (
        Deed("an image comes", "ingester", send),
        Deed("nothing came for `quiet_seconds`", "ingester", rest),
        Deed("nobody may open it any more, and its time is over", "clock", give_up),
        Deed("key, objects and rows are destroyed", "clock", lambda study: study.ingester.retention.run_once()),
    )


def test_studies(ingester: Ingester) -> None:
    steps, states = explore(lambda: AStudy(ingester), AStudy.DEEDS)
    assert states - {NONE} == set(StudyState)
    assert {after for before, _, after in steps if before == StudyState.FORGOTTEN} == {NONE}
    page = written(steps, [NONE, *StudyState])
    assert shown("study") == page, f"docs/states.md should say:\n{page}"
