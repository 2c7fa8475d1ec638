import threading
import time
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
    patience = time.monotonic() + 5  # a thread that has done its work is still counted for a moment
    while threading.active_count() > before and time.monotonic() < patience:
        time.sleep(0.01)
    assert threading.active_count() <= before, "a thread of the keyholder outlived it"
