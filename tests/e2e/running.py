"""A whole appliance of real processes, in directories of its own, on free loopback ports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether anybody does, at loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(true: Callable[[], Any], what: str, seconds: float = 60, *, every: float = 0.1) -> Any:
    """The first truthy answer. AssertionError when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := true()):
        assert time.monotonic() < deadline, f"gave up waiting until {what}"
        time.sleep(every)
    return answer


class Running:
    """`bildbrief serve` as the README starts it. What it prints and logs is kept in `log`."""

    def __init__(self, directory: Path, *, only: str = "", prefix: Sequence[str] = (), **settings: object) -> None:
        """`only`: the one process to run; `prefix`: words before the command."""
        self._command = [*prefix, sys.executable, "-m", "appliance", "serve", *(["--only", only] if only else [])]
        self.directory = directory
        self.dicom, self.desk, self.portal = free_port(), free_port(), free_port()
        given = {
            "data_dir": directory / "data",
            "key_dir": directory / "keys",
            "run_dir": directory / "run",
            "dicom_host": "127.0.0.1",
            "dicom_port": self.dicom,
            "modalities": "*@127.0.0.0/8",
            "desk_host": "127.0.0.1",
            "desk_port": self.desk,
            "desk_url": f"http://127.0.0.1:{self.desk}",
            "portal_host": "127.0.0.1",
            "portal_port": self.portal,
            "public_url": f"http://127.0.0.1:{self.portal}",
            "quiet_seconds": 2,
            "clock_seconds": 1,
            "argon2_memory_kib": 8192,
            **settings,
        }
        (directory / "tmp").mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BILDBRIEF_")},
            **{f"BILDBRIEF_{name.upper()}": str(value) for name, value in given.items()},
            "TMPDIR": str(directory / "tmp"),  # so that a scan for plain text finds what went astray
            "PYTHONWARNINGS": "default",
        }
        self.log = directory / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def keys(self) -> Path:
        return self.directory / "keys"

    def set(self, **settings: object) -> None:
        """Change settings; they hold from the next start on."""
        self.environment |= {f"BILDBRIEF_{name.upper()}": str(value) for name, value in settings.items()}

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        self.wait_up()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Started, and stopped at the end."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def wait_up(self) -> None:
        def up() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"serve ended with {self._process.returncode}:\n{self.log.read_text()[-3000:]}"
            states = self.health()
            return bool(states) and all(found["state"] == "up" for found in states.values())

        until(up, "every process is up", 90)

    def health(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.directory / "run/health.json").read_text())["processes"])
        except FileNotFoundError:
            return {}

    def kill(self, name: str) -> None:
        """kill -9 of one process; the supervisor starts it again."""
        os.kill(self.health()[name]["pid"], signal.SIGKILL)

    @contextmanager
    def still(self) -> Iterator[None]:
        """No process goes on meanwhile, so that a copy of the files is of one moment, as a stolen disk is."""
        pids = [found["pid"] for found in self.health().values()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(60) == 0, self.log.read_text()[-3000:]
            self._process = None

    def cli(self, *words: str, stdin: str = "") -> Any:
        """What a command answers with --json."""
        done = self.cli_raw(*words, "--json", stdin=stdin)
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return json.loads(done.stdout)

    def cli_raw(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "appliance", *words],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def studies(self) -> list[dict[str, Any]]:
        return list(self.cli("study", "list"))

    def wait_complete(self, count: int, seconds: float = 120) -> list[dict[str, Any]]:
        """Until so many studies are complete, none is still receiving, and nothing waits in the intake."""

        def complete() -> list[dict[str, Any]]:
            found = self.studies()
            done = all(study["state"] == "complete" for study in found) and not any((self.data / "intake/new").iterdir())
            return found if len(found) >= count and done else []

        return list(until(complete, f"{count} studies are complete", seconds, every=0.5))


@contextmanager
def running(directory: Path, **settings: object) -> Iterator[Running]:
    appliance = Running(directory, **settings)
    with appliance.on():
        yield appliance
