"""What must hold in a running container. scripts/test-container starts one and runs this; it is no part of scripts/test."""

import json
import os
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clients import storescu
from modality import small_study
from recipient import LetterError, Reader, verify
from running import until

from appliance.disk.places import USERS
from appliance.supervisor import PROCESSES

DOCKER, CONTAINER = os.environ["DOCKER"], os.environ["CONTAINER"]
DICOM, DESK, PORTAL, HTTPS = (int(os.environ[f"{name}_PORT"]) for name in ("DICOM", "DESK", "PORTAL", "HTTPS"))

# Bits of linux/capability.h: CHOWN 0, KILL 5, SETGID 6, SETUID 7.
SUPERVISOR_MAY = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7


def inside(*command: str, user: str = "0") -> "subprocess.CompletedProcess[str]":
    return subprocess.run([DOCKER, "exec", "--user", user, CONTAINER, *command], capture_output=True, text=True, timeout=120, check=False)


def bildbrief(*words: str) -> Any:
    done = inside("bildbrief", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def python(program: str, user: str = "0") -> str:
    done = inside("python3", "-c", program, user=user)
    assert done.returncode == 0, done.stderr
    return done.stdout


def processes() -> dict[str, dict[str, str]]:
    """/proc/PID/status of each process of ours, by its name; the supervisor as "serve"."""
    program = """
import json, pathlib
found = {}
for path in pathlib.Path("/proc").glob("[0-9]*"):
    words = (path / "cmdline").read_bytes().split(b"\\0")[:-1]
    if words[-1:] == [b"serve"] and b"/bildbrief" in words[1]:
        name = "serve"
    elif words[-2:-1] == [b"appliance.processes"]:
        name = words[-1].decode()
    else:
        continue
    found[name] = dict(line.split(":\\t", 1) for line in (path / "status").read_text().splitlines() if ":\\t" in line)
print(json.dumps(found))
"""
    return dict(json.loads(python(program)))


def test_each_process_runs_as_its_user_without_any_power() -> None:
    found = processes()
    assert set(found) == {"serve", *PROCESSES}
    for name, user in USERS.items():
        status = found[name]
        assert set(status["Uid"].split()) == {str(user.uid)}, name
        assert set(status["Gid"].split()) == {str(user.group)}, name
        assert {int(group) for group in status["Groups"].split()} == set(user.groups), name
        assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == 0, name
        assert status["NoNewPrivs"] == "1", name
    supervisor = found["serve"]
    assert supervisor["Uid"].split()[0] == "0"
    assert int(supervisor["CapEff"], 16) == int(supervisor["CapBnd"], 16) == SUPERVISOR_MAY


def test_the_image_cannot_be_written_and_brings_no_tools() -> None:
    assert "Read-only file system" in inside("touch", "/opt/bildbrief/x").stderr
    assert inside("sh", "-c", "command -v pip gcc cc make node npm git curl wget").stdout == ""
    assert inside("python3", "-c", "import pip").returncode != 0


@pytest.mark.parametrize(
    ("user", "path", "goes"),
    [
        ("root", "/keys", False),
        ("root", "/data/records/registry", True),  # becomes the desk, as every command does
        ("keyholder", "/keys/master.key", True),
        ("desk", "/keys/master.key", False),
        ("portal", "/keys/master.key", False),
        ("receiver", "/data/records", False),
        ("receiver", "/data/records/registry/registry.sqlite3", False),
        ("keyholder", "/data/records", False),
        ("keyholder", "/data/intake", False),
        ("portal", "/data/intake", False),
        ("portal", "/data/records/registry/registry.sqlite3", True),
        ("portal", "/data/records/quarantine", False),
        ("ingester", "/data/intake/new", True),
        ("desk", "/data/intake", False),
    ],
)
def test_who_may_enter(user: str, path: str, goes: bool) -> None:
    if user == "root":
        prelude = "from appliance.disk.places import become; become('desk')\n"
    else:
        one = USERS[user]
        prelude = f"import os; os.setgroups({list(one.groups)}); os.setgid({one.group}); os.setuid({one.uid})\n"
    attempt = f"""
from pathlib import Path
path = Path({path!r})
try:
    list(path.iterdir()) if path.suffix == "" else path.open("rb").close()
    print("goes")
except PermissionError:
    print("refused")
"""
    assert python(prelude + attempt).strip() == ("goes" if goes else "refused")


def test_root_without_becoming_anybody_reads_no_key_and_no_record() -> None:
    for path in ("/keys", "/data/records", "/data/intake"):
        assert inside("ls", path).returncode != 0, path


def test_a_study_goes_the_whole_way_and_alice_opens_it(tmp_path: Path) -> None:
    files = small_study(tmp_path, 12, patient="Alice^Sample", patient_id="ALICE-1", seed=7)
    storescu(DICOM, files)

    def complete() -> list[dict[str, Any]]:
        return [study for study in bildbrief("study", "list") if study["state"] == "complete"]

    (study,) = until(complete, "the study is complete", 90, every=1)
    assert study["images"] == len(files)
    share = bildbrief("share", "create", study["study"])
    portal = f"http://127.0.0.1:{PORTAL}"
    with pytest.raises(LetterError):
        Reader(portal).open(share["code"], "WRONG-WRONG")
    reader = Reader(portal)
    reader.open(share["code"], share["password"])
    assert verify(reader.download(), files) > len(files)
    bildbrief("share", "revoke", share["share"])
    with pytest.raises(LetterError):
        reader.download()
    assert bildbrief("check")["problems"] == []


def https(request: str) -> str:
    """What the proxy answers, headers and all."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # "localhost" has a certificate of the proxy's own making
    with (
        socket.create_connection(("127.0.0.1", HTTPS), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as channel,
    ):
        channel.sendall(request.replace("\n", "\r\n").encode())
        answer = b""
        while piece := channel.recv(65_536):
            answer += piece
    return answer.decode(errors="replace")


def test_the_proxy_shows_the_portal_and_nothing_else() -> None:
    answer = https("GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n")
    assert answer.startswith("HTTP/1.1 200"), answer[:200]
    assert "strict-transport-security" in answer.lower()
    assert https("GET /studies HTTP/1.1\nHost: localhost\nConnection: close\n\n").startswith("HTTP/1.1 404")


def test_a_request_that_could_be_read_in_two_ways_is_refused() -> None:
    two_ways = "POST / HTTP/1.1\nHost: localhost\nConnection: close\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\nGET /x"
    status = int(https(two_ways).split()[1])
    assert 400 <= status < 600


def test_the_desk_answers_on_its_port() -> None:
    with socket.create_connection(("127.0.0.1", DESK), timeout=30) as channel:
        channel.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert channel.recv(64).split()[1] in (b"200", b"302", b"303")


def test_what_a_killed_process_leaves_is_taken_up_by_the_next() -> None:
    before = json.loads(inside("cat", "/run/bildbrief/health.json").stdout)["processes"]["portal"]["pid"]
    assert inside("sh", "-c", f"kill -9 {before}").returncode == 0

    def again() -> bool:
        found = json.loads(inside("cat", "/run/bildbrief/health.json").stdout)["processes"]["portal"]
        return bool(found["pid"] != before and found["state"] == "up")

    until(again, "the portal is up again", 30, every=0.5)


def test_it_stops_cleanly_and_starts_again_with_what_it_had() -> None:
    studies = bildbrief("study", "list")
    subprocess.run([DOCKER, "restart", "--time", "40", CONTAINER], check=True, capture_output=True, timeout=120)
    until(lambda: inside("bildbrief", "health").returncode == 0, "it is up again", 60, every=1)
    assert bildbrief("study", "list") == studies
    exited = subprocess.run([DOCKER, "logs", CONTAINER], capture_output=True, text=True, timeout=60, check=True)
    assert "had to be killed" not in exited.stdout + exited.stderr
