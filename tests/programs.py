"""Programs of the system that tests use."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]

PATH = os.defpath + os.pathsep + os.environ.get("PATH", "")
"""The system's programs first: pynetdicom brings a `storescu` of its own, and the tests want somebody else's."""


def need(*programs: str) -> None:
    """Have these programs, installed now if need be. Without them: a failure for root, who could have them, else a skip with the reason."""

    def missing() -> str:
        return ", ".join(program for program in programs if shutil.which(program, path=PATH) is None)

    if missing():
        subprocess.run([TOP / "scripts/setup"], check=False)
    if missing():
        message = f"Programs are missing that scripts/setup could not install: {missing()}."
        if os.geteuid() == 0:
            pytest.fail(message)
        pytest.skip(message)


def which(program: str) -> str:
    """Where a program is, installed now if need be."""
    need(program)
    return shutil.which(program, path=PATH) or program
