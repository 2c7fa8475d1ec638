"""The master key in an HSM: the whole way with real processes, another key while they serve, and a token that goes away and comes back."""

from pathlib import Path

import pytest
from clients import storescu
from hsm import PIN, SoftHsm
from modality import dataset_bytes, small_study
from reader import Reader
from running import Running, running, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def told(appliance: Running, *words: str, status: int = 0) -> str:
    """What a command says to whoever typed it, on either channel."""
    done = appliance.cli_raw("keys", *words)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_the_whole_way_with_the_master_key_in_an_hsm(tmp_path: Path, soft: SoftHsm) -> None:
    files = small_study(tmp_path / "sent", 4, patient="Alice^Token", patient_id="HSM-1", seed=21)
    later = small_study(tmp_path / "later", 3, patient="Alice^Drawer", patient_id="HSM-2", seed=22)
    with running(tmp_path / "box", key_provider="pkcs11", **soft.settings) as box:
        storescu(box.dicom, files)
        (study,) = box.wait_complete(1)
        share = box.cli("share", "create", study["study"])
        reader = Reader(box.portal, share["code"], share["password"])
        received = reader.download(tmp_path / "download")
        assert sorted(map(dataset_bytes, received)) == sorted(map(dataset_bytes, files))
        assert "pkcs11, ready, made " in told(box, "status")

        # Another master key, while a reader reads.
        assert "the old one is destroyed" in told(box, "rotate")
        assert reader.get("/worklist").status == 200
        assert Reader(box.portal, share["code"], share["password"]).get("/worklist").status == 200
        assert "WARNING: the keys were never backed up." in told(box, "status")
        told(box, "backup", str(tmp_path / "copy"))
        told(box, "verify-backup", str(tmp_path / "copy"))
        assert "WARNING" not in told(box, "status")

        # The token is away. Scanners notice nothing, all others are told; nothing takes its place.
        pids = {name: process["pid"] for name, process in box.health().items()}
        soft.take_away()
        storescu(box.dicom, later)
        refused = Reader(box.portal).open(share["code"], share["password"])
        assert refused.status == 503
        assert "Das hat nicht geklappt" in refused.text
        assert reader.get("/worklist").status == 200, "who is in reads on with the keys of the visit"
        assert "its token is not there" in told(box, "status")
        assert "its token is not there" in box.cli("status")["keyholder"]["provider_state"]
        assert "its token is not there" in box.cli_raw("share", "create", study["study"]).stderr
        assert "its token is not there" in told(box, "rotate", status=75)
        assert "its token is not there" in told(box, "verify-backup", str(tmp_path / "copy"), status=75)
        assert [path.name for path in box.keys.glob("*key*")] == [], "no key in a file"
        assert len(list((box.data / "intake/new").iterdir())) == len(later), "what has come in waits, sealed"

        # And back: everything goes on, and nobody has started anything anew.
        soft.bring_back()
        box.wait_complete(2)
        assert Reader(box.portal, share["code"], share["password"]).get("/worklist").status == 200
        until(lambda: "pkcs11, ready" in told(box, "status"), "the HSM is ready")
        assert "Every key in the backup opens." in told(box, "verify-backup", str(tmp_path / "copy"))
        assert {name: process["pid"] for name, process in box.health().items()} == pids
        assert box.cli("check")["problems"] == []
    assert PIN not in box.log.read_text()
