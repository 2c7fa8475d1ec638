"""A file for every transfer syntax that is accepted: a real one where pydicom has one, else one whose pixel data means nothing.

All are in the form that DCMTK writes. It writes every dataset anew before it sends it, so only then is a file the measure of what it sent.
"""

import random
import subprocess
from pathlib import Path

from programs import which
from pydicom.data.data_manager import DATA_ROOT
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID
from receiving import Sample
from wire import CT

from appliance.receiver.syntaxes import TRANSFER_SYNTAXES

_REAL = {
    "1.2.840.10008.1.2": "MR_small_implicit.dcm",
    "1.2.840.10008.1.2.1": "CT_small.dcm",
    "1.2.840.10008.1.2.4.50": "SC_rgb_small_odd_jpeg.dcm",
    "1.2.840.10008.1.2.4.51": "JPEG-lossy.dcm",
    "1.2.840.10008.1.2.4.70": "SC_rgb_jpeg_gdcm.dcm",
    "1.2.840.10008.1.2.4.80": "MR_small_jpeg_ls_lossless.dcm",
    "1.2.840.10008.1.2.4.81": "SC_rgb_jls_lossy_line.dcm",
    "1.2.840.10008.1.2.4.90": "MR_small_jp2klossless.dcm",
    "1.2.840.10008.1.2.4.91": "JPEG2000.dcm",
    "1.2.840.10008.1.2.5": "MR_small_RLE.dcm",
}
_ALICE = {"PatientName": "Alice", "PatientID": "1", "StudyInstanceUID": "2.25.1000", "SeriesInstanceUID": "2.25.1001"}
_FRAME = 150_001  # bytes; two of them fill more than a PDU of ours


def make_specimens(directory: Path) -> list[Sample]:
    """In the order of `TRANSFER_SYNTAXES`. The SOP Instance UID is 2.25 and the place in it, from 1."""
    return [_make(directory, syntax, f"2.25.{number}") for number, syntax in enumerate(TRANSFER_SYNTAXES, 1)]


def _make(directory: Path, syntax: str, sop_instance: str) -> Sample:
    path = directory / f"{sop_instance}.dcm"
    if syntax in _REAL:
        path.write_bytes((Path(DATA_ROOT) / "test_files" / _REAL[syntax]).read_bytes())
        names = {**_ALICE, "SOPInstanceUID": sop_instance}
        inserted = [word for name, value in names.items() for word in ("-i", f"{name}={value}")]
        subprocess.run([which("dcmodify"), "--quiet", "--no-backup", *inserted, path], timeout=60, check=True)
    else:
        write_encapsulated(path, syntax, sop_instance)
    meta = read_file_meta_info(path)
    assert (meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID) == (sop_instance, syntax)
    return Sample(path, str(meta.MediaStorageSOPClassUID), sop_instance, syntax)


def write_encapsulated(path: Path, syntax: str, sop_instance: str, sop_class: str = CT) -> None:
    """A file of two frames of any bytes, whatever the transfer syntax."""
    anything = random.Random(syntax)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = UID(sop_class), UID(sop_instance), UID(syntax)
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    for name, value in _ALICE.items():
        setattr(dataset, name, value)
    dataset.NumberOfFrames = 2
    dataset.PixelData = encapsulate([anything.randbytes(_FRAME), anything.randbytes(_FRAME)])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dcmwrite(path, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True)
