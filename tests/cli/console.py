"""Somebody at a terminal."""

import os
import subprocess
import sys

from stack import Stack


class Operator:
    """Types commands for the appliance of a stack. `settings` are those of `bildbrief` besides its directories."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.keys = stack.places.keys
        self.root = self.keys.parent
        self.settings: dict[str, object] = {"data_dir": stack.places.data, "key_dir": self.keys, "run_dir": stack.places.run}
        self.said = ""

    def types(self, *words: str, stdin: bytes = b"", status: int = 0) -> bytes:
        """What `bildbrief keys …` prints; at a refusal, what it says. `said`: what it says beside."""
        done = subprocess.run(
            [sys.executable, "-m", "appliance", "keys", *words],
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": ":".join(sys.path),
                "SOFTHSM2_CONF": os.environ.get("SOFTHSM2_CONF", ""),
                **{f"BILDBRIEF_{name.upper()}": str(value) for name, value in self.settings.items()},
            },
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        self.said = done.stderr.decode()
        return done.stderr if status else done.stdout
