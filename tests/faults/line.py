"""The way of an image from the receiver's last step to its row: the appliance's own rooms, in this process, below one directory."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from stack import Stack, dicom_file

from appliance.deeds.checking import Checking
from appliance.deeds.ingest import Ingest
from appliance.dicom.describe import describe
from appliance.domain.study import Described
from appliance.receiver import part10
from appliance.vault import intake
from appliance.vault.blobs import Local

CANARY = "Kanarienvogel^Alwine"
ROUNDS = 20  # of the ingester; then it is stuck
_META_LENGTH = slice(140, 144)  # of a Part 10 file: how long its group 0002 is, after these bytes


@dataclass(frozen=True)
class Instance:
    """What a modality sends. `dataset`: in Explicit VR Little Endian, without preamble and meta information."""

    uid: str
    dataset: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.dataset).hexdigest()


def instances(count: int, *, first: int = 1, study: str = "") -> list[Instance]:
    """Images of one examination of a patient whose name is to be found nowhere."""
    made = []
    for number in range(first, first + count):
        file = dicom_file(CANARY, 1, "CT", "Faults", number, {"PatientComments": CANARY, "StudyDescription": study})
        made.append(Instance(uid_of(file), dataset_of(file)))
    return made


def dataset_of(file: bytes) -> bytes:
    """A Part 10 file without what stands before its dataset (PS3.10 7.1)."""
    return file[_META_LENGTH.stop + int.from_bytes(file[_META_LENGTH], "little") :]


def uid_of(file: bytes) -> str:
    """The SOP Instance UID in the meta information of a file."""
    at = file.index(b"\x02\0\x03\0UI")  # (0002,0003) Media Storage SOP Instance UID
    return file[at + 8 : at + 8 + int.from_bytes(file[at + 6 : at + 8], "little")].rstrip(b"\0").decode()


class Uncaged:
    """In place of the cage, whose processes change no files: its worker's work, in this process."""

    def describe(self, header: bytes) -> Described:
        return describe(header)


class Line:
    """A `Stack` with an ingester. One process at a time."""

    def __init__(self, root: Path) -> None:
        self.stack = Stack(root)

    @cached_property
    def ingest(self) -> Ingest:
        """Made when needed: what it does at its start is part of what is tried."""
        stack = self.stack
        return Ingest(
            stack.places.intake,
            stack.objects,
            self.quarantine,
            stack.registry,
            stack.keyholder("ingester"),
            Uncaged(),  # type: ignore[arg-type]
            stack.now,
            1,
        )

    @property
    def quarantine(self) -> Local:
        return Local(self.stack.places.quarantine)

    @property
    def checking(self) -> Checking:
        return Checking(self.stack.registry, self.stack.objects, self.quarantine, self.stack.keyholder("desk"))

    def receive(self, given: Sequence[Instance], acknowledge: Callable[[Instance], None]) -> None:
        """One association, as the receiver has it with the intake. OSError ends it."""
        key = intake.read_public(self.stack.places.intake)
        assert key is not None
        association = intake.Association(self.stack.places.intake, key, self.stack.now)
        for one in given:
            incoming = association.begin()
            try:
                incoming.writer.write(part10.head(CTImageStorage, one.uid, ExplicitVRLittleEndian, calling="SCANNER", called="BILDBRIEF"))
                incoming.writer.write(one.dataset)
            except OSError:
                incoming.discard()
                raise
            incoming.publish()
            acknowledge(one)

    def take_in(self) -> int:
        """Until nothing is left in the intake. Returns how many rounds had something to do."""
        for rounds in range(ROUNDS):
            if not self.ingest.run_once():
                return rounds
        return ROUNDS

    def restart(self) -> None:
        """What the receiver and the ingester do first, then all that waits, and what the clock does a day later."""
        intake.sweep(self.stack.places.intake)
        self.ingest.publish_key()
        self.take_in()
        for place in (self.stack.objects, self.quarantine):
            place.sweep(self.stack.registry.known_blobs, 0)


class Books:
    """Who was acknowledged, by SOP Instance UID, written down by the sender: outside of what is tried, and before it goes on."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, one: Instance) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{one.uid}\n".encode())
        os.close(descriptor)

    def acknowledged(self) -> set[str]:
        return set(self.file.read_text().split()) if self.file.exists() else set()
