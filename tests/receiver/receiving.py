"""What the tests of the receiver share: one in a thread, what it stored, opened with the private key, and real files to send."""

import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import data_store
from pydicom import dcmread
from pydicom.data.data_manager import DATA_ROOT
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from appliance.domain.modalities import Modality, parse
from appliance.receiver.limits import Limits
from appliance.receiver.server import Address, Receiver
from appliance.receiver.service import Site
from appliance.receiver.syntaxes import TRANSFER_SYNTAXES, is_storage
from appliance.vault import intake, keys
from appliance.vault.sealed import Kind, Reader

NOW = 1_700_000_000
HERE = parse("*@127.0.0.0/8")
META_LENGTH = slice(140, 144)  # where a file tells the length of its group 0002, which ends 144 bytes later than that


@dataclass(frozen=True)
class Sample:
    """A file that comes with pydicom or with the package pydicom-data."""

    path: Path
    sop_class: str
    sop_instance: str
    transfer_syntax: str

    @property
    def dataset(self) -> bytes:
        return split(self.path.read_bytes())[1]


@dataclass(frozen=True)
class Stored:
    """What came out of the intake: what stands before the dataset, as pydicom reads it, and the dataset's bytes."""

    meta: FileMetaDataset
    dataset: bytes


def no_certificate() -> ssl.SSLContext:
    raise FileNotFoundError


class Running:
    """A receiver in threads of this process, so that tests can reach into its works, and what it stored.

    `tls` makes the contexts for TLS, if it is to listen for it, too.
    """

    def __init__(
        self,
        directory: Path,
        limits: Limits,
        modalities: Sequence[Modality] = HERE,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.directory = directory
        self.private, self.public = keys.new_pair()
        (directory / "tmp").mkdir(parents=True)
        (directory / "new").mkdir()
        intake.write_public(directory, intake.PublicKey("00c0ffee", self.public))
        site = Site(directory, "BILDBRIEF", limits, modalities, lambda: NOW, tls or no_certificate)
        addresses = [Address("127.0.0.1", 0), *([Address("127.0.0.1", 0, tls=True)] if tls else ())]
        self._receiver = Receiver(addresses, site, forked=False)
        self.port, self.tls_port = self._receiver.ports[0], self._receiver.ports[-1]
        self.refusals = self._receiver.refusals
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receiver.serve, args=(self._stop,))
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def stored(self) -> dict[str, Stored]:
        """By SOP Instance UID. What was stored twice under one UID fails here."""
        found: dict[str, Stored] = {}
        for arrived in intake.waiting(self.directory):
            association_key = keys.open_envelope(self.private, arrived.envelope, keys.INTAKE_INFO)
            object_id = bytes.fromhex(arrived.object_id)
            with intake.opened(arrived) as source:
                key = keys.object_key(association_key, object_id)
                content = b"".join(Reader(source, object_id=object_id, key=key, kind=Kind.DICOM).read())
            head, dataset = split(content)
            meta = dcmread(BytesIO(head)).file_meta
            assert meta.MediaStorageSOPInstanceUID not in found
            found[str(meta.MediaStorageSOPInstanceUID)] = Stored(meta, dataset)
        return found

    def left_over(self) -> list[str]:
        return [path.name for path in (self.directory / "tmp").iterdir()]


def split(content: bytes) -> tuple[bytes, bytes]:
    """A DICOM file as what stands before its dataset, and its dataset."""
    end = 144 + struct.unpack("<I", content[META_LENGTH])[0]
    return content[:end], content[end:]


def find_samples() -> Iterator[Sample]:
    seen = set()
    bundled, packaged = Path(DATA_ROOT) / "test_files", Path(data_store.__file__).parent / "data"
    for path in sorted([*bundled.glob("*.dcm"), *packaged.glob("*.dcm")]):
        try:
            meta = read_file_meta_info(path)
            dataset = dcmread(path, stop_before_pixels=True)
            sample = Sample(path, str(meta.MediaStorageSOPClassUID), str(meta.MediaStorageSOPInstanceUID), str(meta.TransferSyntaxUID))
        except (InvalidDicomError, AttributeError):
            continue
        # DCMTK sends what the dataset says, pydicom what the file meta says: only where both agree can a test know what was sent.
        same = (dataset.get("SOPClassUID"), dataset.get("SOPInstanceUID")) == (sample.sop_class, sample.sop_instance)
        if same and sample.sop_instance not in seen and sample.transfer_syntax in TRANSFER_SYNTAXES and is_storage(sample.sop_class):
            seen.add(sample.sop_instance)
            yield sample
