"""The keyholder on another machine (127.0.0.2 here): the whole way with real processes, and nothing that opens anything on the first."""

import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from canary import hits
from modality import Modality, dataset_bytes, small_study
from reader import Reader
from running import Running, free_port

from appliance.keyholder.calls import REMOTE
from appliance.keyholder.ring import Ring
from appliance.keyholder.studies import Studies
from appliance.supervisor import PROCESSES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PLAIN = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
"""Root with all its powers may look anywhere; without them it is a user like any other."""


def keys_of(key_dir: Path) -> dict[str, set[bytes]]:
    """All that the second machine must keep to itself, raw and in hexadecimal digits."""
    found: dict[str, set[bytes]] = {"master key": {(key_dir / "master.key").read_bytes()}}
    with Ring.opened(key_dir, lambda: 1_800_000_000) as ring:
        db = ring.here()
        studies = [row["study_id"] for row in db.query("SELECT study_id FROM studies")]
        found["study key"] = {key for key in Studies(ring).study_keys(studies).values() if key}
        found["wrapped study key"] = {row["wrapped"] for row in db.query("SELECT wrapped FROM studies")}
        found["wrapped key of a share"] = {row["wrapped"] for row in db.query("SELECT wrapped FROM share_studies")}
        found["secret of the ring"] = {ring.secret(name) for name in ("pepper", "index", "authority", "uid", "desk")}
    assert all(found.values())
    return {what: keys | {key.hex().encode() for key in keys} for what, keys in found.items()}


def test_the_whole_way_with_the_keys_on_another_machine(tmp_path: Path) -> None:
    files = small_study(tmp_path / "sent", 6, patient="Alice^Away", patient_id="AWAY-1", seed=11)
    later = small_study(tmp_path / "later", 3, patient="Bob^Later", patient_id="AWAY-2", seed=12)
    port = free_port()
    box = Running(tmp_path / "box", keyholder_address=f"127.0.0.2:{port}")
    safe = Running(tmp_path / "safe", only="keyholder", keyholder_listen=f"127.0.0.2:{port}")
    with safe.on():
        enrolled = safe.cli_raw("keys", "enrol", "box", "--out", str(tmp_path / "bundle"))
        assert enrolled.returncode == 0, enrolled.stderr
        assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o600
        (box.keys / "clients").mkdir(parents=True)
        assert box.cli("keys", "accept", str(tmp_path / "bundle"))["accepted"] == list(REMOTE)
        assert not (safe.directory / "data").exists(), "the keyholder's machine keeps nothing but keys"

        with box.on():
            assert set(box.health()) == set(PROCESSES) - {"keyholder"}
            assert box.cli_raw("health").returncode == 0
            assert box.cli("status")["keyholder"]["enrolled"].keys() == {"box"}
            elsewhere = box.cli_raw("keys", "status")
            assert (elsewhere.returncode, "another machine" in elsewhere.stderr) == (5, True)

            modality = Modality(box.dicom)
            modality.send(files)
            (study,) = box.wait_complete(1)
            share = box.cli("share", "create", study["study"])
            reader = Reader(box.portal, share["code"], share["password"])
            received = reader.download(tmp_path / "download")
            assert sorted(map(dataset_bytes, received)) == sorted(map(dataset_bytes, files))
            assert box.cli("check")["problems"] == []

            # The other machine is gone: scanners notice nothing, readers are told.
            safe.stop()
            modality.send(later)
            assert len(modality.acknowledged) == len(files) + len(later)
            refused = Reader(box.portal).open(share["code"], share["password"])
            assert refused.status == 503
            assert "Das hat nicht geklappt" in refused.text
            assert reader.get("/worklist").status == 200, "who is in reads on with the keys of the visit"
            ticket = reader.get("/download").headers["location"]
            assert reader.get(ticket).status == 503, "a download must be written down, and that needs the keyholder"
            assert Reader(box.portal).get("/").status == 200
            assert box.cli_raw("share", "create", study["study"]).returncode == 75

            found = hits([box.data, box.keys, box.directory / "run", box.log], keys_of(safe.keys))
            assert found == [], found

            # And back: everything goes on, and here nobody has started anything anew.
            pids = {name: process["pid"] for name, process in box.health().items()}
            safe.start()
            box.wait_complete(2)
            assert Reader(box.portal, share["code"], share["password"]).get("/worklist").status == 200
            assert {name: process["pid"] for name, process in box.health().items()} == pids

            # Withdrawn: nothing opens any more, and nothing that comes in is lost.
            assert safe.cli("keys", "withdraw", "box") == {"host": "box", "certificates": len(REMOTE)}
            assert Reader(box.portal).open(share["code"], share["password"]).status == 503
            modality.send(small_study(tmp_path / "last", 2, patient="Bob^Last", patient_id="AWAY-3", seed=13))
            assert box.cli_raw("status").returncode == 75
            (tmp_path / "bundle").unlink()
            assert safe.cli_raw("keys", "enrol", "box", "--out", str(tmp_path / "bundle")).returncode == 0
            box.cli("keys", "accept", str(tmp_path / "bundle"))
            assert len(box.wait_complete(3)) == 3
            assert box.cli("status")["quarantined"] == 0


def test_commands_refuse_in_words(tmp_path: Path) -> None:
    box = Running(tmp_path / "box")
    nothing = box.cli_raw("keys", "accept", "-", stdin='{"portal": "x"}')
    assert (nothing.returncode, "no bundle of a keyholder" in nothing.stderr) == (2, True)
    assert box.cli_raw("keys", "accept", str(tmp_path / "absent")).returncode == 2
    credentials = json.dumps(dict.fromkeys(REMOTE, "-----BEGIN PRIVATE KEY-----\nCERTIFICATE"))
    early = box.cli_raw("keys", "accept", "-", stdin=credentials)
    assert (early.returncode, "Start the appliance once" in early.stderr) == (5, True)
    (tmp_path / "there").write_text("mine")
    exists = box.cli_raw("keys", "enrol", "box", "--out", str(tmp_path / "there"))
    assert (exists.returncode, "does not exist" in exists.stderr) == (5, True)
    assert (tmp_path / "there").read_text() == "mine"
    down = box.cli_raw("keys", "enrol", "box", "--out", str(tmp_path / "new"))
    assert (down.returncode, (tmp_path / "new").exists()) == (75, False)


@pytest.mark.skipif(bool(PLAIN) and shutil.which("setpriv") is None, reason="setpriv (util-linux) is missing")
def test_nobody_of_the_same_user_looks_into_a_process(tmp_path: Path) -> None:
    """Neither by a core file nor by /proc: keyholder, portal, and the others, whose memory holds images and keys too."""
    box = Running(tmp_path / "box", prefix=PLAIN, keyholder_listen=f"127.0.0.1:{free_port()}")
    look = "import sys; open(f'/proc/{sys.argv[1]}/mem', 'rb').close()"

    def looks_into(pid: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*PLAIN, sys.executable, "-c", look, str(pid)], capture_output=True, text=True, check=False)

    with subprocess.Popen([*PLAIN, sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as ordinary:
        assert ordinary.stdout is not None
        ordinary.stdout.readline()
        assert looks_into(ordinary.pid).returncode == 0, "of an ordinary process it can be read"
        ordinary.communicate(b"\n")
    with box.on():
        for name, process in box.health().items():
            assert "PermissionError" in looks_into(process["pid"]).stderr, name
            assert resource.prlimit(process["pid"], resource.RLIMIT_CORE) == (0, 0), name
