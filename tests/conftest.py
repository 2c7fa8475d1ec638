"""What several rooms' tests share. This file also puts `tests/` on the path, for `from stack import Stack`."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hsm import SoftHsm
    from playwright.sync_api import Browser
    from stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator["Stack"]:
    """Real rooms, with a keyholder that runs in threads of this process."""
    from stack import Stack  # here: a room under repair must not stop the tests of all others

    before = set(threading.enumerate())
    made = Stack(tmp_path)
    yield made
    made.close()
    patience = time.monotonic() + 5  # a thread that has done its work is still counted for a moment
    while (left := _ours() - before) and time.monotonic() < patience:
        time.sleep(0.01)
    assert not left, "threads outlived the rooms they worked for"


def _ours() -> set[threading.Thread]:
    """The threads that run, but for the helpers of a browser's driver, which live as long as it."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("asyncio")}


@pytest.fixture
def soft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "SoftHsm":
    """An HSM in software, with a token of its own."""
    from hsm import SoftHsm

    made = SoftHsm(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(made.conf))
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """One browser for all tests of a file; each opens windows of its own."""
    from browsers import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: `PICTURES=docs/pictures scripts/test` makes those of the documents anew."""
    directory = Path(os.environ.get("PICTURES", tmp_path / "pictures")).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    return directory
