"""The keys are lost and come back from paper and a backup, with real processes: nothing that was ended since opens again."""

from pathlib import Path

import pytest
from clients import storescu
from modality import dataset_bytes, small_study
from reader import Reader
from running import running, until

pytestmark = pytest.mark.e2e


def test_the_keys_are_lost_and_come_back(tmp_path: Path) -> None:
    files = small_study(tmp_path / "sent", 4, patient="Alice^Restore", patient_id="R1", seed=11)
    with running(tmp_path / "box") as box:
        storescu(box.dicom, files)
        (study,) = box.wait_complete(1)
        kept, ended = (box.cli("share", "create", study["study"]) for _ in range(2))
        words = [
            line.strip() for line in box.cli_raw("keys", "recovery-shares", "2-of-3", "--words").stdout.splitlines() if line[:2] == "  "
        ]
        backup = box.cli("keys", "backup", str(tmp_path / "ring"))["file"]
        box.cli("share", "revoke", ended["share"])
        late = box.cli("share", "create", study["study"])
        box.stop()

        for file in [path for path in box.keys.iterdir() if path.is_file()]:
            file.unlink()
        assert "back" in box.cli_raw("keys", "recover", stdin=f"{words[2]}\n{words[0]}\n").stdout
        assert box.cli("keys", "restore", backup)["shares"] == 2
        box.start()
        until(lambda: box.cli("keys", "status")["settled"], "the clock has told everything", every=0.5)

        sent = {dataset_bytes(file) for file in files}
        got = Reader(box.portal, kept["code"], kept["password"]).download(tmp_path / "got")
        assert {dataset_bytes(file) for file in got} == sent
        for share in (ended, late):
            assert Reader(box.portal).open(share["code"], share["password"]).status != 200
        done = box.cli_raw("check")
        assert done.returncode == 1
        assert f"share {late['share']} opens nothing: make a new letter" in done.stdout
        assert "1 problems" in done.stdout
