"""SoftHSM, the HSM that needs no hardware: a token in a directory of its own, as an administrator sets one up."""

import os
import subprocess
from pathlib import Path

from programs import need, which

from appliance.keyholder.master.pkcs11 import Pkcs11
from appliance.keyholder.master.token import LIMIT, Token

PIN = "4711-praxis"
LABEL = "praxis"


class SoftHsm:
    """One token. SoftHSM reads its configuration from the environment of the process that loads it."""

    def __init__(self, directory: Path) -> None:
        need("softhsm2-util")
        self.tokens = directory / "tokens"
        self.tokens.mkdir(parents=True)
        self.conf = directory / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {self.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
        subprocess.run(
            [which("softhsm2-util"), "--init-token", "--free", "--label", LABEL, "--so-pin", "so-pin-0815", "--pin", PIN],
            env=os.environ | {"SOFTHSM2_CONF": str(self.conf)},
            check=True,
            capture_output=True,
        )
        self.module = str(next(path for path in Path("/usr/lib").rglob("libsofthsm2.so")))

    @property
    def settings(self) -> dict[str, str]:
        """What the appliance is told of it."""
        return {"pkcs11_module": self.module, "pkcs11_token": LABEL, "pkcs11_pin": PIN}

    def provider(self, *, pin: str = PIN, token: str = LABEL, module: str | None = None, limit: float = LIMIT) -> Pkcs11:
        return Pkcs11(Token(module or self.module, token, pin, limit), "bildbrief")

    def take_away(self) -> None:
        self.tokens.rename(self.tokens.with_name("drawer"))

    def bring_back(self) -> None:
        self.tokens.with_name("drawer").rename(self.tokens)
