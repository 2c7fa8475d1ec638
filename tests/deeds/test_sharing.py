"""What the desk may not make of a share."""

import pytest
from stack import Stack

from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY


def test_no_share_ends_before_it_begins(stack: Stack) -> None:
    """Neither a new one, nor one whose last day is moved while its first has not come."""
    study_id, first_day = stack.put_study(pictures=False), stack.now() + 10 * DAY
    with pytest.raises(Problem) as refused:
        stack.share(study_id, not_before=first_day, days=10)
    assert refused.value.code is Code.INVALID
    record, _ = stack.share(study_id, not_before=first_day, days=11)
    with pytest.raises(Problem) as refused:
        stack.sharing.extend("alice's desk", record.share_id, 10)
    assert refused.value.code is Code.INVALID
    assert stack.sharing.view(record.share_id).record == record
