"""What is sent: studies from the phantoms, always the same ones, with the noise that real detectors make.

Each is written to a directory, because DCMTK's sender wants files, and held in memory, because ours must not wait for a disk.
"""

import datetime as dt
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import samples
from numpy.typing import NDArray
from phantoms import chest_xray
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    JPEG2000Lossless,
    UltrasoundMultiFrameImageStorage,
)

from .pdus import Context
from .sending import Instance

_TODAY: Final = dt.date(2026, 11, 24)
_FRAME: Final = (768, 1024)  # rows, columns of an ultrasound frame, one byte each
_PREAMBLE: Final = 144  # bytes of a file before the rest of its group 0002, whose length stands in the last four
_IN_MEMORY: Final = 85  # frames of the large instance, 64 MiB; the others repeat them


class Kind(NamedTuple):
    """A kind of study. `full`: how many instances, or frames of its only one."""

    what: str
    full: int
    make: Callable[[int], Iterable[Dataset]]


def ct(count: int) -> Iterator[Dataset]:
    return samples.ct(_TODAY, slices=count - 1)  # and the scout


def mr(count: int) -> Iterator[Dataset]:
    return samples.mr(_TODAY, slices=-(-count // 2))


def jpeg2000(count: int) -> Iterator[Dataset]:
    for dataset in ct(count):
        dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
        yield dataset


def mammography(count: int) -> Iterator[Dataset]:
    """The chest phantom stands in for the breast: what counts is 50 MB with a detector's noise."""
    random = np.random.default_rng(1)
    study = samples.Study(samples.Patient(), 1, _TODAY, "MG", "Mammographie", dt.time(8, 15))
    plate = np.repeat(np.repeat(chest_xray(random, 2964, 2112), 2, 0), 2, 1)
    for number in range(1, count + 1):
        image = study.instance(DigitalMammographyXRayImageStorageForPresentation, 1, number, "Mammographie")
        noisy = plate + random.normal(0, 0.01, plate.shape).astype(np.float32)
        image.set_pixel_data((np.clip(noisy, 0, 1) * 4095).astype(np.uint16), "MONOCHROME2", 12, generate_instance_uid=False)
        yield image


def ultrasound(frames: int) -> Iterator[Dataset]:
    moving = _sector()
    yield _ultrasound(np.stack([np.roll(moving[number % len(moving)], number, 0) for number in range(frames)]))


KINDS: Final = {
    "ct": Kind("CT", 500, ct),
    "mr": Kind("MR", 2000, mr),
    "mammography": Kind("mammography", 4, mammography),
    "ultrasound": Kind("ultrasound, one multi-frame instance", 381, ultrasound),
    "jpeg2000": Kind("CT, JPEG 2000 lossless", 500, jpeg2000),
}


@dataclass(frozen=True, slots=True)
class Study:
    """Instances of one kind."""

    what: str
    instances: list[Instance]

    @property
    def size(self) -> int:
        return sum(one.size for one in self.instances)

    def __str__(self) -> str:
        return f"{self.what}, {len(self.instances):,} × {self.size / len(self.instances) / 1000:,.0f} kB"


def made(kind: str, directory: Path, part: int) -> Study:
    """A study below `directory`. `part`: only one in so many of its instances, but one at least."""
    what, full, make = KINDS[kind]
    count = max(1, full // part)
    folder = directory / kind
    folder.mkdir(parents=True)
    return Study(what, [_kept(dataset, folder / f"{at:04}.dcm") for at, dataset in enumerate(islice(make(count), count), 1)])


def large(directory: Path, gibibytes: float) -> Study:
    """One ultrasound instance just below so many GiB. Its first 64 MiB are in memory, and follow again and again."""
    _, one = directory.mkdir(parents=True), next(iter(ultrasound(_IN_MEMORY)))
    repeated = max(0, int(gibibytes * (1 << 30)) // len(one.PixelData) - 1)
    one.NumberOfFrames = _IN_MEMORY * (repeated + 1)
    kept, tail = _kept(one, directory / "first.dcm"), len(one.PixelData)
    head = bytearray(kept.dataset[: len(kept.dataset) - tail])
    struct.pack_into("<L", head, len(head) - 4, tail * (repeated + 1))  # the length of the pixel data (PS3.5 7.1.2)
    dataset = memoryview(bytes(head) + one.PixelData)
    return Study("ultrasound, one very large instance", [Instance(kept.path, kept.sop_instance, kept.context, dataset, tail, repeated)])


def _kept(dataset: Dataset, path: Path) -> Instance:
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    begin = _PREAMBLE + struct.unpack_from("<L", content, _PREAMBLE - 4)[0]
    syntax = read_file_meta_info(path).TransferSyntaxUID
    return Instance(path, str(dataset.SOPInstanceUID), Context(str(dataset.SOPClassUID), str(syntax)), memoryview(content)[begin:])


def _sector() -> list[NDArray[np.uint8]]:
    """Eight frames of speckle (Rayleigh) in the fan that a probe sees."""
    random = np.random.default_rng(1)
    rows, columns = _FRAME
    y, x = np.mgrid[0:rows, 0:columns]
    seen = (np.abs(x - columns / 2) < 0.7 * y + 60) & (np.hypot(x - columns / 2, y) < rows)
    return [np.where(seen, np.clip(random.rayleigh(60, _FRAME), 0, 255), 0).astype(np.uint8) for _ in range(8)]


def _ultrasound(frames: NDArray[np.uint8]) -> Dataset:
    study = samples.Study(samples.Patient(), 1, _TODAY, "US", "Echokardiographie", dt.time(10, 45))
    image = study.instance(UltrasoundMultiFrameImageStorage, 1, 1, "Vierkammerblick")
    image.FrameTime = 33
    image.set_pixel_data(frames, "MONOCHROME2", 8, generate_instance_uid=False)
    return image
