"""The supervisor: starts every process under its own user, starts a dead one again, stops all of them together.

Each process says that it is ready by closing in on a pipe of its own; a line is printed for each, and the state is kept in
`run/health.json` for `bildbrief health` and the container's health check.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .config import PREFIX
from .disk.files import replace_file
from .disk.places import spawn_as
from .log import log
from .processes import READY_FD

PROCESSES: Final = ("keyholder", "ingester", "receiver", "desk", "portal", "clock")
"""In the order of starting: those who answer before those who ask."""

_STOPPING: Final = ("receiver", "portal", "desk", "clock", "ingester", "keyholder")
"""In the order of stopping: those who take in first, the keyholder last."""

_SECRETS: Final = {
    f"{PREFIX}MIRROR_ACCESS_KEY": "clock",
    f"{PREFIX}MIRROR_SECRET_KEY": "clock",
    f"{PREFIX}KEY_PASSPHRASE": "keyholder",
    f"{PREFIX}PKCS11_PIN": "keyholder",
}
_BACK_OFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0)
_SETTLED: Final = 10.0  # seconds up after which a death counts as the first again
_PATIENCE: Final = 25.0  # seconds a process may take to stop


@dataclass(slots=True)
class Child:
    """One supervised process."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    pipe: int | None = None
    started: float = 0.0
    restarts: int = 0
    failures: int = 0
    due: float = field(default=0.0)

    @property
    def state(self) -> str:
        if self.process is None:
            return "down"
        return "up" if self.ready else "starting"


class Supervisor:
    """Runs until told to stop. `environment` is what the processes get, less the secrets that are not theirs."""

    def __init__(
        self, health_file: Path, environment: Mapping[str, str], lines: Mapping[str, str], names: Collection[str] = PROCESSES
    ) -> None:
        self._health_file = health_file
        self._environment = dict(environment)
        self._lines = lines
        self._children = [Child(name) for name in PROCESSES if name in names]
        self._selector = selectors.DefaultSelector()
        self._stopping = False

    def run(self) -> None:
        """Start everything and watch it, until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        while not self._stopping:
            now = time.monotonic()
            for child in self._children:
                self._reap(child, now)
                if child.process is None and now >= child.due and not self._stopping:
                    self._start(child, now)
            for key, _ in self._selector.select(timeout=0.2):
                self._heard(key.data)
        self._stop_all()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self, child: Child, now: float) -> None:
        reading, writing = os.pipe()
        environment = {name: value for name, value in self._environment.items() if _may_have(child.name, name)}
        environment[READY_FD] = str(writing)
        child.process = subprocess.Popen(
            [sys.executable, "-m", "appliance.processes", child.name],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(writing,),
            **spawn_as(child.name),
        )
        os.close(writing)
        child.pipe, child.started, child.ready = reading, now, False
        self._selector.register(reading, selectors.EVENT_READ, child)
        self._write_health()

    def _heard(self, child: Child) -> None:
        """A byte: it is ready. The end of the pipe without one: it died before."""
        said = os.read(child.pipe, 1) if child.pipe is not None else b""
        self._let_go(child)
        if said:
            child.ready = True
            print(f"{child.name:<10} up    {self._lines.get(child.name, '')}".rstrip(), flush=True)
            self._write_health()

    def _let_go(self, child: Child) -> None:
        if child.pipe is not None:
            self._selector.unregister(child.pipe)
            os.close(child.pipe)
            child.pipe = None

    def _reap(self, child: Child, now: float) -> None:
        if child.process is None or child.process.poll() is None:
            return
        status = child.process.returncode
        if now - child.started > _SETTLED:
            child.failures = 0
        wait = _BACK_OFF[min(child.failures, len(_BACK_OFF) - 1)]
        child.failures += 1
        child.restarts += 1
        child.process, child.ready, child.due = None, False, now + wait
        self._let_go(child)
        log.error("process died", name=child.name, status=status, again_in=wait)
        print(f"{child.name:<10} down  ended with {status}, started again in {wait:g} s", flush=True)
        self._write_health()

    def _stop_all(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        for child in sorted(self._children, key=lambda child: _STOPPING.index(child.name)):
            if child.process is None:
                continue
            child.process.terminate()
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("process had to be killed", name=child.name)
                child.process.kill()
                child.process.wait()
            child.process = None
        self._health_file.unlink(missing_ok=True)

    def _write_health(self) -> None:
        processes = {
            child.name: {"state": child.state, "pid": child.process.pid if child.process else None, "restarts": child.restarts}
            for child in self._children
        }
        replace_file(self._health_file, json.dumps({"supervisor": os.getpid(), "processes": processes}).encode())


def _may_have(process: str, variable: str) -> bool:
    owner = _SECRETS.get(variable.removesuffix("_FILE"))
    return owner is None or owner == process


def health(health_file: Path) -> dict[str, str]:
    """The state of each process, as the running supervisor last wrote it; every one down when none runs."""
    try:
        content = json.loads(health_file.read_text())
        Path(f"/proc/{content['supervisor']}").stat()
    except (OSError, ValueError, KeyError):
        return dict.fromkeys(PROCESSES, "down")
    return {name: str(found["state"]) for name, found in content["processes"].items()}
