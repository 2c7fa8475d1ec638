"""The cage: what files hold is read by workers that have nothing to lose and can reach nothing. Theirs is to die, nobody else's.

A pool of processes, each locked in by `confine`, each with one job at a time and a time limit. What they answer is checked like any
stranger's word. Safe to use from several threads.
"""

import json
import os
import queue
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from ..domain.commitment import Request
from ..domain.errors import Code, Problem
from ..domain.study import Described
from ..log import log
from . import commitment
from .facts import Pictures, from_json
from .pipe import Closed, Garbled, Late, Pipe
from .reasons import Reason
from .scan import Scan, Verdict, scan
from .worker import COMMITMENT, DESCRIBE, DONE, FAILED, PAGES, READY, RENDER

Read = Callable[[int, int], Iterable[bytes]]
"""The bytes of a file from start to stop, in pieces of any size."""

_START_SECONDS: Final = 60
_JOBS: Final = 500  # then a worker is replaced, so that whatever a file did to it does not last
_ANSWER_LIMITS: Final = {DESCRIBE: 256 << 10, RENDER: 8 << 20, PAGES: 64 << 20, COMMITMENT: 8 << 20}
_SIDE_LIMIT: Final = 1280


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no answer; why, for people."""

    reason: Reason


class Cage:
    """`workers` processes at most, started when first needed; each job may take `seconds` and `memory` bytes above an idle worker."""

    def __init__(self, *, workers: int = 2, memory: int = 1 << 30, seconds: int = 30) -> None:
        self._memory = memory
        self._seconds = seconds
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._counting = threading.Lock()
        self._counts = {"workers": workers, "started": 0, "jobs": 0, "failed": 0, "died": 0, "late": 0}
        self._held: dict[str, bool] = {}
        self._closed = False

    def describe(self, header: bytes) -> Described | Failed:
        """The facts of a file whose beginning, up to the pixel data, is `header` (`Scan.header`)."""
        answer = self._ask(DESCRIBE, [header])
        if isinstance(answer, Failed):
            return answer
        try:
            return from_json(Described, answer[0])
        except (ValueError, IndexError):
            return self._lied(DESCRIBE)

    def picture(self, scanned: Scan, read: Read, *, frame: int | None = None) -> Pictures | Failed:
        """Pictures of one frame, by default the middle one, of a scanned file; only the frame's own bytes are read."""
        if scanned.verdict is not Verdict.OK:
            return Failed(scanned.reason or Reason.UNREADABLE)
        if scanned.pixels is None:
            return Failed(Reason.NO_PICTURE)
        index = scanned.pixels.frames // 2 if frame is None else frame
        spans = scanned.frame(index)
        if not spans:
            return Failed(Reason.NO_DECODER)
        if sum(stop - start for start, stop in spans) > self._memory // 4:
            return Failed(Reason.TOO_LARGE)
        pixels = b"".join(piece for start, stop in spans for piece in read(start, stop))
        call = json.dumps({"keyword": scanned.pixels.keyword, "index": index}).encode()
        answer = self._ask(RENDER, [call, scanned.header, pixels])
        return answer if isinstance(answer, Failed) else _pictures(answer) or self._lied(RENDER)

    def render(self, file: bytes | Iterable[bytes], *, frame: int | None = None) -> Pictures | Failed:
        """The same for a file that has not been scanned and is held in memory."""
        data = bytearray()
        for piece in [file] if isinstance(file, bytes) else file:
            data += piece
            if len(data) > self._memory:
                return Failed(Reason.TOO_LARGE)
        whole = bytes(data)
        return self.picture(scan((whole,)), lambda start, stop: (whole[start:stop],), frame=frame)

    def pages(self, pdf: bytes) -> list[bytes] | Failed:
        """Pictures (WebP, about 110 dots per inch) of the first 50 pages of a PDF."""
        if len(pdf) > self._memory // 4:
            return Failed(Reason.TOO_LARGE)
        answer = self._ask(PAGES, [pdf])
        return answer if isinstance(answer, Failed) or (answer and all(map(_is_webp, answer))) else self._lied(PAGES)

    def commitment(self, file: bytes) -> Request | Failed:
        """What a storage commitment request asks for."""
        answer = self._ask(COMMITMENT, [file])
        if isinstance(answer, Failed):
            return answer
        try:
            return commitment.check(answer[0])
        except (ValueError, IndexError):
            return self._lied(COMMITMENT)

    def status(self) -> dict[str, Any]:
        """Counts since the start, and under `held` which limits the last started worker reported to hold (empty before the first)."""
        with self._counting:
            return {**self._counts, "held": dict(self._held)}

    def rest(self) -> None:
        """End the idle workers, which hold some 100 MB each. The next job starts one anew, in about a second."""
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._idle.get_nowait())
        for worker in idle:
            if worker:
                worker.end()
            self._idle.put(None)

    def close(self) -> None:
        """End all workers; those at work end with their job."""
        self._closed = True
        self.rest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _ask(self, kind: int, parts: Sequence[bytes]) -> list[bytes] | Failed:
        """A worker that dies may have been hurt by an earlier file: then a fresh one gets the job once more."""
        worker = self._idle.get()
        try:
            for _ in range(2):
                fresh = worker is None
                if worker is None:
                    worker = self._start()
                answer = self._ask_worker(worker, kind, parts)
                if not worker.alive or worker.jobs >= _JOBS:
                    worker.end()
                    worker = None
                if fresh or answer != Failed(Reason.DIED):
                    break
            return answer
        finally:
            if worker and self._closed:
                worker.end()
                worker = None
            self._idle.put(worker)

    def _ask_worker(self, worker: "_Worker", kind: int, parts: Sequence[bytes]) -> list[bytes] | Failed:
        self._count("jobs")
        try:
            status, answer = worker.ask(kind, parts, self._seconds)
        except Late:
            return self._lost("late", kind, Reason.TOO_LONG)
        except (Closed, Garbled):
            return self._lost("died", kind, Reason.DIED)
        if status == DONE:
            return answer
        self._count("failed")
        return Failed(_reason(answer))

    def _start(self) -> "_Worker":
        try:
            worker = _Worker(self._memory, self._seconds)
        except (OSError, ValueError, Closed, Late, Garbled) as error:
            log.error("cage worker did not start")
            raise Problem(Code.UNAVAILABLE, "Files cannot be read at the moment: their reader does not start.") from error
        self._count("started")
        with self._counting:
            self._held = worker.held
        return worker

    def _lied(self, kind: int) -> Failed:
        return self._lost("died", kind, Reason.UNREADABLE)

    def _lost(self, how: str, kind: int, reason: Reason) -> Failed:
        self._count(how)
        log.warning("cage worker lost", how=how, job=kind)
        return Failed(reason)

    def _count(self, what: str) -> None:
        with self._counting:
            self._counts[what] += 1


