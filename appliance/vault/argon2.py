"""Argon2id (RFC 9106), one derivation at a time in a process.

OpenSSL puts the lanes of a derivation on threads of one pool, as large as the machine has cores, and takes them one by one. Two
derivations at once can each hold a part of the pool and wait for the rest for ever: with OpenSSL 4.0.3, two cores and four lanes
that happens within seconds. One alone uses all cores, so taking turns costs no throughput.
"""

import threading
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

ALONE: Final = threading.Lock()
"""To be held around every use of cryptography's Argon2id in this process, for instance of its PHC strings."""


def argon2id(
    material: bytes,
    *,
    salt: bytes,
    memory_kib: int,
    passes: int,
    lanes: int,
    length: int = 32,
    secret: bytes | None = None,
    ad: bytes | None = None,
) -> bytes:
    """Derive `length` bytes. Waits for its turn; other threads run meanwhile (the derivation releases the interpreter lock)."""
    kdf = Argon2id(salt=salt, length=length, iterations=passes, lanes=lanes, memory_cost=memory_kib, ad=ad, secret=secret)
    with ALONE:
        return kdf.derive(material)
