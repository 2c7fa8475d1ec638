"""Real rooms for the tests of deeds and doors: a keyholder in a thread, a registry, objects, and studies as the ingester stores them.

Everything is the appliance's own code; only the processes and the network between them are left out.
"""

import io
import zlib
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from appliance.deeds import facts, sealing
from appliance.deeds.inspecting import Inspecting
from appliance.deeds.manifest import Manifests
from appliance.deeds.sharing import Limits, Secrets, Sharing
from appliance.deeds.staff import Staff
from appliance.deeds.worklist import Worklist
from appliance.dicom.describe import describe
from appliance.dicom.render import render
from appliance.disk.places import Places, admit
from appliance.domain.audit import Action
from appliance.domain.share import Audience, ShareRecord
from appliance.domain.study import StudyState
from appliance.keyholder.client import Keyholder
from appliance.keyholder.ring import Ring
from appliance.keyholder.server import Server, handlers
from appliance.registry import InstanceRow, OutboxRow, QuarantineRow, Registry, SeriesRow, StudyRow
from appliance.registry.settings import Settings
from appliance.vault.blobs import Local
from appliance.vault.keys import new_id, tag

NOON = 1_795_518_000  # 2026-11-24 11:00 UTC
ARGON2_KIB = 64  # so that the tests are quick
PIXELS = 96


class Clock:
    """What the time is: as long as nobody moves it, the same."""

    def __init__(self) -> None:
        self.seconds = NOON

    def __call__(self) -> int:
        return self.seconds

    def pass_by(self, seconds: int) -> None:
        self.seconds += seconds


class Stack:
    """The rooms of one appliance below `root`. The keyholder can be stopped and started again."""

    def __init__(self, root: Path) -> None:
        self.now = Clock()
        self.places = Places(root / "data", root / "keys", root / "run")
        self.places.prepare(users=False)
        self._running = ExitStack()
        self._clients: dict[str, Keyholder] = {}
        self.start_keyholder()
        self.registry = Registry(self.places.registry / "registry.sqlite3")
        self.settings = Settings(self.places.registry / "settings.json")
        self.objects = Local(self.places.objects)

    def start_keyholder(self) -> None:
        ring = self._running.enter_context(Ring.opened(self.places.keys, self.now))
        self._running.callback(Server(handlers(ring, ARGON2_KIB), self.places.sockets, admit).close)

    def stop_keyholder(self) -> None:
        self._running.close()

    def keyholder(self, role: str) -> Keyholder:
        """As the process `role` sees it."""
        if role not in self._clients:
            self._clients[role] = Keyholder(self.places.sockets / f"{role}.sock", timeout=10)
        return self._clients[role]

    def close(self) -> None:
        self.stop_keyholder()
        for client in self._clients.values():
            client.close()
        self.registry.close()

    # -- deeds -----------------------------------------------------------------------------------------------------

    @cached_property
    def sharing(self) -> Sharing:
        return Sharing(self.registry, self.keyholder("desk"), self.now, Limits())

    @cached_property
    def worklist(self) -> Worklist:
        return Worklist(self.registry, self.keyholder("desk"), self.now)

    @cached_property
    def inspecting(self) -> Inspecting:
        return Inspecting(self.registry, self.objects, self.keyholder("desk"))

    @cached_property
    def staff(self) -> Staff:
        return Staff(self.registry, self.keyholder("desk"), self.now, memory_kib=ARGON2_KIB)

    @cached_property
    def manifests(self) -> Manifests:
        return Manifests(self.registry, self.objects, self.keyholder("desk"), self.now)

    def share(self, *study_ids: str, audience: Audience = Audience.PATIENT, **given: Any) -> tuple[ShareRecord, Secrets]:
        """A share as the desk makes it, for Alice unless it is for Bob."""
        return self.sharing.create("alice's desk", study_ids, audience=audience, language="de", **given)

    # -- what the ingester does ------------------------------------------------------------------------------------

    def put_study(
        self,
        patient_name: str = "Muster^Alice",
        *,
        series: tuple[tuple[str, str, int], ...] = (("CT", "Thorax 5 mm", 3),),
        complete: bool = True,
        pictures: bool = True,
        **elements: Any,
    ) -> str:
        """Store one study: `series` as modality, description and number of images; further `elements` by DICOM keyword. Its id."""
        files = [dicom_file(patient_name, number, modality, text, at, elements) for number, (modality, text, count) in enumerate(series, 1)
                 for at in range(1, count + 1)]  # fmt: skip
        return self.put_files(*files, complete=complete, pictures=pictures)

    def put_files(self, *files: bytes, complete: bool = True, pictures: bool = True) -> str:
        """Store DICOM files of one study: sealed objects, rows with sealed facts, a thumbnail and a picture for each series."""
        study_id, now = new_id(), self.now()
        key = self.keyholder("ingester").create_study_key(study_id)
        described = [describe(file) for file in files]
        series_ids: dict[str, str] = {}
        with self.registry.change(now, "ingester") as change:
            about = facts.seal(described[0].study, key, study_id)
            state = StudyState.COMPLETE if complete else StudyState.RECEIVING
            change.insert(StudyRow(study_id, tag(key, b"study"), state, now, now, about, now if complete else None))
            for file, found in zip(files, described, strict=True):
                uid = found.series.series_uid
                if uid not in series_ids:
                    series_ids[uid] = new_id()
                    drawn = []
                    if pictures and "PixelData" in (dataset := dcmread(io.BytesIO(file))):
                        made = render(file[: file.index(b"\xe0\x7f\x10\x00")], dataset.PixelData)
                        drawn = [
                            sealing.store(self.objects, study_id, key, sealing.PICTURE, content, now)
                            for content in (made.thumb, made.large)
                        ]
                    change.insert(*drawn)
                    ids = [row.object_id for row in drawn] or [None, None]
                    sealed = facts.seal(found.series, key, series_ids[uid])
                    note = None if drawn else "This file holds no picture."
                    change.insert(SeriesRow(series_ids[uid], study_id, tag(key, b"series", uid.encode()), sealed, ids[0], ids[1], note))
                stored = sealing.store(self.objects, study_id, key, sealing.DICOM, file, now)
                instance_tag = tag(key, b"instance", found.instance.sop_instance.encode())
                sealed = facts.seal(found.instance, key, stored.object_id)
                change.insert(
                    stored,
                    InstanceRow(
                        stored.object_id, study_id, series_ids[uid], instance_tag, tag(key, file), 1, zlib.crc32(file), sealed, now
                    ),
                    OutboxRow(0, "put", stored.object_id, study_id, now),
                )
            change.note(Action.INSTANCES_STORED, study_id=study_id, count=len(files))
            if complete:
                change.note(Action.STUDY_COMPLETED, study_id=study_id, instances=len(files))
        return study_id

    def put_aside(self, reason: str, source_ae: str = "SCANNER") -> str:
        """A file in quarantine. Its id."""
        object_id = new_id()
        key = self.keyholder("ingester").create_study_key(object_id)
        with self.registry.change(self.now(), "ingester") as change:
            sealed = facts.seal_quarantine({"source_ae": source_ae}, key, object_id)
            change.insert(QuarantineRow(object_id, object_id, reason, 4711, b"", self.now(), sealed))
            change.note(Action.INSTANCE_QUARANTINED, object_id=object_id, reason=reason)
        return object_id


