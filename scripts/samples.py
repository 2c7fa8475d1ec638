#!/usr/bin/env python3
"""Sample studies of an invented patient: a CT of the chest and upper abdomen, an MR of the head, a chest X-ray, and a report as PDF.

    python scripts/samples.py DIRECTORY [--today 2026-11-24] [--seed 1]

The same seed and day give the same files. Everything says that it is a sample. The objects follow the CT Image, MR Image and
Digital X-Ray Image IODs (PS3.3 A.3, A.4, A.26), Explicit VR Little Endian.
"""

import argparse
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from phantoms import CT_FIELD, CT_LENGTH, HEAD_FIELD, HEAD_LENGTH, XRAY_WIDTH, chest_ct, chest_xray, head_mr
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from sample_report import report

INSTITUTION = "Musterpraxis (sample data)"
NOTE = "Sample data made by a program. Not a real person."


@dataclass(frozen=True)
class Patient:
    """An invented person; `birth_date` as YYYYMMDD."""

    name: str = "Muster^Erika"
    patient_id: str = "SAMPLE-0001"
    birth_date: str = "19480312"
    sex: str = "F"


@dataclass(frozen=True)
class Study:
    """What the instances of a study share. All unique identifiers follow from `seed`, the patient and what is counted."""

    patient: Patient
    seed: int
    day: dt.date
    modality: str
    description: str
    begins: dt.time

    def uid(self, *parts: object) -> str:
        return generate_uid(
            entropy_srcs=[f"bildbrief sample {self.seed}", self.patient.patient_id, str(self.day), self.modality, *map(str, parts)]
        )

    def instance(self, sop_class: str, series: int, number: int, title: str) -> Dataset:
        """An instance with all that does not depend on its kind, still without pixels."""
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.SOPClassUID = sop_class
        dataset.SOPInstanceUID = self.uid("instance", series, number)
        dataset.PatientName = self.patient.name
        dataset.PatientID = self.patient.patient_id
        dataset.PatientBirthDate = self.patient.birth_date
        dataset.PatientSex = self.patient.sex
        dataset.PatientComments = NOTE
        dataset.StudyInstanceUID = self.uid("study")
        dataset.StudyID = f"S{self.seed}"
        dataset.AccessionNumber = f"SAMPLE-{self.day:%y%m%d}{self.modality}"
        dataset.StudyDescription = self.description
        dataset.ReferringPhysicianName = "Beispiel^Bob^^Dr. med."
        dataset.Modality = self.modality
        dataset.SeriesInstanceUID = self.uid("series", series)
        dataset.SeriesNumber = series
        dataset.SeriesDescription = title
        dataset.InstanceNumber = number
        dataset.InstitutionName = INSTITUTION
        dataset.Manufacturer = "Bildbrief (sample data)"
        dataset.ManufacturerModelName = "Phantom"
        dataset.StationName = "SAMPLE"
        dataset.DeviceSerialNumber = "SAMPLE"
        dataset.SoftwareVersions = "1"
        dataset.ImageComments = NOTE
        begins = dt.datetime.combine(self.day, self.begins)
        shown = {"Study": begins, "Series": begins + dt.timedelta(minutes=2 * series)}
        shown |= dict.fromkeys(("Acquisition", "Content"), shown["Series"] + dt.timedelta(seconds=number * 0.4))
        for what, moment in shown.items():
            setattr(dataset, f"{what}Date", f"{moment:%Y%m%d}")
            setattr(dataset, f"{what}Time", f"{moment:%H%M%S.%f}")
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return dataset

    def place(
        self, dataset: Dataset, spacing: float, thickness: float, corner: tuple[float, float, float], *, coronal: bool = False
    ) -> None:
        """Frame of Reference and Image Plane; `corner` is the middle of the first pixel."""
        dataset.FrameOfReferenceUID = self.uid("frame of reference")
        dataset.PositionReferenceIndicator = None
        dataset.PatientPosition = "HFS"
        dataset.PixelSpacing = [round(spacing, 6)] * 2
        dataset.SliceThickness = round(thickness, 3)
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1] if coronal else [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [round(value, 4) for value in corner]


def ct(today: dt.date, *, seed: int = 1, patient: Patient | None = None, slices: int = 80, size: int = 512) -> Iterator[Dataset]:
    """A CT of today: one scout view, then the axial slices from the top. `slices` are spread over 200 mm, `size` pixels over 400 mm."""
    study = Study(patient or Patient(), seed, today, "CT", "CT Thorax und Oberbauch mit KM", dt.time(9, 30))
    spacing, step, table = CT_FIELD / size, CT_LENGTH / slices, -420.0
    corner = -CT_FIELD / 2 + spacing / 2
    volume = np.stack(
        [np.clip(np.rint(plane), -1024, 3071).astype(np.int16) for plane in chest_ct(np.random.default_rng(seed), slices, size)]
    )

    scout = study.instance(CTImageStorage, 1, 1, "Scout a.p.")
    _ct_image(scout, ["ORIGINAL", "PRIMARY", "LOCALIZER"], _scout(volume, round(CT_LENGTH / spacing)), windows=[(300, 1100, "SCOUT")])
    study.place(scout, spacing, CT_FIELD, (corner, 0.0, table + CT_LENGTH), coronal=True)
    yield scout

    for number, plane in enumerate(volume[::-1], start=1):
        axial = study.instance(CTImageStorage, 2, number, "Thorax Oberbauch venös 2.5")
        _ct_image(axial, ["ORIGINAL", "PRIMARY", "AXIAL"], plane, windows=[(50, 400, "WEICHTEIL"), (-600, 1500, "LUNGE")])
        study.place(axial, spacing, step, (corner, corner, table + (slices - number) * step))
        axial.SpacingBetweenSlices = step
        axial.ContrastBolusAgent = "Iod (Muster)"
        axial.ConvolutionKernel = "B40"
        axial.ExposureTime, axial.XRayTubeCurrent, axial.Exposure = 500, 210, 105
        axial.BodyPartExamined = "CHEST"
        yield axial


def _ct_image(dataset: Dataset, image_type: list[str], hounsfield: NDArray[np.int16], windows: list[tuple[int, int, str]]) -> None:
    dataset.ImageType = image_type
    dataset.KVP = 120
    dataset.AcquisitionNumber = dataset.SeriesNumber
    dataset.GantryDetectorTilt = 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    _window(dataset, windows)
    dataset.set_pixel_data((hounsfield + 1024).astype(np.uint16), "MONOCHROME2", 12, generate_instance_uid=False)


def _scout(volume: NDArray[np.int16], rows: int) -> NDArray[np.int16]:
    """The whole volume seen from the front, head up."""
    passed = np.log1p(np.clip(volume.astype(np.float32) + 1000, 0, None).mean(1) / 120)[::-1]
    at = np.linspace(0, len(passed) - 1, rows)
    low = np.minimum(at.astype(int), len(passed) - 2)
    part = (at - low)[:, None]
    return (-250 + 620 * (passed[low] * (1 - part) + passed[low + 1] * part)).astype(np.int16)


def mr(today: dt.date, *, seed: int = 1, patient: Patient | None = None, slices: int = 20, size: int = 256) -> Iterator[Dataset]:
    """An MR of twenty days ago: T1- and T2-weighted axial series of the same head."""
    study = Study(patient or Patient(), seed, today - dt.timedelta(days=20), "MR", "MRT Schädel nativ", dt.time(14, 5))
    spacing, step = HEAD_FIELD / size, HEAD_LENGTH / slices
    corner = -HEAD_FIELD / 2 + spacing / 2
    for weighting, (title, repetition, echo, train) in enumerate((("T1 SE axial", 550, 12, 1), ("T2 TSE axial", 4200, 98, 15))):
        for number, plane in enumerate(head_mr(np.random.default_rng(seed), slices, size, weighting), start=1):
            image = study.instance(MRImageStorage, weighting + 1, number, title)
            image.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
            image.ScanningSequence, image.SequenceVariant, image.ScanOptions, image.MRAcquisitionType = "SE", "SK", None, "2D"
            image.RepetitionTime, image.EchoTime, image.EchoTrainLength, image.FlipAngle = repetition, echo, train, 90
            image.MagneticFieldStrength, image.ImagingFrequency, image.ImagedNucleus = 1.5, 63.86, "1H"
            image.BodyPartExamined = "HEAD"
            _window(image, [(620, 1250, "STANDARD")])
            image.set_pixel_data(np.clip(plane * 1200, 0, 4095).astype(np.uint16), "MONOCHROME2", 12, generate_instance_uid=False)
            study.place(image, spacing, step * 0.9, (corner, corner, (number - 1) * step))
            image.SpacingBetweenSlices = step
            yield image


def xray(today: dt.date, *, seed: int = 1, patient: Patient | None = None, rows: int = 2000, columns: int = 1700) -> Iterator[Dataset]:
    """A chest X-ray of yesterday, from the front; MONOCHROME1, as many plates deliver it."""
    study = Study(patient or Patient(), seed, today - dt.timedelta(days=1), "DX", "Röntgen Thorax p.a.", dt.time(11, 15))
    image = study.instance(DigitalXRayImageStorageForPresentation, 1, 1, "Thorax p.a.")
    bright = chest_xray(np.random.default_rng(seed), rows, columns)
    image.set_pixel_data((4095 - np.rint(bright * 4095)).astype(np.uint16), "MONOCHROME1", 12, generate_instance_uid=False)
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.PresentationIntentType = "FOR PRESENTATION"
    image.PresentationLUTShape = "INVERSE"
    image.PixelIntensityRelationship, image.PixelIntensityRelationshipSign = "LOG", 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "US"
    image.LossyImageCompression, image.BurnedInAnnotation = "00", "NO"
    image.ImagerPixelSpacing = [round(XRAY_WIDTH / columns, 6)] * 2
    image.DetectorType = "DIRECT"
    image.BodyPartExamined, image.ViewPosition, image.ImageLaterality = "CHEST", "PA", "U"
    image.PatientOrientation = ["L", "F"]
    image.AnatomicRegionSequence = [_code(codes.cid4031.Chest)]
    image.ViewCodeSequence = [_code(codes.cid4010.PosteroAnterior)]
    image.AcquisitionContextSequence = []
    image.KVP, image.Exposure = 125, 2
    _window(image, [(2048, 4096, "STANDARD")])
    yield image


def _window(dataset: Dataset, windows: list[tuple[int, int, str]]) -> None:
    centers, widths, names = zip(*windows, strict=True)
    dataset.WindowCenter, dataset.WindowWidth, dataset.WindowCenterWidthExplanation = list(centers), list(widths), list(names)


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def write(directory: Path, today: dt.date, seed: int = 1) -> list[Path]:
    """All sample studies below a directory, as `ct/0001.dcm`… and `befund.pdf`."""
    written = []
    for study in (ct, mr, xray):
        folder = directory / study.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for number, dataset in enumerate(study(today, seed=seed), start=1):
            written.append(folder / f"{number:04}.dcm")
            dataset.save_as(written[-1], enforce_file_format=True)
    written.append(directory / "befund.pdf")
    written[-1].write_bytes(report(today, Patient().name, Patient().birth_date, Patient().patient_id))
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes sample studies of an invented patient.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--today", type=dt.date.fromisoformat, default=dt.datetime.now().astimezone().date())
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    written = write(given.directory, given.today, given.seed)
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written) / 1e6:.0f} MB in {given.directory}")


if __name__ == "__main__":
    main()
