"""Intake keys: the pairs to which the receiver seals what it takes in. A new one each day; old private halves are destroyed."""

import json
import os
from collections.abc import Sequence
from typing import Any, Final

from ..domain.errors import Code, Problem
from ..domain.share import DAY
from ..vault.keys import INTAKE_INFO, Context, new_pair, open_envelope
from .ring import Ring, row

KEPT: Final = DAY
"""Seconds a pair outlives its successor's making: an association that began with it may still publish files that need it."""


class Intake:
    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def intake_public(self) -> dict[str, Any]:
        """Today's pair (UTC), made when there is none: `key_id` and `public`."""
        now = self._ring.now()
        with self._ring.write() as db:
            newest = row(db, "SELECT key_id, made_at, public FROM intake_keys ORDER BY made_at DESC, key_id LIMIT 1")
            if newest is None or newest["made_at"] // DAY < now // DAY:
                private, public = new_pair()
                key_id = os.urandom(4).hex()
                wrapped = self._ring.master.wrap(private, intake_context(key_id))
                db.execute("INSERT INTO intake_keys (key_id, made_at, public, private) VALUES (?, ?, ?, ?)", [key_id, now, public, wrapped])
                newest = {"key_id": key_id, "public": public}
        return {"key_id": newest["key_id"], "public": newest["public"]}

    def open_envelope(self, key_id: str, envelope: bytes) -> bytes:
        """The association key in an envelope. Errors: Problem NOT_FOUND for a destroyed or unknown pair, WrongWrap."""
        found = row(self._ring.here(), "SELECT private FROM intake_keys WHERE key_id = ?", [key_id])
        if found is None:
            raise Problem(Code.NOT_FOUND, "The key that this received file was sealed to does not exist any more.")
        return open_envelope(self._ring.master.unwrap(found["private"], intake_context(key_id)), envelope, INTAKE_INFO)

    def retire_intake_keys(self, in_use: Sequence[str]) -> None:
        """Destroy the private halves that were replaced more than a day ago, except those in use. Repeatable."""
        with self._ring.write() as db:
            db.execute(
                """DELETE FROM intake_keys WHERE made_at < (SELECT max(made_at) FROM intake_keys WHERE made_at <= ?)
                    AND key_id NOT IN (SELECT value FROM json_each(?))""",
                [self._ring.now() - KEPT, json.dumps(in_use)],
            )


def intake_context(key_id: str) -> Context:
    return Context("bildbrief/v1/intake-key", bytes.fromhex(key_id))
