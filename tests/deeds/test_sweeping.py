"""What a crash left between the bytes and their row is removed in the end; nothing else is, ever."""

import os
import time
from pathlib import Path

import pytest
from stack import Stack

from appliance.deeds.checking import Checking
from appliance.deeds.sweeping import AGE, Sweeping
from appliance.vault.blobs import Local
from appliance.vault.keys import new_id


def touched(path: Path, seconds_ago: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can set a file's change time: the clock by which it is judged is moved instead."""
    moment = path.lstat().st_ctime + seconds_ago
    monkeypatch.setattr(time, "time", lambda: moment)


@pytest.fixture
def sweeping(stack: Stack) -> Sweeping:
    return Sweeping(stack.registry, stack.objects, Local(stack.places.quarantine), stack.now)


def test_what_no_row_knows_goes_after_a_day(stack: Stack, sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    study_id = stack.put_study()
    key = stack.keyholder("desk").study_keys([study_id])[study_id]
    assert key is not None
    stack.manifests.write(study_id, key, "ingester")
    aside = stack.put_aside("The file ends before its content is complete.")
    Local(stack.places.quarantine).put(aside, [b"sealed"])
    kept = {*stack.objects.names(), *Local(stack.places.quarantine).names()}
    orphan = new_id()
    stack.objects.put(orphan, [b"sealed"])
    unfinished = stack.places.objects / orphan[:2] / f".{orphan}.0123.part"
    unfinished.write_bytes(b"half")

    touched(unfinished, AGE - 60, monkeypatch)
    assert sweeping.run_once() == 0
    stack.now.pass_by(AGE)
    touched(unfinished, AGE + 60, monkeypatch)
    assert sweeping.run_once() == 2
    assert not unfinished.exists()
    assert {*stack.objects.names(), *Local(stack.places.quarantine).names()} == kept


def test_it_looks_once_a_day(stack: Stack, sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweeping.run_once() == 0
    orphan = new_id()
    stack.objects.put(orphan, [b"sealed"])
    touched(stack.objects.path(orphan), 2 * AGE, monkeypatch)
    assert sweeping.run_once() == 0
    stack.now.pass_by(AGE)
    assert sweeping.run_once() == 1


def test_a_new_name_makes_a_file_young_again(stack: Stack, sweeping: Sweeping, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waited in the intake for days is linked into place before its row is written."""
    waited = stack.places.intake / "waited"
    waited.write_bytes(b"sealed")
    os.utime(waited, (0, 0))
    name = new_id()
    stack.objects.adopt([(waited, name)])
    touched(stack.objects.path(name), 60, monkeypatch)
    assert sweeping.run_once() == 0
    assert stack.objects.exists(name)


def test_a_check_takes_what_is_young_for_what_is_under_way(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = new_id()
    stack.objects.put(orphan, [b"sealed"])
    checking = Checking(stack.registry, stack.objects, Local(stack.places.quarantine), stack.keyholder("desk"))
    assert checking.run().problems == []
    touched(stack.objects.path(orphan), 3 * AGE, monkeypatch)
    assert checking.run().problems == [f"object {orphan} is stored, but no row knows it"]
