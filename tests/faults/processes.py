"""Real processes of an appliance, under the shim, in a directory of its own, started again when they died."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from running import free_port, listens, until

from appliance.disk.places import Places

from .shim import Shim


class Processes:
    """The named processes of the appliance below `root`. What they log is in `root`/log.txt."""

    def __init__(self, root: Path, shim: Shim, names: Sequence[str]) -> None:
        self.port = free_port()
        self.root = root
        Places(root / "data", root / "keys", root / "run").prepare(users=False)
        given = {
            "data_dir": root / "data",
            "key_dir": root / "keys",
            "run_dir": root / "run",
            "dicom_host": "127.0.0.1",
            "dicom_port": self.port,
            "quiet_seconds": 1,
            "clock_seconds": 1,
            "cage_workers": 1,
            "argon2_memory_kib": 8192,
        }
        self._environment = shim.environment({**os.environ, **{f"BILDBRIEF_{name.upper()}": str(value) for name, value in given.items()}})
        self._running = {name: self._start(name) for name in names}
        self.wait()

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        with (self.root / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "appliance.processes", name], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Until the receiver listens."""
        until(lambda: self.revive() or listens(self.port), "the receiver listens", 30, every=0.01)

    def revive(self) -> None:
        """Start again who is dead."""
        for name, process in self._running.items():
            if process.poll() is not None:
                self._running[name] = self._start(name)

    def alive(self) -> list[int]:
        """The numbers of all processes, and of theirs."""
        return [number for process in self._running.values() for number in (process.pid, *_children(process.pid))]

    def stop(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait(30)


def kill(number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(number, signal.SIGKILL)


def _children(number: int) -> list[int]:
    try:
        return [int(child) for task in Path(f"/proc/{number}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:  # gone meanwhile
        return []
