"""The fuzzer's short form: what once failed, some hundred inputs as ever, and as many that nobody tried before."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from types import ModuleType

import pytest
from fuzzer import Found, Fuzzer, Stuck

HERE = Path(__file__).parent
INPUTS = {"associations": 400, "prescans": 1000}
FIXED = 20_260_101


@pytest.mark.parametrize("target", INPUTS)
@pytest.mark.parametrize("seed", [FIXED, None])
def test_nothing_is_found(target: str, seed: int | None) -> None:
    seed = SystemRandom().randrange(1 << 32) if seed is None else seed
    command = [sys.executable, HERE, target, str(seed), str(INPUTS[target])]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"seed {seed}: {done.stdout}"


# -- the fuzzer itself -------------------------------------------------------------------------------------------------


def maze(data: bytes) -> None:
    """Five doors behind each other."""
    if data[:1] != b"\xff":
        return
    if data[1:2] != b"\0":
        return
    if data[2:3] != b"\x80":
        return
    if data[3:4] != b"\x01":
        return
    if data[4:5] == b"\x7f":
        raise ValueError


def spin(data: bytes) -> None:
    """A careless handler around a loop without end."""
    while data:
        with suppress(Exception):
            while True:
                pass


class Toy:
    def __init__(self, run: Callable[[bytes], None]) -> None:
        self.modules: tuple[ModuleType, ...] = (sys.modules[__name__],)
        self.run = run

    def seeds(self) -> list[bytes]:
        return [bytes(8)]

    def split(self, data: bytes) -> list[bytes]:
        return [data[:4], data[4:]]

    def fit(self, piece: bytes) -> bytes:
        return piece

    def check(self) -> None:
        pass


def test_it_finds_what_chance_alone_would_not(tmp_path: Path) -> None:
    """One in 2 ** 40 random inputs passes all five doors; coverage leads from one to the next."""
    with pytest.raises(Found) as found:
        Fuzzer(Toy(maze), 1, tmp_path).run(100_000)
    (kept,) = tmp_path.iterdir()
    assert str(found.value) == str(kept)
    assert kept.read_bytes()[:5] == b"\xff\0\x80\x01\x7f"


def test_it_ends_what_does_not_end(tmp_path: Path) -> None:
    with pytest.raises(Found) as found:
        Fuzzer(Toy(spin), 1, tmp_path).run(1000)
    assert isinstance(found.value.__cause__, Stuck)


def test_the_same_seed_makes_the_same_inputs(tmp_path: Path) -> None:
    tried: list[list[bytes]] = [[], []]
    for inputs in tried:
        Fuzzer(Toy(inputs.append), 7, tmp_path).run(500)
    assert tried[0] == tried[1]
    assert len(set(tried[0])) > 100
