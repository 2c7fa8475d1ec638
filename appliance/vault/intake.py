"""The intake: a maildir between the receiver, which seals, and the ingester, which opens.

    intake/public.json    today's public intake key, left here by the ingester
    intake/tmp/…          files on their way in
    intake/new/…          files that are whole, durable and acknowledged: instances, and requests with `.request` at their end

A file's name carries all that is known of it, so one rename publishes file and key envelope together:
`<UTC seconds, 8 hex>.<object id, 32 hex>.<intake key id, 8 hex>.<envelope, base64url>`. Names sort by arrival.
All files of one association share an association key, sealed once to the intake key (HPKE, RFC 9180); it lives in
the receiver's memory as long as the association. Write order: bytes, fdatasync, rename, fsync of the directory.
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..disk.files import fsync_dir, replace_file
from . import keys
from .blobs import open_file
from .sealed import Kind, ReadAt, Writer

_PUBLIC = "public.json"
_KEY_ID = re.compile(r"[0-9a-f]{8}")
_NAME = re.compile(r"([0-9a-f]{8})\.([0-9a-f]{32})\.([0-9a-f]{8})\.([A-Za-z0-9_-]{107})")
_REQUEST = ".request"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of an intake key pair: its id, 8 hex digits, and 32 bytes."""

    key_id: str
    public: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """A published file: all that its name tells. `arrived_at` in UTC seconds."""

    path: Path
    object_id: str
    key_id: str
    envelope: bytes
    arrived_at: int


def write_public(directory: Path, key: PublicKey) -> None:
    """Leave the public key where the receiver finds it; atomically, in place of the one before."""
    replace_file(directory / _PUBLIC, json.dumps({"key_id": key.key_id, "public": _text(key.public)}).encode())


def read_public(directory: Path) -> PublicKey | None:
    """The public key left there, or None where there is none to use; the ingester then writes one. Raises OSError."""
    try:
        fields = json.loads((directory / _PUBLIC).read_bytes())
        key = PublicKey(str(fields["key_id"]), _bytes(fields["public"]))
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return key if _KEY_ID.fullmatch(key.key_id) and len(key.public) == 32 else None


class Association:
    """What the files of one DICOM association share: a fresh association key and its envelope. `now` tells UTC seconds."""

    def __init__(self, directory: Path, public_key: PublicKey, now: Callable[[], int]) -> None:
        self._directory = directory
        self._now = now
        self._key = keys.new_key()
        envelope = keys.seal_to(public_key.public, self._key, keys.INTAKE_INFO)
        self._sealed_to = f"{public_key.key_id}.{_text(envelope)}"

    def begin(self, *, request: bool = False) -> "Incoming":
        """Open a file on its way in: an instance, or a request about some. Raises OSError."""
        object_id = keys.new_id()
        name = f"{self._now():08x}.{object_id}.{self._sealed_to}{_REQUEST if request else ''}"
        return Incoming(self._directory, name, object_id, keys.object_key(self._key, bytes.fromhex(object_id)))


class Incoming:
    """A file on its way in. Write to `writer`, then `publish` or `discard`. The first two raise OSError."""

    def __init__(self, directory: Path, name: str, object_id: str, key: bytes) -> None:
        self.object_id = object_id
        self._part = directory / "tmp" / f"{object_id}.part"
        self._new = directory / "new" / name
        self._file = _File(self._part)
        try:
            self.writer = Writer(self._file, object_id=bytes.fromhex(object_id), key=key, kind=Kind.DICOM)
        except BaseException:
            self.discard()
            raise

    def publish(self) -> int:
        """Make it whole, durable and visible, in this order. Returns its plain size in bytes. After an error nothing is left of it."""
        try:
            length = self.writer.finish()
            self._file.sync()
            self._part.rename(self._new)
            fsync_dir(self._new.parent)
        except BaseException:
            self.discard()
            raise
        self._file.close()
        return length

    def discard(self) -> None:
        """Leave nothing of it."""
        self._file.close()
        for path in (self._part, self._new):
            with suppress(OSError):
                path.unlink(missing_ok=True)


class _File:
    """A new file, unbuffered: what `write` took, the kernel has."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)


def waiting(directory: Path) -> Iterator[Arrived]:
    """The published instances, oldest first. Cheap also when they are many: one listing, no look at any file."""
    return _published(directory, "")


def requests(directory: Path) -> Iterator[Arrived]:
    """The published requests, oldest first."""
    return _published(directory, _REQUEST)


def _published(directory: Path, end: str) -> Iterator[Arrived]:
    new = directory / "new"
    with os.scandir(new) as entries:
        names = sorted(entry.name for entry in entries if entry.name.endswith(end))
    for name in names:
        if match := _NAME.fullmatch(name.removesuffix(end)):
            arrived_at, object_id, key_id, envelope = match.groups()
            yield Arrived(new / name, object_id, key_id, _bytes(envelope), int(arrived_at, 16))


def opened(arrived: Arrived) -> AbstractContextManager[ReadAt]:
    """The sealed bytes of a published file, to read anywhere in. Raises Problem(NOT_FOUND)."""
    return open_file(arrived.path)


def room(directory: Path) -> int:
    """Bytes that can still be written here."""
    volume = os.statvfs(directory)
    return volume.f_bavail * volume.f_frsize


def sweep(directory: Path) -> int:
    """Delete what a killed receiver left half written. Only before the first association. Returns how many there were."""
    stale = list((directory / "tmp").glob("*.part"))
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