class _Worker:
    """One process. Raises OSError, ValueError, Closed, Late or Garbled when it does not come up."""

    def __init__(self, memory: int, seconds: int) -> None:
        self.jobs = 0
        self.alive = True
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "appliance.dicom.worker", str(memory), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            bufsize=0,
        )
        assert self._process.stdin and self._process.stdout  # noqa: S101  (they are pipes, see above)
        writes, reads = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(writes, False)
        os.set_blocking(reads, False)
        self._pipe = Pipe(reads, writes)
        try:
            self.held = self._hello()
        except (Closed, Late, Garbled, ValueError):
            self.end()
            raise

    def _hello(self) -> dict[str, bool]:
        kind, parts = self._pipe.receive(limit=4096, deadline=time.monotonic() + _START_SECONDS)
        held = json.loads(parts[0]) if kind == READY and parts else None
        if not isinstance(held, dict):
            raise Garbled
        return {str(name): value is True for name, value in held.items()}

    def ask(self, kind: int, parts: Sequence[bytes], seconds: int) -> tuple[int, list[bytes]]:
        self.jobs += 1
        deadline = time.monotonic() + seconds
        try:
            self._pipe.send(kind, parts, deadline=deadline)
            status, answer = self._pipe.receive(limit=_ANSWER_LIMITS[kind], deadline=deadline)
        except (Closed, Late, Garbled):
            self.end()
            raise
        if status not in (DONE, FAILED):
            self.end()
            raise Garbled
        return status, answer

    def end(self) -> None:
        self.alive = False
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()


def _reason(answer: list[bytes]) -> Reason:
    name = answer[0].decode("ascii", "replace") if answer else ""
    return Reason.__members__.get(name, Reason.UNREADABLE)


def _pictures(answer: list[bytes]) -> Pictures | None:
    """What a worker says are pictures; None if they are not."""
    try:
        size, thumb, large = answer
        width, height = json.loads(size)
    except (ValueError, TypeError):
        return None
    sound = all(type(side) is int and 1 <= side <= _SIDE_LIMIT for side in (width, height)) and _is_webp(thumb) and _is_webp(large)
    return Pictures(thumb, large, width, height) if sound else None


def _is_webp(data: bytes) -> bool:
    """A RIFF container of just this length (Google's WebP container specification)."""
    return len(data) > 20 and data[:4] == b"RIFF" and data[8:12] == b"WEBP" and struct.unpack_from("<I", data, 4)[0] + 8 == len(data)
