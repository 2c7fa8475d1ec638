"""Each process can do with the appliance's directories what the table of the house says, and nothing else."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.certificates import end_of, pem
from appliance.disk import places, sqlite
from appliance.disk.places import TABLE, USERS, Places
from appliance.keyholder.calls import REMOTE
from appliance.receiver import tls
from appliance.receiver.credentials import Credentials

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")

# What a container that drops all capabilities but these leaves root with: compose.yaml says the same.
CAPABILITIES = "-all,+chown,+setuid,+setgid,+kill"


@pytest.fixture
def there() -> Iterator[Places]:
    """Directories that others may reach: pytest's own temporary ones are private."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name)
        root.chmod(0o755)
        yield Places(root / "data", root / "keys", root / "run")
        for path in (root / "keys", root / "data", root / "run"):
            shutil.rmtree(path, ignore_errors=True)


def as_user(name: str, act: Callable[[], object]) -> str:
    """Do `act` in a child under the user of process `name`: "ok", or the kind of error it met."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "ok"
        try:
            user = USERS[name]
            os.setgroups(user.groups)
            os.setgid(user.group)
            os.setuid(user.uid)
            os.umask(user.umask)
            act()
        except BaseException as error:  # noqa: BLE001
            answer = type(error).__name__
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


def read(path: Path) -> Callable[[], object]:
    return path.read_bytes


def write(path: Path) -> Callable[[], object]:
    return lambda: path.write_bytes(b"sealed")


def names(path: Path) -> Callable[[], object]:
    return lambda: os.listdir(path)  # noqa: PTH208


def who(act: Callable[[], object]) -> set[str]:
    """The processes for which `act` goes through. Anything but a plain refusal is a fault."""
    answers = {name: as_user(name, act) for name in USERS}
    assert set(answers.values()) <= {"ok", "PermissionError"}, answers
    return {name for name, answer in answers.items() if answer == "ok"}


def test_without_users_the_directories_are_private(tmp_path: Path) -> None:
    here = Places(tmp_path / "data", tmp_path / "keys", tmp_path / "run")
    here.prepare(users=False)
    here.prepare(users=False)
    assert {here.path(place).stat().st_mode & 0o777 for place in TABLE} == {0o700}
    assert {here.path(place).stat().st_uid for place in TABLE} == {os.geteuid()}
    assert {here.intake, here.objects, here.registry, here.quarantine, here.sockets} <= {here.path(place) for place in TABLE}


@needs_root
def test_owners_and_modes_are_as_the_table_says_also_after_somebody_changed_them(there: Places) -> None:
    there.prepare(users=True)
    there.objects.chmod(0o777)
    os.chown(there.intake, 0, 0)
    there.prepare(users=True)
    for place in TABLE:
        found = there.path(place).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (place.owner, place.group, place.mode), place.name


@needs_root
def test_only_the_keyholder_reaches_the_keys(there: Places) -> None:
    there.prepare(users=True)
    master = there.keys / "master.key"
    assert who(write(master)) == {"keyholder"}
    assert who(names(there.keys)) == {"keyholder"}
    assert who(read(master)) == {"keyholder"}
    assert who(write(there.sockets / "x")) == {"keyholder"}


@needs_root
def test_only_the_receiver_reads_its_tls_key_and_whom_it_trusts(there: Places) -> None:
    there.prepare(users=True)
    credentials = Credentials(there.dicom, lambda: 1_790_000_000, USERS["receiver"].uid)
    credentials.make(["bildbrief.praxis"])
    (trusted,) = credentials.trust(pem(credentials.issue("CT1").certificate).encode())
    assert who(read(there.dicom / "server.pem")) == {"receiver"}
    assert who(read(there.dicom / "authority.key")) == set()
    assert who(names(there.dicom / "trusted")) == {"receiver"}
    assert who(write(there.dicom / "trusted/mine.pem")) == set()
    assert who(write(there.dicom / "server.pem")) == set()
    assert as_user("receiver", lambda: tls.context(there.dicom)) == "ok"
    assert "desk" in who(lambda: end_of(there.dicom))
    assert [each.fingerprint for each in credentials.trusted()] == [trusted.fingerprint]


@needs_root
def test_the_receiver_fills_the_intake_and_the_ingester_empties_it(there: Places) -> None:
    there.prepare(users=True)
    part, new, kept = there.intake / "tmp/a.part", there.intake / "new/a", there.objects / "ab"
    assert who(write(part)) == {"receiver"}
    assert as_user("receiver", lambda: part.rename(new)) == "ok"
    assert who(read(new)) == {"receiver", "ingester"}
    assert who(names(there.intake / "new")) == {"receiver", "ingester"}
    assert who(names(there.intake / "tmp")) == {"receiver"}
    assert as_user("ingester", kept.mkdir) == "ok"
    assert as_user("ingester", lambda: (kept / "a").hardlink_to(new)) == "ok"
    assert as_user("ingester", new.unlink) == "ok"
    assert who(read(kept / "a")) == {"ingester", "desk", "portal", "clock"}
    assert "portal" not in who(lambda: (kept / "a").open("ab"))
    public = there.intake / "public.json"
    assert who(write(public)) == {"ingester"}
    assert who(read(public)) == {"receiver", "ingester"}


@needs_root
def test_the_portal_reads_what_is_kept_and_changes_nothing(there: Places) -> None:
    there.prepare(users=True)
    keepers = {"ingester", "desk", "clock"}
    for folder in (there.objects, there.registry):
        for keeper in sorted(keepers):
            assert as_user(keeper, write(folder / f"by-{keeper}")) == "ok"
        assert who(write(folder / "by-desk")) == keepers, "each keeper goes on with what another began"
        assert who(read(folder / "by-clock")) == keepers | {"portal"}
        assert who(names(folder)) == keepers | {"portal"}
        assert as_user("portal", (folder / "by-desk").unlink) == "PermissionError"
        assert as_user("receiver", (folder / "by-desk").stat) == "PermissionError"
        assert as_user("clock", (folder / "by-desk").unlink) == "ok"
    assert who(write(there.quarantine / "x")) == keepers
    assert who(read(there.quarantine / "x")) == keepers
    assert who(names(there.data / "records")) == keepers | {"portal"}
    assert who(write(there.data / "records/x")) == set()
    assert who(write(there.data / "x")) == set()


@needs_root
def test_keepers_share_a_database_and_the_portal_reads_it(there: Places) -> None:
    there.prepare(users=True)
    path = there.registry / "registry.sqlite3"

    def write_row() -> None:
        with sqlite.write(sqlite.connect(path)) as db:
            db.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY)")
            db.execute("INSERT INTO rows DEFAULT VALUES")

    def count_rows() -> None:
        assert list(sqlite.connect(path, read_only=True).query("SELECT count(*) AS n FROM rows")) == [{"n": 3}]

    for keeper in ("ingester", "desk", "clock"):
        assert as_user(keeper, write_row) == "ok"
    assert as_user("portal", count_rows) == "ok"
    assert as_user("portal", write_row) != "ok"
    assert as_user("receiver", count_rows) != "ok"


@needs_root
@pytest.mark.parametrize("role", ["ingester", "desk", "portal", "clock"])
def test_a_socket_answers_only_its_role(there: Places, role: str) -> None:
    there.prepare(users=True)
    path = there.sockets / f"{role}.sock"
    with socket.socket(socket.AF_UNIX) as server:

        def listen() -> None:
            server.bind(str(path))
            places.admit(path, role)

        assert as_user("keyholder", listen) == "ok"
        server.listen()

        def call() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))

        assert who(call) == {"keyholder", role}


def test_without_users_a_socket_is_private(tmp_path: Path) -> None:
    path = tmp_path / "desk.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        places.admit(path, "desk")
    assert path.stat().st_mode & 0o777 == 0o600


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is missing")
def test_preparing_twice_needs_no_power_that_the_container_dropped(there: Places) -> None:
    program = f"""
