"""A modality that keeps books: what it sent, what was acknowledged, and that goes on where it was cut off."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.transport import AssociationSocket
from running import listens


def small_study(directory: Path, count: int, *, patient: str, patient_id: str, seed: int) -> list[Path]:
    """Many small CT instances of one study: noise, so that no two are alike."""
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    study, series = (generate_uid(entropy_srcs=[f"{seed}", what]) for what in ("study", "series"))
    files = []
    for number in range(1, count + 1):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=[f"{seed}", f"{number}"])
        dataset.StudyDate, dataset.StudyTime, dataset.Modality = "20260102", "101500", "CT"
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = patient, patient_id, "19480229", "F"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, study
        dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = "1", 1, number
        dataset.Rows = dataset.Columns = 64
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.PixelData = random.integers(0, 4096, (64, 64), dtype=np.uint16).tobytes()
        file = directory / f"{number:04}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def _close(self: AssociationSocket) -> None:
    """As the one it replaces, which leaves a socket open when its peer was gone first: there, shutting it down fails before the close."""
    if self.socket is not None:
        with suppress(OSError):
            self.socket.shutdown(2)
        self.socket.close()


AssociationSocket._shutdown_socket = _close  # type: ignore[method-assign]


class Modality:
    """Sends files until all are acknowledged, over as many associations as it takes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.acknowledged: list[Path] = []

    def send(self, files: Sequence[Path], *, at: Callable[[int], object] = int, seconds: float = 120) -> None:
        """`at` is told before each instance how many have been acknowledged. AssertionError when it takes too long."""
        deadline = time.monotonic() + seconds
        left = list(files)
        done = 0
        while left:
            assert time.monotonic() < deadline, f"{len(left)} of {len(files)} instances were never acknowledged"
            entity = AE("SCANNER")
            entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
            entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
            if not listens(self._port):
                time.sleep(0.1)
                continue
            association = entity.associate("127.0.0.1", self._port, ae_title="BILDBRIEF")
            while left and association.is_established:
                at(done)
                try:
                    status = association.send_c_store(left[0])
                except RuntimeError:  # the association ended since it was looked at
                    break
                if status and status.Status == 0x0000:
                    self.acknowledged.append(left.pop(0))
                    done += 1
            association.release() if association.is_established else association.abort()


def dataset_bytes(file: Path) -> bytes:
    """A Part 10 file's dataset as it lies there, without preamble and file meta."""
    content = file.read_bytes()
    dataset = dcmread(file, stop_before_pixels=True, specific_tags=[])
    assert dataset.file_meta.FileMetaInformationGroupLength
    # Preamble, prefix, and the group length element itself come before what it counts (PS3.10 7.1).
    return content[128 + 4 + 12 + dataset.file_meta.FileMetaInformationGroupLength :]
