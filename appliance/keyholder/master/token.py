"""A token of PKCS#11, used by one thread in one session, with a limit of time for each use and no more than one way back.

The library is initialised without locking, so one thread of ours makes every call; whoever asks waits for it, but not for ever. A
call into the library cannot be broken off: while one is late, everybody else is told so at once instead of queueing behind it.
A session that is lost is opened anew once. A wrong PIN is never tried again by this process: the next tries would lock the token.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

import pkcs11
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, Session
from pkcs11.exceptions import NoSuchKey, PinIncorrect, PinInvalid, PinLenRange, PinLocked, PKCS11Error

from ...domain.errors import Code, Problem
from ...log import log
from .pin import WrongPin

T = TypeVar("T")
Handle = Any  # a key in the token: the library puts its methods together as the token allows

LIMIT: Final = 5.0  # seconds for one use of the token
MECHANISMS: Final = (Mechanism.AES_KEY_WRAP_KWP, Mechanism.AES_KEY_WRAP_PAD)
"""AES-KWP by its name in PKCS#11 3.0, and by the one some call it by; elsewhere the second is another padding, which the test finds."""

OPEN: Final = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False, Attribute.TOKEN: False}
"""What passes through: an object of this session whose bytes may be read."""


class Refused(Exception):  # noqa: N818  (the token's answer, not its failure)
    """The token is there and well, and will not do this."""


class Token:
    """The token with this label. Nothing is loaded before the first use."""

    def __init__(self, module: str, label: str, pin: str, limit: float = LIMIT) -> None:
        self.label = label
        self.mechanism = MECHANISMS[0]
        self._module = module
        self._pin = pin
        self._limit = limit
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pkcs11")
        self._late: Future[Any] | None = None
        self._library: Any = None
        self._session: Session | None = None
        self._keys: dict[str, Handle] = {}
        self._pin_was_wrong = False
        self._closed = False

    def use(self, action: Callable[[Session], T]) -> T:
        """What `action` returns; it may be called twice, for a session that was lost before it did anything.

        Errors: Refused; Problem UNAVAILABLE for a token that is absent, lost or late; WrongPin.
        """
        if self._late is not None and not self._late.done():
            raise _late()
        asked = self._worker.submit(self._try, action)
        try:
            return asked.result(self._limit)
        except TimeoutError:
            if not asked.cancel():
                self._late = asked
            log.error("hsm is late", seconds=self._limit)
            raise _late() from None

    def close(self) -> None:
        """Repeatable. A call that is late is left behind."""
        stuck = self._late is not None and not self._late.done()
        if not stuck and not self._closed:
            self._worker.submit(self._drop).result()
        self._closed = True
        self._worker.shutdown(wait=not stuck, cancel_futures=True)

    # -- in the worker's thread --------------------------------------------------------------------------------------

    def key(self, session: Session, label: str, tag: str) -> Handle:
        """The key with this label and CKA_ID. Errors: NoSuchKey."""
        if tag not in self._keys:
            self._keys[tag] = session.get_key(ObjectClass.SECRET_KEY, KeyType.AES, label=label, id=bytes.fromhex(tag))
        return self._keys[tag]

    def destroy(self, session: Session, label: str, tag: str) -> None:
        """Destroy that key. Repeatable."""
        with suppress(NoSuchKey):
            self.key(session, label, tag).destroy()
        self._keys.pop(tag, None)

    def _try(self, action: Callable[[Session], T]) -> T:
        while True:
            fresh = self._session is None
            session = self._session or self._open()
            try:
                return action(session)
            except PKCS11Error as error:
                if fresh or self._is_well():
                    raise Refused from error
                log.error("hsm session lost", error=type(error).__name__)
                self._drop()

    def _open(self) -> Session:
        if self._pin_was_wrong:
            raise WrongPin
        try:
            self._library = pkcs11.lib(self._module)
            token = self._library.get_token(token_label=self.label)
            session: Session = token.open(rw=True, user_pin=self._pin)
            self.mechanism = _fitting(session, token.slot.get_mechanisms())
        except (PinIncorrect, PinInvalid, PinLenRange, PinLocked):
            self._pin_was_wrong = True
            self._drop()
            raise WrongPin from None
        except (PKCS11Error, Problem) as error:
            self._drop()
            if isinstance(error, Problem):
                raise
            log.error("hsm does not open", error=type(error).__name__)
            if type(error) is not PKCS11Error:  # which, without a kind of its own, is a library that could not be loaded
                raise _absent() from error
            raise Problem(
                Code.UNAVAILABLE,
                "The module %(module)s cannot be loaded. Mount your HSM's PKCS#11 library, and name it in BILDBRIEF_PKCS11_MODULE.",
                module=self._module,
            ) from error
        self._session = session
        return session

    def _drop(self) -> None:
        """Let go of everything, so that the next use begins anew: some modules see a token that came back only then."""
        self._session = None
        self._keys.clear()
        if self._library is not None:
            with suppress(PKCS11Error):
                self._library.finalize()

    def _is_well(self) -> bool:
        """Whether what was found in the token is still there."""
        try:
            return bool(self._keys) and all(key[Attribute.ID] for key in self._keys.values())
        except PKCS11Error:
            return False


