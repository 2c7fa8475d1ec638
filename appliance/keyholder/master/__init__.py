"""The master key: under it lies everything that the ring holds. A provider keeps it: files on the key volume, or an HSM.

Wrapped bytes are the same whoever wraps (`docs/format.md`, "Keys"). A provider may hold two keys while one is replaced by the
other; the ring says which one it is under (`appliance.keyholder.ring`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from ...domain.errors import Code, Problem
from ...vault.keys import Context
from .file import FileKey, Files
from .pin import WrongPin

if TYPE_CHECKING:
    from ...config import Config

__all__ = ["PROVIDERS", "FileKey", "Files", "MasterKey", "Provider", "WrongPin", "provider_of"]

PROVIDERS: Final = ("file", "pkcs11")


class MasterKey(Protocol):
    """Wraps epoch keys, share keys, intake keys and the ring's own secrets, and opens them again (AES-256-KWP with a context)."""

    @property
    def tag(self) -> str:
        """Which key it is: 32 hexadecimal digits that tell nothing of it."""
        ...

    def wrap(self, key: bytes, context: Context) -> bytes:
        """`key`: a multiple of 8 bytes; not every HSM fills up other lengths as RFC 5649 says. Errors: Problem UNAVAILABLE."""
        ...

    def unwrap(self, wrapped: bytes, context: Context) -> bytes:
        """Errors: WrongWrap; Problem UNAVAILABLE."""
        ...

    def secret(self) -> bytes:
        """The key itself, 32 bytes, for recovery shares and nothing else. Errors: Problem FORBIDDEN where it cannot be had."""
        ...


class Provider(Protocol):
    """Where master keys are kept. One process at a time uses it. Every method's errors: Problem, with what to do."""

    @property
    def name(self) -> str: ...

    def tags(self) -> list[str]:
        """Which keys there are."""
        ...

    def open(self, tag: str) -> MasterKey:
        """The key with this tag, which is there."""
        ...

    def add(self, announce: Callable[[str], None]) -> MasterKey:
        """Make a key beside those there; durable on return. `announce` is told its tag before it exists, so that none is ever lost."""
        ...

    def forget(self, tag: str) -> None:
        """Destroy the key with this tag. Repeatable."""
        ...

    def state(self) -> str:
        """`ready`, or what is wrong, as a sentence."""
        ...

    def close(self) -> None: ...


def provider_of(config: "Config", key_dir: Path, name: str | None = None) -> Provider:
    """The provider that the configuration chooses, or the one called `name`. Nothing is opened yet.

    Errors: Problem INVALID for an HSM of which not all is known: asked with an empty PIN, its token would count a wrong one.
    """
    if (name or config.key_provider) == "file":
        return Files(key_dir, config.key_passphrase)
    module, token, pin = config.pkcs11_module, config.pkcs11_token, config.pkcs11_pin
    if not (module and token and pin):
        raise Problem(
            Code.INVALID, "The HSM needs BILDBRIEF_PKCS11_MODULE, BILDBRIEF_PKCS11_TOKEN and BILDBRIEF_PKCS11_PIN_FILE. Set all three."
        )
    from .pkcs11 import Pkcs11  # here: a keyholder with a key file loads no code of HSMs
    from .token import Token

    return Pkcs11(Token(module, token, pin), config.pkcs11_key)
