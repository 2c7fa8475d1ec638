"""What a receiver uses, with all the processes that it starts: processor time and memory, as proc(5) tells them."""

import os
import threading
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_EVERY: Final = 0.05  # seconds


def tree(root: int) -> list[int]:
    """A process and all its descendants that are there, by pid."""
    children = defaultdict(list)
    for pid in (int(path.name) for path in _PROC.iterdir() if path.name.isdigit()):
        if fields := _stat(pid):
            children[int(fields[1])].append(pid)
    found = [root]
    for pid in found:
        found.extend(children[pid])
    return found


def cpu(root: int) -> float:
    """Seconds of processor time, user and system, of a process, its descendants, and those of them that ended and were waited for."""
    return sum(sum(map(int, fields[11:15])) for pid in tree(root) if (fields := _stat(pid))) / _TICKS


def memory(root: int) -> int:
    """Bytes in memory of a process and its descendants; pages that several share count once (PSS), where we may see it."""
    return sum(_proportional(pid) for pid in tree(root))


class Watch:
    """Looks at the memory all the time; afterwards `peak` is the most that was seen, in bytes, and `seconds` of processor were used."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._before = cpu(self._root)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seconds = cpu(self._root) - self._before
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.peak = max(self.peak, memory(self._root))
            if self._stop.wait(_EVERY):
                return


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; none when the process is gone. The second may hold blanks and parentheses."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _proportional(pid: int) -> int:
    """PSS, or RSS of a process that may be looked into by root only."""
    for name, field in (("smaps_rollup", "\nPss:"), ("status", "\nVmRSS:")):
        try:
            return int((_PROC / str(pid) / name).read_text().partition(field)[2].split()[0]) * 1024
        except PermissionError:
            continue
        except (FileNotFoundError, ProcessLookupError, IndexError):
            break  # it is gone, or a zombie, which has no memory
    return 0
