"""Files to try things on: those that come with pydicom and pydicom-data, and small ones made to order."""

import io
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import data_store
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

ROOTS = (Path(pydicom.__file__).parent / "data", Path(data_store.__file__).parent / "data")
_OTHER = {".py", ".pyc", ".json", ".txt", ".dump", ".icc", ".gz", ".md", ".csv"}


@cache
def paths() -> dict[str, Path]:
    """All DICOM files that come along, by their path below the package they come with."""
    found: dict[str, Path] = {}
    for root in ROOTS:
        found |= {str(path.relative_to(root)): path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix not in _OTHER}
    return found


def read(name: str) -> bytes:
    """One of them, by its file name."""
    return next(path for path in paths().values() if path.name == name).read_bytes()


def element(tag: int, vr: str, value: bytes) -> bytes:
    """An element in Explicit VR Little Endian, its value as given."""
    long = vr in ("OB", "OW", "SQ", "UN", "UT")
    return struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode()) + struct.pack("<xxI" if long else "<H", len(value)) + value


def part10(body: bytes, syntax: str = ExplicitVRLittleEndian, preamble: bytes = bytes(128)) -> bytes:
    """A file around any bytes."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    return preamble + b"DICM" + element(0x00020010, "UI", uid) + body


def identifiers() -> bytes:
    """What every file must say of itself, as the elements before group 0028."""
    return (
        element(0x00080016, "UI", SecondaryCaptureImageStorage.encode() + b"\0")
        + element(0x00080018, "UI", b"1.2.30")
        + element(0x0020000D, "UI", b"1.2.10")
        + element(0x0020000E, "UI", b"1.2.20")
    )


def image(pixels: bytes = bytes(100), **keywords: Any) -> Dataset:
    """A secondary capture of 10 × 10 grey bytes, changed as wished."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        SecondaryCaptureImageStorage,
        "1.2.30",
        "1.2.10",
        "1.2.20",
    )
    ds.Rows = ds.Columns = 10
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = pixels
    for keyword, value in keywords.items():
        setattr(ds, keyword, value)
    return ds


def written(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A dataset as a file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = syntax, ds.SOPClassUID, ds.SOPInstanceUID
    out = io.BytesIO()
    if "PixelData" in ds:
        ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
        ds["PixelData"].is_undefined_length = pydicom.uid.UID(syntax).is_encapsulated
    FileDataset(out, ds, preamble=bytes(128), file_meta=meta).save_as(out, enforce_file_format=True)
    return out.getvalue()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]
