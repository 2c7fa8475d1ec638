"""An appliance that is reached by TLS only: as the operations manual sets it up, with real processes and somebody else's sender."""

import re
from pathlib import Path

import pytest
from clients import run
from modality import small_study
from running import Running, free_port, until

pytestmark = pytest.mark.e2e


def test_a_modality_sends_by_tls_and_by_nothing_else(tmp_path: Path) -> None:
    files = small_study(tmp_path / "sent", 3, patient="Alice^Tls", patient_id="T1", seed=12)
    box = Running(tmp_path / "box", dicom_tls_port=(port := free_port()))
    with box.on():
        box.cli("dicom", "certificate", "make", "127.0.0.1")
        assert box.cli_raw("dicom", "modality", "CT1", "--out", str(tmp_path / "ct1")).returncode == 0
    box.set(dicom_plain="no")
    with box.on():
        assert f"127.0.0.1:{port} (TLS)" in box.log.read_text()
        assert re.findall(r'"ports": \[([\d, ]+)\]', box.log.read_text()) == [f"{box.dicom}", f"{port}"], "one after the other"
        ct1 = tmp_path / "ct1"
        tls = ["+tls", ct1 / "key.pem", ct1 / "certificate.pem", "+cf", ct1 / "ca.pem"]
        run("storescu", *tls, "-aet", "CT1", "127.0.0.1", str(port), *files)
        until(lambda: [study["images"] for study in box.studies()] == [3], "all images are there")
        assert box.cli("status")["dicom_tls"]["days_left"] == 729
    (box.keys / "dicom/certificate.pem").unlink()
    refused = box.cli_raw("run", "receiver")
    assert refused.returncode == 5
    assert "bildbrief dicom certificate make" in refused.stderr
