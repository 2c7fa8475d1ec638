"""The desk's list: found by what people know, kept current, quick with many."""

from stack import Stack


def test_it(stack: Stack) -> None:
    study_id = stack.put_study("Müller^Änne^^Dr.")
    (entry,) = stack.worklist.search("mueller")
    assert entry.study_id == study_id