def dicom_file(patient_name: str, series: int, modality: str, description: str, number: int, elements: dict[str, Any]) -> bytes:
    """One image as a scanner sends it. Alike arguments, alike UIDs within a study of the same patient."""
    study = f"{patient_name} {sorted(elements.items())}"
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.SourceApplicationEntityTitle = "SCANNER"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = MRImageStorage if modality == "MR" else CTImageStorage
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[study])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[study, f"{series}"])
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[study, f"{series}", f"{number}"])
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex = patient_name, "4711", "19480229", "F"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20261124", "101500", "1", "A-2026-0815"
    dataset.StudyDescription = "CT Thorax"
    dataset.Modality, dataset.SeriesDescription = modality, description
    dataset.SeriesNumber, dataset.InstanceNumber = series, number
    dataset.Rows = dataset.Columns = PIXELS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = phantom(number + 10 * series).tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def phantom(seed: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """A slice through something like a chest: a body, two lungs, a spine, noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : PIXELS * 1j, -1 : 1 : PIXELS * 1j]
    picture = np.full((PIXELS, PIXELS), 60.0)

    def ellipse(cx: float, cy: float, rx: float, ry: float, value: float) -> None:
        picture[((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1] = value

    ellipse(0, 0, 0.92, 0.7, 1500)
    ellipse(0, 0, 0.86, 0.64, 1250)
    wide = 0.3 + 0.02 * (seed % 5)
    ellipse(-0.42, -0.05, wide, 0.48, 350)
    ellipse(0.42, -0.05, wide, 0.48, 350)
    ellipse(0.08, -0.08, 0.2, 0.26, 1350)
    ellipse(0, 0.46, 0.12, 0.13, 2600)
    ellipse(0, 0.46, 0.05, 0.05, 1300)
    noisy: np.ndarray[Any, np.dtype[np.uint16]] = np.clip(picture + random.normal(0, 60, picture.shape), 0, 4095).astype(np.uint16)
    return noisy
