"""Storage commitment requests, read in the cage: whatever is in them, the answer is a request of the right form or a refusal."""

from collections.abc import Iterator

import pytest
from asking import CT, wish
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from appliance.dicom import commitment
from appliance.dicom.cage import Cage, Failed
from appliance.domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, Reference, Request
from appliance.receiver.part10 import head

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
PLAIN = encode(wish("1.2.3.4.5.6"), True, True) or b""
ODD, TWO = PLAIN.replace(b"1.2.3.4.5.6", b"1.2.3 or so"), PLAIN.replace(b"1.2.3.4.5.6", b"1.2.3\\1.2.4")


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(workers=1, memory=1 << 30, seconds=30) as made:
        yield made


def file(information: Dataset | bytes, syntax: str = IMPLICIT) -> bytes:
    body = information if isinstance(information, bytes) else encode(information, syntax == IMPLICIT, True) or b""
    return head(PUSH_MODEL, PUSH_MODEL_INSTANCE, syntax, calling="CT1", called="BILDBRIEF") + body


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_request(cage: Cage, syntax: str) -> None:
    asked = wish("1.2.3", "1.2.4", transaction="1.2.9")
    found = cage.commitment(file(asked, syntax))
    assert found == Request("CT1", "1.2.9", (Reference(CT, "1.2.3"), Reference(CT, "1.2.4")))


def test_a_large_request(cage: Cage) -> None:
    found = cage.commitment(file(wish(*(f"1.2.3.{number}" for number in range(20_000)))))
    assert isinstance(found, Request)
    assert len(found.references) == 20_000


@pytest.mark.parametrize(
    "information",
    [b"", b"12345678", Dataset(), wish(), wish("1.2.3", sop_class=""), 3 * file(wish("1.2.3")), ODD, TWO],
)
def test_what_is_none(cage: Cage, information: Dataset | bytes) -> None:
    assert isinstance(cage.commitment(file(information)), Failed)


@pytest.mark.parametrize(
    "answer",
    [b"", b"CT1", b"CT1\n1.2", b"CT1\n1.2\n1.3", b"CT1\n1.2\n1.3\n", b"CT1\n\n1.3\n1.4", b"CT1\n1.2\n1.3\nx", b"\n1.2\n1.3\n1.4",
     b"CT\xff\n1.2\n1.3\n1.4", b"CT1\n1.2" + b"\n1.3\n1.4" * (commitment.REFERENCE_LIMIT + 1)],
)  # fmt: skip
def test_what_the_cage_may_not_say(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        commitment.check(answer)
    assert commitment.check(b"CT1\n1.2\n1.3\n1.4") == Request("CT1", "1.2", (Reference("1.3", "1.4"),))
