"""The key directory: first start, a wrong or missing master key, kills at any moment, the process itself."""

import random
import resource
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from keyhouse import House
from structlog.testing import capture_logs

from appliance.disk.places import admit
from appliance.disk.sqlite import connect
from appliance.domain.errors import Code, Problem
from appliance.keyholder.client import Created, Opened
from appliance.keyholder.master.file import FileKey
from appliance.keyholder.ring import Ring
from appliance.keyholder.server import Server

PROCESS = """
import ctypes, signal, sys, threading
from pathlib import Path
from appliance import log
from appliance.keyholder.server import serve
log.set_up("keyholder")
ready, stop = threading.Event(), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
threading.Thread(target=lambda: ready.wait() and print("ready", ctypes.CDLL(None).prctl(3), flush=True), daemon=True).start()
serve(key_dir=Path(sys.argv[1]), sockets=Path(sys.argv[2]), now=lambda: 1_780_000_000, argon2_memory_kib=64, ready=ready, stop=stop)
"""


@contextmanager
def running(house: House) -> Iterator[subprocess.Popen[bytes]]:
    """The keyholder as a process of its own; killed at the end if it still runs."""
    arguments = [sys.executable, "-c", PROCESS, str(house.key_dir), str(house.sockets)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready 0\n", "it answers, and is not dumpable"
            yield process
        finally:
            process.kill()


def opening_fails(key_dir: Path) -> Problem:
    with pytest.raises(Problem) as refused, Ring.opened(key_dir, lambda: 0):
        pass
    return refused.value


def test_the_first_start_makes_the_master_key_and_says_so(tmp_path: Path) -> None:
    with capture_logs() as logs, Ring.opened(tmp_path, lambda: 0):
        pass
    key = tmp_path / "master.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    assert len(key.read_bytes()) == 32
    assert [entry["log_level"] for entry in logs if "BACK UP THE KEY DIRECTORY" in entry["event"]] == ["warning"]
    assert key.read_bytes().hex() not in str(logs)
    with capture_logs() as logs, Ring.opened(tmp_path, lambda: 0):
        pass
    assert logs == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["master.key", "ring.sqlite3"]


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o404, 0o500])
def test_a_master_key_that_others_may_touch_is_refused(house: House, mode: int) -> None:
    house.stop()
    (house.key_dir / "master.key").chmod(mode)
    assert opening_fails(house.key_dir).code is Code.FORBIDDEN
    (house.key_dir / "master.key").chmod(0o400)
    house.start()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_master_key_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    (tmp_path / "master.key").write_bytes(bytes(size))
    (tmp_path / "master.key").chmod(0o400)
    assert opening_fails(tmp_path).code is Code.DAMAGED
    assert not (tmp_path / "ring.sqlite3").exists()


def test_a_link_is_no_master_key(house: House) -> None:
    house.stop()
    (house.key_dir / "master.key").rename(house.key_dir / "elsewhere")
    (house.key_dir / "master.key").symlink_to("elsewhere")
    assert opening_fails(house.key_dir).code is Code.UNAVAILABLE


def test_a_missing_master_key_is_not_replaced(house: House) -> None:
    house.stop()
    (house.key_dir / "master.key").rename(house.key_dir.parent / "backup")
    assert opening_fails(house.key_dir).code is Code.UNAVAILABLE
    assert not (house.key_dir / "master.key").exists()
    (house.key_dir.parent / "backup").rename(house.key_dir / "master.key")
    house.start()


def test_a_ring_of_another_master_key_is_refused(house: House, tmp_path: Path) -> None:
    house.stop()
    other = tmp_path / "other"
    other.mkdir()
    FileKey.create(other / "master.key")
    shutil.copy(house.key_dir / "ring.sqlite3", other)
    assert opening_fails(other).code is Code.CONFLICT


def test_only_one_keyholder_at_a_time(house: House) -> None:
    assert opening_fails(house.key_dir).code is Code.CONFLICT


def test_a_run_directory_that_does_not_do(house: House, tmp_path: Path) -> None:
    for sockets in (tmp_path / "missing", tmp_path / ("long" * 30)):
        if sockets.name != "missing":
            sockets.mkdir()
        with pytest.raises(Problem) as refused:
            Server({}, sockets, admit)
        assert refused.value.code is Code.UNAVAILABLE


def test_a_directory_restored_elsewhere_opens_everything(house: House, tmp_path: Path) -> None:
    record, secrets = house.share()
    house.stop()
    shutil.copytree(house.key_dir, tmp_path / "restored")
    shutil.rmtree(house.key_dir)
    (tmp_path / "restored").rename(house.key_dir)
    house.start()
    answer = house.portal.open_share(secrets.code, secrets.password, "p", None)
    assert isinstance(answer, Opened)
    assert answer.share_id == record.share_id


def test_the_process_leaves_no_core_and_stops_cleanly(house: House) -> None:
    house.stop()
    with running(house) as process:
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0)
        assert house.desk.status()["provider"] == "file"
        process.terminate()
        assert process.wait(20) == 0
    assert list(house.sockets.iterdir()) == []


def test_kill_9_while_shares_are_made_leaves_each_whole_or_absent(house: House) -> None:
    """A share that was answered opens after any number of kills; one that was not is there as a whole or not at all."""
    study = house.study()
    house.stop()
    made: list[Created] = []
    for _ in range(5):
        with running(house) as process:
            killer = threading.Timer(random.uniform(0.02, 0.2), process.kill)
            killer.start()
            with suppress(Problem):
                while True:
                    made.append(house.desk.share_create(house.record(study).canonical()))
            killer.join()
        db = connect(house.key_dir / "ring.sqlite3")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        shares = "SELECT count(*) FROM shares WHERE record != ''"
        assert db.execute(shares).fetchone() == db.execute("SELECT count(*) FROM share_studies").fetchone()
        assert db.execute(shares).fetchone()[0] >= len(made)
        db.close()
    house.start()
    assert len(made) > 5
    for number, secrets in enumerate(made[:3] + made[-12:]):
        assert isinstance(house.portal.open_share(secrets.code, secrets.password, f"network {number}", None), Opened)


def test_a_client_finds_the_keyholder_again(house: House) -> None:
    house.stop()
    for _ in range(3):
        with running(house):
            assert house.portal.status()["studies"] == 0
    house.start()
    assert house.portal.status()["studies"] == 0
