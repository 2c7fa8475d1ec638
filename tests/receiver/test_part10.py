"""What stands before a dataset, read by pydicom and by DCMTK."""

import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from appliance.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from appliance.receiver.part10 import head

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.mark.parametrize("sop_instance", ["1.2.3", "1.2.34", "1" * 64])
@pytest.mark.parametrize("title", ["A", "AB", "SIXTEEN CHARS 16"])
def test_pydicom_reads_it(sop_instance: str, title: str) -> None:
    read = dcmread(BytesIO(head(CT, sop_instance, EXPLICIT, calling=title, called="SHARE")))
    meta = read.file_meta
    assert bytes(128) == read.preamble
    assert len(read) == 0
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID) == (CT, sop_instance, EXPLICIT)
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME)
    assert (meta.SourceApplicationEntityTitle, meta.SendingApplicationEntityTitle) == (title, title)
    assert meta.ReceivingApplicationEntityTitle == "SHARE"
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
    assert UID(IMPLEMENTATION_CLASS_UID).is_valid


def test_dcmtk_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / "file.dcm"
    # One element, (0008,0016), because DCMTK takes a file without any for damaged.
    path.write_bytes(head(CT, "1.2.3", EXPLICIT, calling="ALICE", called="SHARE") + b"\x08\0\x16\0UI\x1a\0" + CT.encode() + b"\0")
    done = subprocess.run(["dcmdump", "+P", "0002,0018", path], capture_output=True, text=True, check=True)
    assert "[SHARE]" in done.stdout
    assert done.stderr == ""
