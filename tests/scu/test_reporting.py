"""Reporting to a modality: who takes the report, who does not, and what it says."""

from io import BytesIO

import pytest
from asking import CT, listening
from nodes import Node, archive, free_port
from pynetdicom.dsutils import decode

from appliance.domain.commitment import Failure, Reference, Request, Verdict
from appliance.scu.association import Patience
from appliance.scu.commitment import information, report
from appliance.scu.reasons import Reason

SOON = Patience(connect=5, negotiation=5, piece=5, answer=5)
REQUEST = Request("CT1", "1.2.9", (Reference(CT, "1.2.3"), Reference(CT, "1.2.4")))


def told(node: Node, *failures: Failure | None) -> Reason | None:
    return report(node, "BILDBRIEF", Verdict(REQUEST, failures), patience=SOON)


def test_kept_and_not_kept() -> None:
    with listening() as (node, ear):
        assert told(node, None, None) is None
        assert told(node, None, Failure.CLASS_CONFLICT) is None
        assert told(node, Failure.PROCESSING, Failure.RESOURCES) is None
        heard = [(each.event_type, each.kept, each.failed) for each in ear.heard()]
    assert heard == [
        (1, ["1.2.3", "1.2.4"], {}),
        (2, ["1.2.3"], {"1.2.4": 0x0119}),
        (2, [], {"1.2.3": 0x0110, "1.2.4": 0x0213}),
    ]


def test_sequences_that_would_be_empty_are_left_out() -> None:
    all_kept = decode(BytesIO(information(Verdict(REQUEST, (None, None)))), True, True)
    assert "FailedSOPSequence" not in all_kept
    none_kept = decode(BytesIO(information(Verdict(REQUEST, (Failure.PROCESSING, Failure.PROCESSING)))), True, True)
    assert "ReferencedSOPSequence" not in none_kept


def test_who_does_not_take_it() -> None:
    assert told(Node("CT1", "127.0.0.1", free_port()), None, None) is Reason.NO_CONNECTION
    with archive([(CT, ["1.2.840.10008.1.2"])]) as (node, _):
        assert told(node, None, None) is Reason.SOP_CLASS
    with listening(provides=False) as (node, ear):
        assert told(node, None, None) is Reason.ROLE
        assert ear.heard() == []


@pytest.mark.parametrize("status", [0x0110, 0x0211])
def test_who_refuses_it(status: int) -> None:
    with listening() as (node, ear):
        ear.statuses = [status]
        assert told(node, None, None) is Reason.STATUS
