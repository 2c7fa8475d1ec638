"""A process's own memory: that nobody else looks into it, and that it is not swapped out where that is permitted. Linux.

What cannot be promised: Python copies bytes as it likes and wipes none, so a key lies in memory until its place is used again.
"""

import ctypes
import resource
from pathlib import Path
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # linux/prctl.h
_EVERYTHING: Final = 1 | 2 | 4  # sys/mman.h, MCL_CURRENT, MCL_FUTURE and MCL_ONFAULT: only pages in use, or each thread's stack would count


def protect() -> None:
    """No core file of this process, and no other process of its user may look into its memory (prctl(2)). Errors: OSError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError("the memory of this process cannot be protected")


def lock() -> None:
    """Keep all memory out of the swap space, if this process may lock as much as it likes: by its limit or by CAP_IPC_LOCK (mlock(2))."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    # Under a limit between nothing and everything it would succeed now and run dry in the middle.
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard if hard == resource.RLIM_INFINITY else 0, hard))
    ctypes.CDLL(None).mlockall(_EVERYTHING)


def locked() -> bool:
    """Whether the kernel says so (proc(5), VmLck)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmLck"].split()[0]) > 0
