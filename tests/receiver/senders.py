"""Programs that other people wrote, each of which sends a batch of files as they are: DCMTK's, pynetdicom, Orthanc."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from mutual import Mutual
from programs import which
from pynetdicom import AE, _config, build_context
from receiving import Sample

from appliance.receiver.syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

CALLING, CALLED = "ALICE", "BILDBRIEF"
_TITLES = ("-aet", CALLING, "-aec", CALLED)
_PROFILE = "AsTheyAre"

Send = Callable[[int, bool], None]
"""Sends the batch to a port of loopback, by TLS or without."""


def run(*command: str | Path, **environment: str) -> str:
    """What a program says that ends well. Its variables are added to ours."""
    done = subprocess.run(
        [which(str(command[0])), *command[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | environment, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said[-4000:]
    return said


def contexts(batch: Sequence[Sample]) -> list[tuple[str, str]]:
    """Each SOP class with each transfer syntax it comes in: what to propose, a context for each, so that files can go as they are."""
    return sorted({(sample.sop_class, sample.transfer_syntax) for sample in batch})


def as_they_are(directory: Path, batch: Sequence[Sample]) -> tuple[str | Path, ...]:
    """Options of storescu: a profile that proposes `contexts`. Without one it proposes several transfer syntaxes together."""
    syntaxes = sorted({sample.transfer_syntax for sample in batch})
    lines = ["[[TransferSyntaxes]]"]
    for number, syntax in enumerate(syntaxes):
        lines += [f"[Syntax{number}]", f"TransferSyntax1 = {syntax}"]
    lines += ["[[PresentationContexts]]", "[Contexts]"]
    pairs = enumerate(contexts(batch), start=1)
    lines += [f"PresentationContext{number} = {sop_class}\\Syntax{syntaxes.index(syntax)}" for number, (sop_class, syntax) in pairs]
    lines += ["[[Profiles]]", f"[{_PROFILE}]", "PresentationContexts = Contexts"]
    path = directory / "profile.cfg"
    path.write_text("\n".join(lines) + "\n")
    return "-xf", path, _PROFILE


def _dcmtk(*command: str | Path, batch: Sequence[Sample], mutual: Mutual) -> Send:
    side = mutual.sender
    secured = ("+tls", side.key, side.certificate, "+cf", side.trusted)
    files = [sample.path for sample in batch]

    def send(port: int, tls: bool) -> None:
        run(*command, *(secured if tls else ()), *_TITLES, "127.0.0.1", str(port), *files)

    return send


@contextmanager
def _storescu(directory: Path, batch: Sequence[Sample], mutual: Mutual) -> Iterator[Send]:
    yield _dcmtk("storescu", "--no-halt", *as_they_are(directory, batch), batch=batch, mutual=mutual)


@contextmanager
def _dcmsend(directory: Path, batch: Sequence[Sample], mutual: Mutual) -> Iterator[Send]:
    yield _dcmtk("dcmsend", "--no-halt", "--no-uid-checks", batch=batch, mutual=mutual)


@contextmanager
def _pynetdicom(directory: Path, batch: Sequence[Sample], mutual: Mutual) -> Iterator[Send]:
    def send(port: int, tls: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # the file's bytes, unread
            association = AE(CALLING).associate(
                "127.0.0.1",
                port,
                contexts=[build_context(*pair) for pair in contexts(batch)],
                ae_title=CALLED,
                tls_args=(mutual.sending(), "localhost") if tls else None,
            )
            assert association.is_established
            for sample in batch:
                assert association.send_c_store(sample.path).Status == 0
            association.release()

    yield send


@contextmanager
def _orthanc(directory: Path, batch: Sequence[Sample], mutual: Mutual) -> Iterator[Send]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        http = free.getsockname()[1]
    settings = {
        "StorageDirectory": str(directory / "storage"),
        "HttpPort": http,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomServerEnabled": False,
        "DicomAet": CALLING,
        "DicomTlsCertificate": str(mutual.sender.certificate),
        "DicomTlsPrivateKey": str(mutual.sender.key),
        "DicomTlsTrustedCertificates": str(mutual.sender.trusted),
    }
    configuration = directory / "orthanc.json"
    configuration.write_text(json.dumps(settings))

    def ask(method: str, path: str, body: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with urlopen(Request(f"http://127.0.0.1:{http}{path}", data, method=method), timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def send(port: int, tls: bool) -> None:
        modality = {"AET": CALLED, "Host": "127.0.0.1", "Port": port, "UseDicomTls": tls, "AllowTranscoding": False}
        ask("PUT", "/modalities/receiver", modality)
        ask("POST", "/modalities/receiver/store", {"Resources": kept, "Permissive": True})

    with (directory / "orthanc.log").open("wb") as log:
        process = subprocess.Popen([which("Orthanc"), configuration], stdout=log, stderr=log)
    try:
        _wait_for(http)
        kept = [ask("POST", "/instances", sample.path.read_bytes())["ID"] for sample in batch]
        yield send
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    patience = time.monotonic() + 20
    while time.monotonic() < patience:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


UNKNOWN_TO_DCMTK = frozenset(
    f"1.2.840.10008.1.2.4.{end}"
    for end in ("100.1", "101.1", "102.1", "103.1", "104.1", "105.1", "106.1", "110", "111", "112", "201", "202", "203")
)
"""Transfer syntaxes younger than DCMTK 3.6.7: fragmentable video, JPEG XL, High-Throughput JPEG 2000."""


@dataclass(frozen=True)
class Sender:
    """`unable`: the transfer syntaxes it cannot send; `recodes`: those it sends as another, because it proposes both in one context."""

    begin: Callable[[Path, Sequence[Sample], Mutual], AbstractContextManager[Send]]
    unable: frozenset[str] = frozenset()
    recodes: Mapping[str, str] = field(default_factory=dict)
    tls: bool = True


SENDERS = {
    "storescu": Sender(_storescu, UNKNOWN_TO_DCMTK),
    "dcmsend": Sender(_dcmsend, UNKNOWN_TO_DCMTK, {IMPLICIT_VR_LITTLE_ENDIAN: EXPLICIT_VR_LITTLE_ENDIAN}, tls=False),
    "pynetdicom": Sender(_pynetdicom),
    "Orthanc": Sender(_orthanc, UNKNOWN_TO_DCMTK),
}
