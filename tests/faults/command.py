"""`scripts/faults` as the tests start it."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def faults(*words: str) -> subprocess.CompletedProcess[str]:
    """With standard output and standard error in one."""
    paths = [TESTS, TESTS / "receiver", TESTS / "e2e", *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "faults", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
