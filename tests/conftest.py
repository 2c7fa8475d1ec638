"""What several rooms' tests share. This file also puts `tests/` on the path, for `from stack import Stack`."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator["Stack"]:
    """Real rooms, with a keyholder that runs in threads of this process."""
    from stack import Stack  # here: a room under repair must not stop the tests of all others

    before = threading.active_count()
    made = Stack(tmp_path)
    yield made
    made.close()
    assert threading.active_count() <= before, "a thread of the keyholder outlived it"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: `PICTURES=docs/pictures scripts/test` makes those of the documents anew."""
    directory = Path(os.environ.get("PICTURES", tmp_path / "pictures")).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory
