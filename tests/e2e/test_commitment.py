"""A modality asks the real processes whether its images are kept, and hears it although the ingester is killed in between."""

from pathlib import Path

import pytest
from asking import TITLE, ask, listening, wish
from modality import small_study
from nodes import Node
from pydicom import dcmread
from pynetdicom import AE
from running import Running, until

pytestmark = pytest.mark.e2e


def store(port: int, files: list[Path]) -> None:
    entity = AE(TITLE)
    first = dcmread(files[0])
    entity.add_requested_context(first.SOPClassUID, first.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port)
    assert [association.send_c_store(file).Status for file in files] == [0] * len(files)
    association.release()


@pytest.mark.timeout(300)
def test_a_modality_is_told(tmp_path: Path) -> None:
    files = small_study(tmp_path / "sent", 5, patient="Alice^Kept", patient_id="C1", seed=11)
    uids = [str(dcmread(file).SOPInstanceUID) for file in files]
    with listening() as (node, ear):
        box = Running(tmp_path / "box", modalities=node, storage_commitment="yes", mirror_url=f"file://{tmp_path / 'mirror'}")
        (tmp_path / "mirror").mkdir()
        with box.on():
            store(box.dicom, files)
            box.wait_complete(1)
            until(lambda: box.cli("status")["mirror"]["waiting"] == 0, "all is mirrored")
            asked = wish(*uids)
            status = ask(Node("BILDBRIEF", "127.0.0.1", box.dicom), asked)
            assert status is not None
            assert status.Status == 0
            box.kill("ingester")
            assert ear.heard() == [], "no key was backed up yet"
            box.cli("keys", "backup", str(tmp_path / "ring"))
            told = ear.told(120)
            assert (told.event_type, told.transaction, told.kept, told.failed) == (1, asked.TransactionUID, uids, {})
            assert told.caller == "BILDBRIEF"
            until(lambda: not list((box.data / "intake/new").iterdir()), "the intake is empty")
