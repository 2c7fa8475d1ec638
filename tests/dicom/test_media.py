"""A file leaves without its preamble, wherever a range begins."""

from collections.abc import Iterator

from corpus import identifiers, part10
from hypothesis import given
from hypothesis import strategies as st

from appliance.dicom.media import _without_preamble

PROGRAM = part10(identifiers(), preamble=b"MZ" + b"\x90" * 126)


@given(st.integers(0, len(PROGRAM)), st.integers(0, len(PROGRAM)))
def test_no_range_holds_a_program(start: int, stop: int) -> None:
    def read(start: int, stop: int) -> Iterator[bytes]:
        yield PROGRAM[start:stop]

    start, stop = sorted((start, stop))
    assert b"".join(_without_preamble(read)(start, stop)) == (bytes(128) + PROGRAM[128:])[start:stop]
