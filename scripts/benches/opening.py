"""What opening a letter takes at the keyholder, beside the Argon2id derivation that it must cost.

Shares of three studies each, at the appliance's own cost (64 MiB, three passes, four lanes), asked over the portal's socket: budgets, two
transactions with fsync, and the unwrapping of the study keys included. Wrong password and unknown code must take the same time.
"""

import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Final

from appliance.disk.places import admit
from appliance.domain.share import DAY, Audience, ShareRecord
from appliance.keyholder.client import Keyholder, Opened, Wrong
from appliance.keyholder.ring import Ring
from appliance.keyholder.server import Server, handlers
from appliance.keyholder.slots import LANES, PASSES
from appliance.vault.argon2 import argon2id
from appliance.vault.keys import new_id

from .rounds import Contender, durations

ROUNDS: Final = 15
MEMORY: Final = 65_536  # KiB
SHARES: Final = 12


def derive() -> None:
    argon2id(b"code and password", salt=bytes(16), memory_kib=MEMORY, passes=PASSES, lanes=LANES, secret=bytes(32), ad=bytes(33))


def table() -> str:
    now = int(time.time())
    with tempfile.TemporaryDirectory() as directory:
        keys, sockets = Path(directory, "keys"), Path(directory, "run")
        keys.mkdir(mode=0o700)
        sockets.mkdir()
        with Ring.opened(keys, lambda: now) as ring:
            server = Server(handlers(ring, MEMORY), sockets, admit)
            ingester, desk, portal = (Keyholder(sockets / f"{role}.sock") for role in ("ingester", "desk", "portal"))
            letters = [desk.share_create(_record(ingester, now).canonical()) for _ in range(SHARES)]
            networks = (f"network {number}" for number in count())  # a fresh one each time: budgets are not what is measured

            def right() -> None:
                letter = letters[0]
                _expect(Opened, portal.open_share(letter.code, letter.password, next(networks), None))

            def wrong() -> None:
                _expect(Wrong, portal.open_share(letters[1].code, "WRONG", next(networks), None))

            def unknown() -> None:
                _expect(Wrong, portal.open_share("0" * 18, "WRONG", next(networks), None))

            try:
                return durations(
                    [
                        Contender("Argon2id alone", derive),
                        Contender("right password", right, peer="Argon2id alone"),
                        Contender("wrong password", wrong, peer="Argon2id alone"),
                        Contender("unknown code", unknown, peer="wrong password"),
                    ],
                    rounds=ROUNDS,
                )
            finally:
                for client in (ingester, desk, portal):
                    client.close()
                server.close()


def _expect(kind: type, answer: object) -> None:
    if not isinstance(answer, kind):
        raise TypeError(f"the keyholder answered {answer!r}; that is not what is measured")


def _record(ingester: Keyholder, now: int) -> ShareRecord:
    studies = tuple(new_id() for _ in range(3))
    for study in studies:
        ingester.create_study_key(study)
    return ShareRecord(new_id(), Audience.PATIENT, "de", studies, now, now, now + 90 * DAY, True, True, now)
