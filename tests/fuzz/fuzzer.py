"""A small coverage-guided fuzzer: what makes the target go where nothing went before is varied on.

The same seed makes the same inputs. What fails is kept as a file; put into `tests/fuzz/seeds/` it is tried every time.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from types import CodeType, FrameType, ModuleType
from typing import Any, Protocol

STEPS = 2_000_000  # lines of the target for one input; honest ones take some thousands
MOST = 32 << 10  # bytes of an input
TELLING = (b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\0\0\0\1", b"\xff\xff\xff\xff", b"\xfe\xff\0\xe0")


class Target(Protocol):
    """What is tried. `run` raises whatever shows a fault; `check` sees, untraced, that all is well afterwards."""

    modules: Sequence[ModuleType]

    def seeds(self) -> Iterable[bytes]: ...
    def split(self, data: bytes) -> list[bytes]: ...
    def fit(self, piece: bytes) -> bytes: ...
    def run(self, data: bytes) -> None: ...
    def check(self) -> None: ...


class Stuck(BaseException):
    """An input that makes its target take more steps than any may. No handler of the target catches it."""


class Found(Exception):  # noqa: N818 (that is what a fuzzer is for)
    """An input that shows a fault; the file it is kept in."""


class Coverage:
    """While entered: which line followed which in some modules. `new` tells how many such steps were seen for the first time."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        self._files = {module.__file__ for module in modules}
        self.seen: set[tuple[CodeType, int, int]] = set()

    def __enter__(self) -> None:
        self._before, self._steps = len(self.seen), 0
        sys.settrace(self._enter_function)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    @property
    def new(self) -> int:
        return len(self.seen) - self._before

    def _enter_function(self, frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if code.co_filename not in self._files:
            return None
        last = 0

        def step(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "line":
                self.seen.add((code, last, frame.f_lineno))
                last = frame.f_lineno
                self._steps += 1
                if self._steps > STEPS:
                    raise Stuck
            return step

        return step


class Fuzzer:
    def __init__(self, target: Target, seed: int, failures: Path) -> None:
        self._target = target
        self._random = Random(seed)
        self._failures = failures
        self.coverage = Coverage(target.modules)
        self.corpus = list(target.seeds())
        for data in self.corpus:
            self.attempt(data)

    def run(self, inputs: int) -> None:
        """Try so many inputs. Raises Found."""
        for _ in range(inputs):
            data = self._variation()
            self.attempt(data)
            if self.coverage.new:
                self.corpus.append(data)

    def attempt(self, data: bytes) -> None:
        """Try one input. Raises Found."""
        try:
            with self.coverage:
                self._target.run(data)
            self._target.check()
        except (Exception, Stuck) as fault:
            path = self._failures / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            raise Found(path) from fault

    def _variation(self) -> bytes:
        random, target = self._random, self._target
        recent = self.corpus[-20:] if random.random() < 0.5 else self.corpus
        pieces, others = target.split(random.choice(recent)), target.split(random.choice(self.corpus))
        for _ in range(1 << random.randrange(4)):
            at = random.randrange(len(pieces) + 1)
            match random.randrange(6):
                case 0:
                    pieces.insert(at, random.choice(others or [b""]))
                case 1:
                    pieces[at:at] = pieces[at : at + 3]
                case 2:
                    del pieces[at : at + 1]
                case 3:
                    pieces[at : at + 2] = reversed(pieces[at : at + 2])
                case _:
                    pieces[at : at + 1] = [self._altered(piece) for piece in pieces[at : at + 1]]
        return b"".join(pieces)[:MOST]

    def _altered(self, piece: bytes) -> bytes:
        random = self._random
        at = random.randrange(len(piece) + 1)
        telling = random.choice(TELLING)
        match random.randrange(5):
            case 0:
                piece = piece[:at] + telling + piece[at + len(telling) :]
            case 1:
                piece = piece[:at] + bytes([random.randrange(256)]) + piece[at + 1 :]
            case 2:
                piece = piece[:at] + telling * random.randrange(1, 200) + piece[at:]
            case 3:
                piece = piece[:at] + piece[at + random.randrange(1, 20) :]
            case 4:
                piece = piece[:at]
        return self._target.fit(piece) if random.random() < 0.7 else piece
