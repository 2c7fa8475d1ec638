import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyhouse import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    before = threading.active_count()
    house = House(tmp_path)
    yield house
    house.close()
    assert threading.active_count() <= before, "a thread of the keyholder outlived it"
