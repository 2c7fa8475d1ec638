"""The portal over a stack of real rooms."""

from collections.abc import Iterator

import pytest
from rooms import House, Rooms
from stack import Stack

from appliance.dicom.cage import Cage


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    with Cage(workers=1) as made:
        yield made


@pytest.fixture
def house(stack: Stack, cage: Cage) -> House:
    return House(stack, cage)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory, cage: Cage) -> Iterator[Rooms]:
    stack = Stack(tmp_path_factory.mktemp("rooms"))
    yield Rooms(stack, cage)
    stack.close()
