"""What the figures depend on besides the programs: the machine, and what it costs there to make a file durable."""

import os
import platform
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_IN_MEMORY: Final = {"tmpfs", "ramfs"}
_FILES: Final = 50
_SIZE: Final = 512 << 10  # bytes


def file_system(directory: Path) -> str:
    """The type of the file system that a directory is on (proc(5), mountinfo)."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[2] == wanted:
            return line.partition(" - ")[2].split()[0]
    return "unknown"


def in_memory(directory: Path) -> bool:
    """Whether files there are on no disk."""
    return file_system(directory) in _IN_MEMORY


def described(directory: Path) -> dict[str, str]:
    """The machine as a table of two columns."""
    cpu = Path("/proc/cpuinfo").read_text()
    model = match.group(1) if (match := re.search(r"model name\s*:\s*(.*)", cpu)) else platform.machine()
    synced, entered = _durable(directory)
    return {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "file system": file_system(directory),
        "a 512 KiB file made durable": f"{synced:.1f} ms for fdatasync, {entered:.1f} ms for its directory's fsync",
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _durable(directory: Path) -> tuple[float, float]:
    """Milliseconds, medians: to fdatasync a new file, and to fsync its directory after a rename."""
    place = directory / "durable"
    place.mkdir()
    content = os.urandom(_SIZE)
    synced, entered = [], []
    above = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    for number in range(_FILES):
        with (place / "part").open("wb", buffering=0) as file:
            file.write(content)
            synced.append(_milliseconds(os.fdatasync, file.fileno()))
        (place / "part").rename(place / str(number))
        entered.append(_milliseconds(os.fsync, above))
    os.close(above)
    return statistics.median(synced), statistics.median(entered)


def _milliseconds(call: Callable[[int], object], descriptor: int) -> float:
    before = time.perf_counter()
    call(descriptor)
    return (time.perf_counter() - before) * 1000
