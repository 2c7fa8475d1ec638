"""Slots: a share key under an access code and a password. Specification: `docs/format.md`, "Shares".

A       = Argon2id(LP(code) ‖ LP(password), salt, secret = pepper, ad = "bildbrief/v1/slot" ‖ share id, 32 bytes)
KEK ‖ V = HKDF-Expand-SHA-512(A, "bildbrief/v1/slot" ‖ 00 ‖ LP(share id), 64)
stored: salt, Argon2id's parameters, V, and the share key wrapped under KEK
"""

import hmac
import os
from dataclasses import dataclass
from typing import Final

from ..vault.argon2 import argon2id
from ..vault.keys import Context, derive, encode, unwrap, wrap

PASSES: Final = 3
LANES: Final = 4
LABEL: Final = "bildbrief/v1/slot"
MOST: Final = {"memory_kib": 1 << 21, "passes": 16, "lanes": 16}
"""What a stored slot may cost at most: whoever writes into the ring must not be able to occupy the keyholder with one row."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What is stored. `slot_key`: the wrapped share key; None when the share was revoked."""

    salt: bytes
    memory_kib: int
    passes: int
    lanes: int
    verifier: bytes
    slot_key: bytes | None


class Slots:
    """Makes and tries slots. `memory_kib` is the cost of new ones; each keeps the cost it was made with."""

    def __init__(self, pepper: bytes, memory_kib: int) -> None:
        self._pepper = pepper
        self._memory_kib = memory_kib

    def make(self, share_id: str, code: str, password: str, share_key: bytes) -> Slot:
        blank = self.decoy()
        kek, verifier = self._derive(blank, share_id, code, password)
        return Slot(blank.salt, blank.memory_kib, blank.passes, blank.lanes, verifier, wrap(kek, share_key, _context(share_id)))

    def decoy(self) -> Slot:
        """A slot that no password fits and that costs the same to try."""
        return Slot(os.urandom(16), self._memory_kib, PASSES, LANES, os.urandom(32), None)

    def key(self, slot: Slot, share_id: str, code: str, password: str) -> bytes | None:
        """The key under which the share key lies, if code and password are right.

        A slot that we cannot have made costs what any other does, and nothing fits it.
        """
        sound = _is_sound(slot)
        kek, verifier = self._derive(slot if sound else self.decoy(), share_id, code, password)
        return kek if hmac.compare_digest(verifier, slot.verifier) and sound else None

    def _derive(self, slot: Slot, share_id: str, code: str, password: str) -> tuple[bytes, bytes]:
        share = bytes.fromhex(share_id)
        secret = argon2id(
            encode(code.encode(), password.encode()),
            salt=slot.salt,
            memory_kib=slot.memory_kib,
            passes=slot.passes,
            lanes=slot.lanes,
            secret=self._pepper,
            ad=LABEL.encode() + share,
        )
        both = derive(secret, LABEL, share, length=64)
        return both[:32], both[32:]


def _is_sound(slot: Slot) -> bool:
    """Whether the format allows it: `docs/format.md`, "Shares"."""
    within = all(1 <= getattr(slot, name) <= most for name, most in MOST.items())
    return within and slot.memory_kib >= 8 * slot.lanes and len(slot.salt) == 16 and len(slot.verifier) == 32


def open_slot(kek: bytes, slot_key: bytes, share_id: str) -> bytes:
    """The share key. Errors: WrongWrap."""
    return unwrap(kek, slot_key, _context(share_id))


def _context(share_id: str) -> Context:
    return Context(LABEL, bytes.fromhex(share_id))
