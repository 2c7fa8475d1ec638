"""The demo: a real appliance on this machine, fed by a real DICOM association, opened as a patient would.  `--once` proves and stops."""

import argparse
import datetime as dt
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

import qrcode
from pydicom import dcmread
from pynetdicom import AE, _config
from recipient import Reader, verify
from samples import write

from appliance import supervisor
from appliance.domain.codes import show_code, show_password

TOP: Final = Path(__file__).parents[1]
PATIENCE: Final = 180.0  # seconds for any one step
PORTS: Final = {"dicom": 11112, "desk": 8081, "portal": 8080}

PRACTICE: Final = (
    *("--name", "Radiologie am Musterplatz"),
    *("--street", "Musterplatz 1"),
    *("--city", "12345 Musterstadt"),
    *("--phone", "030 1234567"),
    *("--email", "praxis@example.org"),
)


class Demo:
    """One appliance in directories of its own. What it prints and logs is in `log.txt` there."""

    def __init__(self, home: Path, run: Path) -> None:
        self.home = home
        self.run = run
        self.ports = {name: _port(name, wanted) for name, wanted in PORTS.items()}
        self.desk, self.portal = (f"http://127.0.0.1:{self.ports[name]}" for name in ("desk", "portal"))
        settings = {
            "data_dir": home / "data",
            "key_dir": home / "keys",
            "run_dir": run,
            "desk_url": self.desk,
            "public_url": self.portal,
            "modalities": "*@127.0.0.0/8",
            "quiet_seconds": 3,
            "clock_seconds": 2,
            **{f"{name}_host": "127.0.0.1" for name in PORTS},
            **{f"{name}_port": port for name, port in self.ports.items()},
        }
        own = {name: value for name, value in os.environ.items() if not name.startswith("BILDBRIEF_")}
        self.environment = own | {f"BILDBRIEF_{name.upper()}": str(value) for name, value in settings.items()}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """`bildbrief serve`, from when all is up until it has stopped."""
        with (self.home / "log.txt").open("wb") as log:
            # A session of its own: Ctrl-C is for us, and we stop it in good order.
            process = subprocess.Popen(self._words("serve"), env=self.environment, stdout=log, stderr=log, start_new_session=True)
            try:
                self._until(lambda: self._is_up(process), "the appliance is up")
                yield
            finally:
                process.terminate()
                process.wait(PATIENCE)

    def _is_up(self, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll() is not None:
            raise SystemExit(f"The appliance did not start; see {self.home / 'log.txt'}:\n{(self.home / 'log.txt').read_text()[-2000:]}")
        return set(supervisor.health(self.run / "health.json").values()) == {"up"}

    def bildbrief(self, *words: str) -> Any:
        """What a command answers."""
        done = subprocess.run(self._words(*words, "--json"), env=self.environment, stdout=subprocess.PIPE, check=False)
        if done.returncode:
            raise SystemExit(f"bildbrief {words[0]} failed; see {self.home / 'log.txt'}.")
        return json.loads(done.stdout)

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "appliance", *words]

    def send(self, files: list[Path]) -> None:
        """One association, as a modality sends a study: every file as it is. Errors: SystemExit if one is not taken."""
        entity = AE("SAMPLE_CT")
        contexts = {
            (meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
            for meta in (dcmread(f, stop_before_pixels=True).file_meta for f in files)
        }
        for sop_class, syntax in sorted(contexts):
            entity.add_requested_context(sop_class, syntax)
        association = entity.associate("127.0.0.1", self.ports["dicom"], ae_title="BILDBRIEF")
        if not association.is_established:
            raise SystemExit("The DICOM receiver does not answer.")
        for file in files:
            status = association.send_c_store(file)
            if status.get("Status") != 0:
                raise SystemExit(f"{file.name} was not taken: {status}")
        association.release()

    def complete(self, count: int) -> list[dict[str, Any]]:
        """The studies, once so many are complete."""
        found: list[dict[str, Any]] = []

        def are_complete() -> bool:
            found[:] = self.bildbrief("study", "list")
            return sum(study["state"] == "complete" for study in found) >= count

        self._until(are_complete, "the studies are complete", every=0.5)
        return found

    def _until(self, true: Callable[[], bool], what: str, every: float = 0.1) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > deadline:
                raise SystemExit(f"Gave up waiting until {what}; see {self.home / 'log.txt'}.")
            time.sleep(every)


def _port(name: str, wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            chosen = int(probe.getsockname()[1])
            if chosen != wanted:
                print(f"Port {wanted} ({name}) is busy; taking {chosen}.")
            return chosen
    raise SystemExit("No port is free on this machine.")


@contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty directory below `.demo/` that no other demo is using."""
    for number in range(1, 100):
        home = TOP / ".demo" / str(number)
        home.mkdir(parents=True, exist_ok=True)
        lock: IO[bytes]
        with home.with_suffix(".lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(home)
            home.mkdir()
            yield home
            return
    raise SystemExit("A hundred demos are running already.")


def show(title: str, link: str, share: dict[str, Any]) -> None:
    print(
        f"\n  {title}\n    link      {link}\n    code      {show_code(share['code'])}\n    password  {show_password(share['password'])}\n"
    )
    code = qrcode.QRCode(border=2, error_correction=qrcode.constants.ERROR_CORRECT_L)
    code.add_data(link)
    code.print_ascii(invert=sys.stdout.isatty())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="prove that the letter opens and downloads, then stop")
    once = parser.parse_args().once
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _config.STORE_SEND_CHUNKED_DATASET = True  # send files as they are, not as pydicom would write them
    # The sockets' paths must be short (108 bytes, unix(7)); the tree may lie deep.
    with fresh_home() as home, tempfile.TemporaryDirectory(prefix="bildbrief-") as run:
        demo = Demo(home, Path(run))
        print("Starting the appliance …", flush=True)
        with demo.serving():
            tell(demo, once=once)


def tell(demo: Demo, *, once: bool) -> None:
    staff = demo.bildbrief("user", "add", "demo", "--name", "Demo", "--role", "admin")
    demo.bildbrief("practice", "set", *PRACTICE)
    print("Making sample studies …", flush=True)
    *images, report = write(demo.home / "samples", dt.datetime.now(dt.UTC).date())
    print(f"Sending {len(images)} images by DICOM …", flush=True)
    for folder in sorted({image.parent for image in images}):
        demo.send([image for image in images if image.parent == folder])
    complete = demo.complete(3)
    studies = [study["study"] for study in complete]
    demo.bildbrief("report", "add", next(study["study"] for study in complete if "CT" in study["modalities"]), str(report))
    patient = demo.bildbrief("share", "create", *studies)
    referrer = demo.bildbrief("share", "create", *studies, "--for", "referrer")
    if once:
        reader = Reader(demo.portal)
        reader.open(patient["code"], patient["password"])
        count = verify(reader.download(), images)
        print(f"The letter opens, and its download of {count} files holds every dataset as it was sent.")
        return
    print("\n" + "═" * 78)
    print(f"  The desk, where staff work\n    {demo.desk}\n    login     {staff['login']}\n    password  {staff['password']}")
    for title, share in (("The patient's letter", patient), ("The referring physician's letter", referrer)):
        show(title, share["link"], share)
    print("═" * 78 + f"\n  Sample data, invented. Log: {demo.home / 'log.txt'}.  Ctrl-C stops.", flush=True)
    with suppress(KeyboardInterrupt):
        signal.pause()
    print("\nStopping …")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
