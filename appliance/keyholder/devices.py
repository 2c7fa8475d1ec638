"""Devices: a browser that has opened a share keeps a text that proves it, so that others cannot use up its tries.

The text is a random id and its keyed hash for that one share; nothing of it is stored but, for a day after a wrong password, a
hash of the id (`budgets`).
"""

from hmac import compare_digest
from secrets import token_hex

from ..vault.keys import tag
from .ring import Ring


class Devices:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def new(self, share_id: str) -> str:
        """A text of 65 characters for a cookie."""
        device = token_hex(16)
        return f"{device}.{self._proof(share_id, device)}"

    def known(self, share_id: str, text: str | None) -> bytes | None:
        """Under what a device's tries are counted; None if the text was not made here for this share."""
        device, _, proof = (text or "").partition(".")
        genuine = compare_digest(self._proof(share_id, device).encode(), proof.encode())
        return self._ring.tag("device", device) if genuine else None

    def _proof(self, share_id: str, device: str) -> str:
        return tag(self._ring.secret("device"), bytes.fromhex(share_id), device.encode()).hex()
