"""Nothing that was acknowledged is lost, whatever dies or fails. `SEED=… scripts/test tests/faults` repeats what was random."""

import os
import re
import secrets

import pytest
from programs import need

from .command import faults
from .mutants import MUTANTS, Mutant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RANDOM = ("random-kills", "random-cuts", "load")
PARTS = ("kills", "errors", "short-writes", "cuts", "receiver-kills", "receiver-errors", "receiver-cuts", *RANDOM)
FIXED = 20260102
FRESH = int(os.environ.get("SEED", secrets.randbelow(1 << 32)))


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    need("cc")


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_lost(part: str) -> None:
    done = faults(part, "--seed", f"{FIXED}")
    assert done.returncode == 0, done.stdout[-5000:]
    points = re.search(rf"^{part}: (\d+) points, 0 findings", done.stdout, re.MULTILINE)
    assert points is not None, done.stdout[-5000:]
    assert int(points[1]) >= 8


@pytest.mark.parametrize("part", RANDOM)
def test_nothing_is_lost_this_time(part: str) -> None:
    done = faults(part, "--seed", f"{FRESH}")
    assert done.returncode == 0, f"SEED={FRESH}\n{done.stdout[-5000:]}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.mutate.__name__)
def test_a_safeguard_left_out_is_noticed(mutant: Mutant) -> None:
    done = faults(mutant.part, "--mutant", mutant.mutate.__name__, "--seed", f"{FIXED}")
    assert done.returncode == 1, done.stdout[-5000:]
    assert re.search(rf"^  .*{re.escape(mutant.sentence)}", done.stdout, re.MULTILINE), done.stdout[-5000:]
