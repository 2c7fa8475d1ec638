"""Master keys that never leave an HSM (PKCS#11): AES-256 objects of one label, told apart by their CKA_ID, which is the tag.

A key is made in the token, sensitive and not extractable, for wrapping and unwrapping only. Nothing of it is ever in this process;
what it opens is. There is no way round the HSM: when it is gone, so are the keys, until it is back.
"""

import os
from collections.abc import Callable
from typing import Final, TypeVar

from pkcs11 import Attribute, KeyType, NoSuchKey, ObjectClass, Session

from ...domain.errors import Code, Problem
from ...log import log
from ...vault.keys import Context, WrongWrap, split
from .token import Handle, Refused, Token, kwp, kwp_open

T = TypeVar("T")

_TEMPLATE: Final = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
    Attribute.WRAP: True,
    Attribute.UNWRAP: True,
    Attribute.ENCRYPT: False,
    Attribute.DECRYPT: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
}


class Pkcs11Key:
    """A master key in a token."""

    def __init__(self, token: Token, label: str, tag: str) -> None:
        self.tag = tag
        self._token = token
        self._label = label

    def wrap(self, key: bytes, context: Context) -> bytes:
        plain = key + context.digest
        if len(plain) % 8:
            raise ValueError("not a multiple of 8 bytes")
        try:
            return self._token.use(lambda session: kwp(session, self._found(session), plain, self._token.mechanism))
        except Refused as refused:
            raise _missing(refused, self._token, self._label) or _refused() from refused

    def unwrap(self, wrapped: bytes, context: Context) -> bytes:
        try:
            plain = self._token.use(lambda session: kwp_open(self._found(session), wrapped, self._token.mechanism))
        except Refused as refused:
            raise _missing(refused, self._token, self._label) or WrongWrap() from refused
        return split(plain, context)

    def secret(self) -> bytes:
        raise Problem(Code.FORBIDDEN, "The master key never leaves the HSM. Back it up with the means of the HSM itself.")

    def _found(self, session: Session) -> Handle:
        return self._token.key(session, self._label, self.tag)


class Pkcs11:
    """The provider `pkcs11`."""

    name = "pkcs11"

    def __init__(self, token: Token, label: str) -> None:
        self._token = token
        self._label = label

    def tags(self) -> list[str]:
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.LABEL: self._label}
        return self._use(lambda session: sorted(bytes(key[Attribute.ID]).hex() for key in session.get_objects(wanted)))

    def open(self, tag: str) -> Pkcs11Key:
        return Pkcs11Key(self._token, self._label, tag)

    def add(self, announce: Callable[[str], None]) -> Pkcs11Key:
        tag = os.urandom(16).hex()
        announce(tag)
        self._use(
            lambda session: session.generate_key(KeyType.AES, 256, id=bytes.fromhex(tag), label=self._label, store=True, template=_TEMPLATE)
        )
        log.warning("NEW MASTER KEY MADE IN THE HSM. BACK UP THE HSM: without it nothing can ever be opened again", label=self._label)
        return self.open(tag)

    def forget(self, tag: str) -> None:
        self._use(lambda session: self._token.destroy(session, self._label, tag))

    def state(self) -> str:
        try:
            self.tags()
        except Problem as problem:
            return str(problem)
        return "ready"

    def close(self) -> None:
        self._token.close()

    def _use(self, action: Callable[[Session], T]) -> T:
        try:
            return self._token.use(action)
        except Refused as error:
            raise _refused() from error


def _missing(refused: Refused, token: Token, label: str) -> Problem | None:
    """The problem, if what the token refused was to find the key."""
    if not isinstance(refused.__cause__, NoSuchKey):
        return None
    return Problem(
        Code.UNAVAILABLE,
        "The token %(token)s has no master key %(label)s any more. Connect the token that has it.",
        token=token.label,
        label=label,
    )


def _refused() -> Problem:
    return Problem(
        Code.UNAVAILABLE, "The HSM refuses what is asked of it. Look into its own log; the key must be allowed to wrap and unwrap."
    )
