"""Who may open a share, when: Alice's letter, from the first day to the last."""

from dataclasses import replace

import pytest

from appliance.domain.retention import Terms, share_is_due, study_is_due
from appliance.domain.share import DAY, Audience, Grant, Proof, Refused, Share, ShareRecord, ShareState, open_share
from appliance.domain.study import StudyState

NOW = 1_800_000_000

ALICE = ShareRecord(
    share_id="a" * 32,
    audience=Audience.PATIENT,
    language="de",
    studies=("1" * 32,),
    created_at=NOW,
    not_before=NOW,
    expires_at=NOW + 90 * DAY,
    may_download=True,
    may_read_reports=True,
    reports_from=NOW + DAY,
)
PROOF = Proof(ALICE.share_id, ALICE.digest())


def test_a_record_is_read_back_as_it_was_written() -> None:
    assert ShareRecord.parse(ALICE.canonical()) == ALICE
    assert ShareRecord.parse(ALICE.canonical()).digest() == ALICE.digest()


@pytest.mark.parametrize(
    ("share", "at", "state"),
    [
        (Share(ALICE), NOW, ShareState.OPEN),
        (Share(ALICE), NOW + 90 * DAY - 1, ShareState.OPEN),
        (Share(ALICE), NOW + 90 * DAY, ShareState.EXPIRED),
        (Share(ALICE), NOW - 1, ShareState.NOT_YET),
        (Share(ALICE, locked_at=NOW), NOW, ShareState.LOCKED),
        (Share(ALICE, locked_at=NOW), NOW + 90 * DAY, ShareState.EXPIRED),
        (Share(ALICE, revoked_at=NOW), NOW, ShareState.REVOKED),
        (Share(ALICE, revoked_at=NOW), NOW + 90 * DAY, ShareState.REVOKED),
        (Share(ALICE, revoked_at=NOW, closed_at=NOW), NOW, ShareState.GONE),
    ],
)
def test_states(share: Share, at: int, state: ShareState) -> None:
    assert share.state(at) is state
    answer = open_share(share, PROOF, at)
    assert isinstance(answer, Grant) if state is ShareState.OPEN else answer == Refused(state)


def test_bobs_proof_does_not_open_alices_share() -> None:
    assert open_share(Share(ALICE), Proof("b" * 32, ALICE.digest()), NOW) == Refused(ShareState.GONE)


@pytest.mark.parametrize(
    "edited",
    [
        replace(ALICE, expires_at=ALICE.expires_at + DAY),
        replace(ALICE, studies=("1" * 32, "2" * 32)),
        replace(ALICE, may_download=False),
        replace(ALICE, reports_from=NOW),
        replace(ALICE, not_before=0),
    ],
)
def test_an_edited_row_opens_nothing(edited: ShareRecord) -> None:
    assert open_share(Share(edited), PROOF, NOW) == Refused(ShareState.GONE)


def test_nobody_else_makes_a_grant() -> None:
    with pytest.raises(TypeError):
        Grant(ALICE, NOW, object())


@pytest.mark.parametrize(
    ("record", "at", "released"),
    [
        (ALICE, NOW, False),
        (ALICE, NOW + DAY, True),
        (replace(ALICE, reports_from=None), NOW + DAY, False),
        (replace(ALICE, may_read_reports=False), NOW + DAY, False),
    ],
)
def test_reports_are_released_on_their_day(record: ShareRecord, at: int, released: bool) -> None:
    grant = open_share(Share(record), Proof(record.share_id, record.digest()), at)
    assert isinstance(grant, Grant)
    assert grant.reports_released is released


TERMS = Terms(grace=14 * DAY, unshared=30 * DAY)
END = NOW + 90 * DAY


@pytest.mark.parametrize(
    ("share", "at", "due"),
    [
        (Share(ALICE), END + 14 * DAY - 1, False),
        (Share(ALICE), END + 14 * DAY, True),
        (Share(ALICE, revoked_at=NOW), NOW + 14 * DAY - 1, False),
        (Share(ALICE, revoked_at=NOW), NOW + 14 * DAY, True),
        (Share(ALICE, locked_at=NOW), NOW + 15 * DAY, False),
        (Share(ALICE, closed_at=NOW), END + 99 * DAY, False),
    ],
)
def test_when_a_share_is_closed(share: Share, at: int, due: bool) -> None:
    assert share_is_due(share, at, TERMS) is due


@pytest.mark.parametrize(
    ("shares", "at", "due"),
    [
        ([], NOW + 30 * DAY - 1, False),
        ([], NOW + 30 * DAY, True),
        ([Share(ALICE)], NOW + 31 * DAY, False),
        ([Share(ALICE)], END + 13 * DAY, False),
        ([Share(ALICE, closed_at=END)], END, True),
        ([Share(ALICE, revoked_at=NOW)], NOW + DAY, False),
        ([Share(ALICE, revoked_at=NOW)], NOW + 30 * DAY, True),
        ([Share(ALICE, closed_at=NOW), Share(ALICE)], NOW + 31 * DAY, False),
    ],
)
def test_when_a_study_is_forgotten(shares: list[Share], at: int, due: bool) -> None:
    assert study_is_due(StudyState.COMPLETE, NOW, shares, at, TERMS) is due
    assert not study_is_due(StudyState.RECEIVING, NOW, shares, at, TERMS)
