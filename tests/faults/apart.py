"""Work done in a process of its own, which may die of it. The calling process must have a single thread."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any


class Killed(Exception):  # noqa: N818
    """It was killed before it was done."""


class Child:
    """Runs `work` from the moment it is made."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._answer, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._answer)
            _do(work, write)
        os.close(write)

    def result(self) -> Any:
        """What `work` returned. Killed, or AssertionError with the trace of what it raised."""
        with os.fdopen(self._answer, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(self._pid, 0)
        if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
            raise Killed
        done, result = pickle.loads(answer)  # noqa: S301 (from our own child)
        assert done, result
        return result


def apart(work: Callable[[], Any]) -> Any:
    """`Child(work).result()`."""
    return Child(work).result()


def _do(work: Callable[[], Any], write: int) -> None:
    try:
        answer = True, work()
    except BaseException:  # noqa: BLE001 (the parent is told)
        answer = False, traceback.format_exc()
    with os.fdopen(write, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(0)
