"""What staff see of a study: its series, its story, what was set aside, how the appliance is."""

import pytest
from stack import Stack

from appliance.deeds.inspecting import Overview
from appliance.domain.audit import Action
from appliance.domain.errors import Code, Problem
from appliance.keyholder.master import Files


def test_a_study_is_opened_with_its_series(stack: Stack) -> None:
    study_id = stack.put_study("Muster^Alice", series=(("CT", "Thorax", 2), ("CT", "Lunge", 1)))
    found = stack.inspecting.study(study_id)
    assert found.facts.patient_name == "Muster^Alice"
    assert [(series.facts.description, series.images, series.has_thumbnail) for series in found.series] == [
        ("Thorax", 2, True),
        ("Lunge", 1, True),
    ]
    assert stack.inspecting.thumbnail(study_id, found.series[0].series_id)[8:12] == b"WEBP"


def test_what_is_gone_is_not_opened(stack: Stack) -> None:
    study_id = stack.put_study("Muster^Alice")
    series_id = stack.registry.series(study_id)[0].series_id
    stack.keyholder("clock").forget_study(study_id)
    for look in (lambda: stack.inspecting.study(study_id), lambda: stack.inspecting.thumbnail(study_id, series_id)):
        with pytest.raises(Problem) as caught:
            look()
        assert caught.value.code is Code.NOT_FOUND


def test_the_story_of_a_study_holds_its_shares_and_no_others(stack: Stack) -> None:
    alice, charlie = stack.put_study("Muster^Alice"), stack.put_study("Fremd^Charlie")
    record, _ = stack.share(alice)
    stack.share(charlie)
    stack.now.pass_by(60)
    stack.sharing.revoke("alma", record.share_id)
    story = stack.inspecting.timeline(alice)
    assert [entry.action for entry in story] == [
        Action.SHARE_REVOKED,
        Action.SHARE_CREATED,
        Action.STUDY_COMPLETED,
        Action.INSTANCES_STORED,
    ]
    assert {entry.share_id for entry in story} == {record.share_id, None}
    assert story[0].actor == "alma"


def test_files_set_aside(stack: Stack) -> None:
    first = stack.put_aside("one", "CT_1")
    stack.now.pass_by(60)
    second = stack.put_aside("two")
    forgotten = stack.put_aside("three")
    stack.keyholder("clock").forget_study(forgotten)
    assert [(file.object_id, file.reason, file.source_ae) for file in stack.inspecting.quarantine()] == [
        (second, "two", "SCANNER"),
        (first, "one", "CT_1"),
    ]


def test_the_overview_never_fails_over_what_it_reports(stack: Stack) -> None:
    stack.put_study("Muster^Alice")
    stack.put_aside("one")
    overview = stack.inspecting.overview()
    assert overview == Overview(keys_answer=True, backup_due=True, waiting=3, failing=0, set_aside=1)
    stack.stop_keyholder()
    assert stack.inspecting.overview() == Overview(keys_answer=False, backup_due=False, waiting=3, failing=0, set_aside=1)


def test_a_keyholder_without_its_hsm_does_not_answer_for_long(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "state", lambda _: "The HSM does not answer.")
    assert stack.inspecting.overview().keys_answer is False