import os, json, subprocess
from pathlib import Path
from appliance.disk import places, sqlite
here = places.Places(*(Path({str(there.data.parent)!r}, name) for name in ("data", "keys", "run")))
here.prepare(users=True)
here.prepare(users=True)
entered = []
for path in (here.keys, here.intake, here.data / "records"):
    try:
        os.listdir(path)
        entered.append(path.name)
    except PermissionError:
        pass
places.users_exist = lambda: True
subprocess.run(["/usr/bin/touch", here.registry / "made"], check=True, **places.spawn_as("desk"))
places.become("clock")
print(json.dumps([entered, os.getuid(), os.getgid(), sorted(os.getgroups()), (here.registry / "made").stat().st_uid]))
"""
    done = subprocess.run(
        ["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", "-all", sys.executable, "-c", program],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert json.loads(done.stdout) == [[], 806, places.KEEPERS, [806, places.RECORDS], 804]


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is missing")
def test_each_process_gets_its_own_credentials_and_the_container_leaves_the_power_to_hand_them_out(there: Places) -> None:
    there.prepare(users=True)
    program = """
import sys
from appliance.cli import main, remote
remote.users_exist = lambda: True
main(["keys", "accept", "-"])
"""
    bundle = json.dumps({role: f"-----BEGIN PRIVATE KEY-----\nCERTIFICATE of the {role}" for role in REMOTE})
    environment = os.environ | {
        f"BILDBRIEF_{name.upper()}": str(getattr(there, name.removesuffix("_dir").replace("key", "keys")))
        for name in ("data_dir", "key_dir", "run_dir")
    }
    for _ in range(2):  # enrolled, and enrolled anew
        subprocess.run(
            ["setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", "-all", sys.executable, "-c", program],
            check=True, capture_output=True, text=True, input=bundle, env=environment, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        there.prepare(users=True)
    for role in REMOTE:
        assert who(read(there.client(role))) == {role}
        assert who(write(there.client(role))) == set()
        assert f"the {role}" in there.client(role).read_text()
    assert who(names(there.keys / "clients")) == set()
    assert who(write(there.keys / "clients/desk2.pem")) == set()
