"""The receivers that are measured: how each is started, and where it puts what it stored. All as they come, but for ports and places
(and what `network` says).

Each run starts one anew in a directory of its own, so that none carries anything over, and takes both away afterwards.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pynetdicom

from appliance.disk.places import Places
from appliance.vault import intake, keys

from .network import LOOPBACK, Network, inside
from .pdus import Disagreement, NotTaken
from .sending import Instance, Sender

_TOP: Final = Path(__file__).parents[3]
_PATH: Final = f"/usr/local/bin:/usr/bin:/bin:/usr/sbin:{os.environ.get('PATH', '')}"
"""The system's programs first: pynetdicom brings a `storescu` and a `storescp` of its own."""
_PATIENCE: Final = 30  # seconds to start, and to stop


@dataclass(frozen=True, slots=True)
class Receiver:
    """`command`: from an empty directory, host and port, how to start it. `kept`: below it, a file for each instance.

    `program`: what must be there, from `package` of Debian. `many`: it is another one only when several associations come at once.
    """

    name: str
    command: Callable[[Path, str, int], list[str]]
    kept: Callable[[Path], Iterator[Path]]
    program: str = sys.executable
    package: str = ""
    keeps: bool = True
    many: bool = False

    @property
    def missing(self) -> bool:
        return found(self.program) is None


@dataclass(frozen=True, slots=True)
class Running:
    """`maximum`: bytes of a PDU that it takes."""

    pid: int
    address: tuple[str, int]
    maximum: int
    stored: Callable[[], int]


def found(program: str) -> str | None:
    """Where a program is."""
    return shutil.which(program, path=_PATH)


@contextmanager
def running(receiver: Receiver, directory: Path, network: Network, instances: list[Instance]) -> Iterator[Running]:
    """A receiver that has just accepted an association for instances like these. Raises Disagreement when it does not."""
    directory.mkdir()
    address = network.host, _free_port(network)
    log = directory.with_suffix(".log")
    try:
        with log.open("wb") as output, inside(network.receiver):
            process = subprocess.Popen(
                receiver.command(directory, *address),
                cwd=directory,
                env=os.environ | network.environment | {"PYTHONPATH": f"{_TOP}:{_TOP / 'scripts'}", "PATH": _PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that ^C reaches us alone, and a signal of ours all that it started
            )
        try:
            maximum = _wait(process, Sender(address, instances), network, log)
            yield Running(process.pid, address, maximum, lambda: sum(1 for _ in receiver.kept(directory)))
        finally:
            _stop(process)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        log.unlink(missing_ok=True)


def _wait(process: "subprocess.Popen[bytes]", sender: Sender, network: Network, log: Path) -> int:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with inside(network.sender), sender.associate() as association:
                association.release()
                return association.maximum
        except NotTaken:
            raise
        except (OSError, Disagreement) as problem:
            if process.poll() is not None:
                last = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise Disagreement(f"ended at once: {' '.join(last)}") from None
            if time.monotonic() > deadline:
                raise Disagreement(f"does not answer: {problem}") from None
            time.sleep(0.1)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_PATIENCE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _free_port(network: Network) -> int:
    with inside(network.receiver), socket.socket() as probe:
        probe.bind((network.host, 0))
        return int(probe.getsockname()[1])


# -- the table -----------------------------------------------------------------------------------------------------------------------


def _bildbrief(directory: Path, host: str, port: int) -> list[str]:
    places = Places(directory / "data", directory / "keys", directory / "run")
    places.prepare(users=False)
    intake.write_public(places.intake, intake.PublicKey("00c0ffee", keys.new_pair()[1]))
    settings = {"data_dir": places.data, "key_dir": places.keys, "run_dir": places.run, "dicom_host": host, "dicom_port": port}
    configuration = directory / "bildbrief.conf"
    configuration.write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    return ["env", f"BILDBRIEF_CONFIG={configuration}", sys.executable, "-m", "appliance.processes", "receiver"]


def _orthanc(directory: Path, _: str, port: int) -> list[str]:
    configuration = directory / "orthanc.json"
    places = {"StorageDirectory": str(directory / "kept"), "IndexDirectory": str(directory / "index")}
    configuration.write_text(json.dumps({**places, "DicomPort": port, "HttpPort": _free_port(LOOPBACK)}))
    return ["Orthanc", str(configuration)]


def _storescp(*options: str) -> Callable[[Path, str, int], list[str]]:
    # It takes compressed images only when told so.
    return lambda directory, _, port: ["storescp", *options, "--accept-all", "--output-directory", str(directory), str(port)]


def _module(name: str, *more: str) -> Callable[[Path, str, int], list[str]]:
    return lambda _, host, port: [sys.executable, "-m", f"benches.receiving.{name}", host, str(port), *more]


def _files(below: str, pattern: str) -> Callable[[Path], Iterator[Path]]:
    return lambda directory: (path for path in (directory / below).rglob(pattern) if path.is_file())


OURS: Final = Receiver("Bildbrief", _bildbrief, _files("data/intake/new", "*"))
RECEIVERS: Final = (
    OURS,
    Receiver("Orthanc", _orthanc, _files("kept", "*-*-*-*-*"), program="Orthanc", package="orthanc"),
    Receiver("storescp", _storescp(), _files(".", "*"), program="storescp", package="dcmtk"),
    Receiver("storescp --fork", _storescp("--fork"), _files(".", "*"), program="storescp", package="dcmtk", many=True),
    Receiver("pynetdicom's example", _module("example_scp"), _files(".", "*")),
    Receiver("sink, PDUs of 256 KiB", _module("sink", str(256 << 10)), _files(".", "*"), keeps=False),
    Receiver("sink, PDUs of 16 KiB", _module("sink", str(16 << 10)), _files(".", "*"), keeps=False),
)


def versions() -> dict[str, str]:
    """Of the peers that are here."""
    told = {"pynetdicom": pynetdicom.__version__}
    for program in ("Orthanc", "storescp"):
        if path := found(program):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            told[program] = match.group() if (match := re.search(r"\d+\.\d+\.\d+", said)) else "unknown"
    return told
