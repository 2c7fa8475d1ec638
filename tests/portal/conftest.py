"""The portal over a stack of real rooms."""

from collections.abc import Iterator

import pytest
from rooms import House
from stack import Stack


@pytest.fixture
def house(stack: Stack) -> Iterator[House]:
    house = House(stack)
    yield house
    house.close()