def passing(session: Session, value: bytes) -> Handle:
    """An object of this session with these bytes; C_WrapKey takes nothing else. The caller destroys it."""
    template = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.GENERIC_SECRET, Attribute.VALUE: value, **OPEN}
    return session.create_object(template)


def kwp(session: Session, kek: Handle, plain: bytes, mechanism: Mechanism) -> bytes:
    """AES-KWP in the token. `plain`: a multiple of 8 bytes. Errors: PKCS11Error."""
    carrier = passing(session, plain)
    try:
        return bytes(kek.wrap_key(carrier, mechanism=mechanism))
    finally:
        with suppress(PKCS11Error):
            carrier.destroy()


def kwp_open(kek: Handle, wrapped: bytes, mechanism: Mechanism) -> bytes:
    """The plain bytes. Errors: PKCS11Error."""
    carrier = kek.unwrap_key(ObjectClass.SECRET_KEY, KeyType.GENERIC_SECRET, wrapped, mechanism=mechanism, store=False, template={**OPEN})
    try:
        return bytes(carrier[Attribute.VALUE])
    finally:
        with suppress(PKCS11Error):
            carrier.destroy()


# RFC 5649, 6: 20 octets of key data with a 192-bit KEK.
_KEK: Final = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
_KEY: Final = bytes.fromhex("c37b7e6492584340bed12207808941155068f738")
_WRAPPED: Final = bytes.fromhex("138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a")


def _fitting(session: Session, offered: set[Any]) -> Mechanism:
    """The mechanism by which this token does what RFC 5649 says. Errors: Problem UNAVAILABLE if it has none."""
    for mechanism in MECHANISMS:
        if mechanism in offered and _is_right(session, mechanism):
            return mechanism
    raise Problem(
        Code.UNAVAILABLE,
        "This HSM does not wrap keys as RFC 5649 says (CKM_AES_KEY_WRAP_KWP). It cannot hold the master key; use another or a key file.",
    )


def _is_right(session: Session, mechanism: Mechanism) -> bool:
    """The RFC's vector opens and an altered one does not; and what this token wraps is what software wraps.

    The vector is only opened: SoftHSM 2.6 fills up its 20 bytes with zeros before it wraps them, and then does it right.
    A token that takes no key from outside makes one that may be read; it is compared with software alone.
    """
    plain = os.urandom(64)
    try:
        with suppress(PKCS11Error):
            kek = _throwaway(session, _KEK)
            if kwp_open(kek, _WRAPPED, mechanism) != _KEY or _opens(kek, _WRAPPED[:-1] + b"\x6b", mechanism):
                return False
        kek = _throwaway(session, None)
        wrapped = kwp(session, kek, plain, mechanism)
        return wrapped == aes_key_wrap_with_padding(bytes(kek[Attribute.VALUE]), plain) and kwp_open(kek, wrapped, mechanism) == plain
    except PKCS11Error:
        return False


def _throwaway(session: Session, value: bytes | None) -> Handle:
    """A wrapping key of this session only: this one, or one that the token makes."""
    uses = {Attribute.WRAP: True, Attribute.UNWRAP: True, **OPEN}
    if value is None:
        return session.generate_key(KeyType.AES, 256, store=False, template=uses)
    return session.create_object({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.VALUE: value, **uses})


def _opens(kek: Handle, wrapped: bytes, mechanism: Mechanism) -> bool:
    try:
        kwp_open(kek, wrapped, mechanism)
    except PKCS11Error:
        return False
    return True


def _absent() -> Problem:
    return Problem(
        Code.UNAVAILABLE,
        "The HSM does not answer, or its token is not there. Connect it; what waits goes on by itself. Images are received meanwhile.",
    )


def _late() -> Problem:
    return Problem(Code.UNAVAILABLE, "The HSM takes too long to answer. Please try again in a moment.")
