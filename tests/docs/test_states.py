"""`docs/states.md`: the states of a share as the code has them, each step tried, and the page written from it."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from appliance.domain.share import Audience, Share, ShareRecord, ShareState
from appliance.domain.study import StudyState

PAGE = (Path(__file__).parents[2] / "docs/states.md").read_text()

RECORD = ShareRecord("a" * 32, Audience.PATIENT, "de", ("b" * 32,), 0, 10, 100, True, True, 0)
MADE = Share(RECORD)
EXTENDED = Share(RECORD.until(500))
LOCKED, REVOKED, CLOSED = replace(MADE, locked_at=20), replace(MADE, revoked_at=20), replace(MADE, closed_at=150)


class Step(NamedTuple):
    """The share before and after, each at a moment; what happens in between, and who does it."""

    before: tuple[Share, int]
    what: str
    who: str
    after: tuple[Share, int]


STEPS: Final = (
    Step((MADE, 5), "its first day comes", "time", (MADE, 10)),
    Step((MADE, 20), "50 wrong passwords", "keyholder", (LOCKED, 20)),
    Step((LOCKED, 30), "unlocked, or a new password", "desk", (MADE, 30)),
    Step((MADE, 99), "its last day is over", "time", (MADE, 100)),
    Step((LOCKED, 99), "its last day is over", "time", (LOCKED, 100)),
    Step((MADE, 120), "extended within the grace time", "desk", (EXTENDED, 120)),
    Step((MADE, 20), "revoked", "desk", (REVOKED, 20)),
    Step((MADE, 5), "revoked", "desk", (REVOKED, 5)),
    Step((LOCKED, 30), "revoked", "desk", (replace(LOCKED, revoked_at=30), 30)),
    Step((MADE, 120), "revoked", "desk", (replace(MADE, revoked_at=120), 120)),
    Step((MADE, 149), "the grace time is over", "clock", (CLOSED, 150)),
    Step((REVOKED, 149), "the grace time is over", "clock", (replace(REVOKED, closed_at=150), 150)),
)

STUDY: Final = (
    ("–", "its first image is registered", "ingester", StudyState.RECEIVING),
    (StudyState.RECEIVING, "quiet for `quiet_seconds`", "ingester", StudyState.COMPLETE),
    (StudyState.COMPLETE, "another image comes", "ingester", StudyState.RECEIVING),
    (StudyState.COMPLETE, "nobody may open it any more, and its time is over", "clock", StudyState.FORGOTTEN),
    (StudyState.FORGOTTEN, "key, objects and rows are gone", "clock", "–"),
)


def state(share_and_time: tuple[Share, int]) -> ShareState:
    share, now = share_and_time
    return share.state(now)


def written(rows: "list[tuple[str, str, str, str]]") -> str:
    lines = [
        "| from | what happens | who | to |",
        "| --- | --- | --- | --- |",
        *(f"| {a} | {what} | {who} | {b} |" for a, what, who, b in rows),
    ]
    arrows = [f"    {_end(a)} --> {_end(b)}: {what}" for a, what, _, b in rows]
    return "\n".join([*lines, "", "```mermaid", "stateDiagram-v2", *arrows, "```"]) + "\n"


def _end(name: str) -> str:
    return "[*]" if name == "–" else name.replace("-", "_")


TABLES = {
    "share": written([(state(step.before).value, step.what, step.who, state(step.after).value) for step in STEPS]),
    "study": written([(str(a), what, who, str(b)) for a, what, who, b in STUDY]),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_shows_what_the_code_does(name: str) -> None:
    shown = PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert shown == TABLES[name], f"docs/states.md should say:\n{TABLES[name]}"


def test_every_state_is_there_and_every_step_changes_it() -> None:
    assert {state(end) for step in STEPS for end in (step.before, step.after)} == set(ShareState)
    assert {name for row in STUDY for name in (row[0], row[3])} - {"–"} == set(StudyState)
    assert all(state(step.before) is not state(step.after) for step in STEPS)


def test_nothing_leads_back_from_the_end() -> None:
    assert ShareState.GONE not in {state(step.before) for step in STEPS}
    for share in (CLOSED, replace(REVOKED, closed_at=150)):
        assert {share.state(now) for now in range(0, 1000, 50)} == {ShareState.GONE}
    # Revoked stays revoked whatever else is said of it.
    assert {state((share, now)) for share, now in ((REVOKED, 5), (REVOKED, 200), (replace(REVOKED, record=RECORD.until(900)), 50))} == {
        ShareState.REVOKED
    }
    assert all(one < two for one, two in pairwise([RECORD.created_at, RECORD.not_before, RECORD.expires_at]))
