"""Replaces a master key again and again, and ends each time before another line of the appliance's code, as by `kill -9`.

Prints how many lines a replacement executes. Each try begins by opening everything, after the kill before it.
`python killing.py file|pkcs11 DIRECTORY STRIDE`: from the first line on, every so many.
"""

import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import appliance
from appliance.keyholder.master import Files, Provider
from appliance.keyholder.ring import Ring
from appliance.keyholder.rotation import move

sys.path.insert(0, str(Path(__file__).parents[1]))

from hsm import SoftHsm
from keyhouse import Keys

OURS = str(Path(appliance.__file__).parent)
KILLED = 137


class Killer:
    """Counts lines once it is armed, and ends the process before number `at`."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.lines = 0
        self.armed = False

    def __call__(self, frame: FrameType, event: str, _: Any) -> "Killer | None":
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if event == "line" and self.armed:
            self.lines += 1
            if self.lines == self.at:
                os._exit(KILLED)
        return self


def replace(keys: Keys, killer: Killer) -> None:
    threading.settrace(killer)  # the HSM is asked by a thread of its own
    sys.settrace(killer)
    with Ring.opened(keys.directory, keys.clock, keys.provider()) as ring:
        killer.armed = True
        move(ring, ring.provider)
        killer.armed = False


def in_a_process_of_its_own(keys: Keys, at: int) -> int | None:
    """How many lines it took; None if it was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        keys.everything_opens()
        killer = Killer(at)
        replace(keys, killer)
        sys.settrace(None)
        os.write(writing, b"%d" % killer.lines)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, KILLED), f"before line {at}: status {status}"
    return int(said) if said else None


def main(name: str, directory: Path, stride: int) -> None:
    def provider(keys: Path) -> Provider:
        return Files(keys) if name == "file" else soft.provider()

    if name != "file":
        soft = SoftHsm(directory / "hsm")
        os.environ["SOFTHSM2_CONF"] = str(soft.conf)
    keys = Keys(directory, provider)
    lines = in_a_process_of_its_own(keys, 0)
    assert lines is not None
    for at in range(1, lines + 1, stride):
        assert in_a_process_of_its_own(keys, at) is None, f"line {at} was never reached"
    keys.everything_opens()
    print(lines)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
