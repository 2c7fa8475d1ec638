"""A new master key: everything opens afterwards, and after a kill at any step; no study and no object is touched."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hsm import SoftHsm
from keyhouse import PREFIX, House, Keys

from appliance.domain.errors import Problem
from appliance.keyholder import rotation, studies
from appliance.keyholder.client import Keyholder, Opened
from appliance.keyholder.master import Files, sealed
from appliance.keyholder.ring import Ring
from appliance.keyholder.rotation import move

STEPS = ("announce", "add", "wrap", "gate", "commit", "spare", "forget")
PROVIDERS = ("file", "sealed file", "hsm")


class Killed(BaseException):
    """Stands for a kill -9: nothing that follows is done."""


@pytest.fixture(autouse=True)
def _cheap_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MEMORY_KIB", 64)


@pytest.fixture(params=PROVIDERS)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    if request.param == "hsm":
        hsm: SoftHsm = request.getfixturevalue("soft")
        return Keys(tmp_path, lambda _: hsm.provider())
    passphrase = "vier Wörter die nicht passen" if request.param == "sealed file" else None
    return Keys(tmp_path, lambda directory: Files(directory, passphrase))


def rotate(keys: Keys) -> None:
    with Ring.opened(keys.directory, keys.clock, keys.provider()) as ring:
        move(ring, ring.provider)


def test_everything_is_under_a_new_key(keys: Keys) -> None:
    rotate(keys)
    after = keys.everything_opens()
    assert after != keys.tag
    rotate(keys)
    assert keys.everything_opens() not in (after, keys.tag)


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_one_key_that_opens_everything(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, step: str, moment: str
) -> None:
    with monkeypatch.context() as broken:
        _kill(broken, keys, step, moment)
        with pytest.raises(Killed):
            rotate(keys)
    keys.everything_opens()
    rotate(keys)
    keys.everything_opens()


def _kill(monkeypatch: pytest.MonkeyPatch, keys: Keys, step: str, moment: str) -> None:
    with closing(keys.provider()) as provider:
        kind: Any = type(provider)
    places: dict[str, tuple[Any, str]] = {
        "announce": (Ring, "announce"),
        "add": (kind, "add"),
        "wrap": (rotation, "_wrap_anew"),
        "gate": (rotation, "remember"),
        "commit": (rotation, "witness"),
        "spare": (Ring, "forget_spares"),
        "forget": (kind, "forget"),
    }
    owner, name = places[step]
    real, calls = getattr(owner, name), [0]

    def killing(*values: Any, **named: Any) -> Any:
        calls[0] += 1
        if step == "spare" and calls[0] < 3:  # opening, and before the move, look for one too
            return real(*values, **named)
        if moment == "before":
            raise Killed
        real(*values, **named)
        raise Killed

    monkeypatch.setattr(owner, name, killing)


@pytest.mark.parametrize("call", range(6))
def test_a_kill_at_every_write_of_a_key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    """Renames and unlinks of the file provider, one by one."""
    keys = Keys(tmp_path, Files)
    with monkeypatch.context() as broken:
        done = iter(range(100))

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def step(*values: Any, **named: Any) -> Any:
                if next(done) == call:
                    raise Killed
                return real(*values, **named)

            return step

        broken.setattr(Path, "rename", counted(Path.rename))
        broken.setattr(Path, "unlink", counted(Path.unlink))
        with suppress(Killed):  # fewer steps than calls: then nothing was killed
            rotate(keys)
    keys.everything_opens()


@pytest.mark.parametrize(("provider", "stride"), [("file", 13), ("pkcs11", 43)])
def test_a_kill_before_any_line_of_it(tmp_path: Path, provider: str, stride: int) -> None:
    """Real ends of real processes, one line in so many of those that a replacement executes; all of them (stride 1) take minutes."""
    command = [sys.executable, str(Path(__file__).with_name("killing.py")), provider, str(tmp_path), str(stride)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.splitlines()[-1]) > 300, "as many lines as there are"


def test_from_a_file_into_an_hsm(tmp_path: Path, soft: SoftHsm) -> None:
    keys = Keys(tmp_path, Files)
    with closing(soft.provider()) as hsm, Ring.opened(keys.directory, keys.clock, keys.provider()) as ring:
        move(ring, hsm)
    assert sorted(path.name for path in keys.directory.iterdir() if path.is_file()) == ["ring.sqlite3"], "the file is destroyed"
    with pytest.raises(Problem, match="BILDBRIEF_KEY_PROVIDER"):
        keys.everything_opens()
    keys.everything_opens(soft.provider())


def test_a_key_left_in_the_hsm_is_not_forgotten_by_a_rotation_of_the_file(
    tmp_path: Path, soft: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration was killed; the file's key is replaced before somebody migrates again."""
    keys = Keys(tmp_path, Files)
    with monkeypatch.context() as broken, closing(soft.provider()) as hsm:
        _kill(broken, keys, "gate", "before")
        with pytest.raises(Killed), Ring.opened(keys.directory, keys.clock, keys.provider()) as ring:
            move(ring, hsm)
    with closing(soft.provider()) as hsm:
        assert len(hsm.tags()) == 1, "nobody can destroy it now"
    rotate(keys)
    with closing(soft.provider()) as hsm, Ring.opened(keys.directory, keys.clock, keys.provider()) as ring:
        move(ring, hsm)
    keys.everything_opens(soft.provider())


def test_a_call_under_way_meets_one_key_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read what lies under the old key; the rotation waits until it has opened it."""
    study = house.study()
    expected = house.ingester.study_keys([study])
    inside, go_on = Event(), Event()
    real = studies.row

    def slow(*values: Any) -> Any:
        found = real(*values)
        inside.set()
        assert go_on.wait(10)
        return found

    monkeypatch.setattr(studies, "row", slow)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(house.ingester.study_keys, [study])
        assert inside.wait(10)
        moving = pool.submit(move, house.ring, house.ring.provider)
        with pytest.raises(TimeoutError):
            moving.result(1)
        go_on.set()
        assert asking.result(10) == expected
        moving.result(10)
    assert house.ingester.study_keys([study]) == expected


def test_while_everything_runs(house: House) -> None:
    record, given = house.share()
    before = house.ring.master.tag
    operator = Keyholder(house.sockets / "operator.sock", timeout=10)
    operator.rotate_master()
    operator.close()
    assert house.ring.master.tag != before
    assert house.desk.share_code(record.share_id) == given.code
    assert isinstance(house.portal.open_share(given.code, given.password, PREFIX, None), Opened)
    house.restart()
    assert isinstance(house.portal.open_share(given.code, given.password, PREFIX, None), Opened)
