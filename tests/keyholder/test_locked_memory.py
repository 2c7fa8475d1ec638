"""A process's memory: locked where that is permitted without limit, and never half locked."""

import os
import shutil
import subprocess
import sys

import pytest

LOOK = """
import resource, sys, threading
from appliance import memory
memory.protect()
memory.lock()
threads = [threading.Thread(target=bytes, args=(64 << 20,)) for _ in range(4)]  # stacks, and what Argon2id takes
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(memory.locked(), resource.getrlimit(resource.RLIMIT_CORE))
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root has powers to give away")


def look(*prefix: str) -> str:
    return subprocess.run([*prefix, sys.executable, "-c", LOOK], check=True, capture_output=True, text=True).stdout


@needs_root
def test_memory_is_locked_where_that_is_permitted() -> None:
    assert look() == "True (0, 0)\n"


@needs_root
@pytest.mark.parametrize("limit", [0, 1 << 20, 8 << 20])
def test_memory_under_a_limit_stays_as_it_is(limit: int) -> None:
    lowered = ["sh", "-c", f'ulimit -l {limit >> 10} && exec "$@"', "sh"]
    assert look("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", *lowered) == "False (0, 0)\n"
