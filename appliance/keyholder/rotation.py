"""A new master key: what lies under the old one is wrapped anew. Studies lie under the keys of months, so no object is touched.

1. The ring remembers the tag of the key to come as a spare; the key is made, durable.
2. What is wrapped is wrapped anew in memory, while calls go on; then, alone, in one transaction: the rows, and which key is master.
   The old one is a spare now.
3. The spare is destroyed, and forgotten.

A kill at any point leaves the ring under a key that is there. A spare is remembered until its provider is at hand again, which destroys
it: at the next opening, or at the next move to that provider (`Ring.forget_spares`).
"""

import threading
from collections.abc import Callable
from typing import Final

from sqlite_utils import Database

from ..domain.errors import Code, Problem
from ..log import log
from ..vault.keys import Context
from .events import witness
from .intake import intake_context
from .master import MasterKey, Provider
from .ring import MADE_AT, MASTER, PROVIDER, SPARE, Ring, remember, rows, secret_context
from .shares import share_key_context
from .studies import epoch_context

_ONE: Final = threading.Lock()

UNDER_MASTER: Final[tuple[tuple[str, str, str, Callable[[str], Context]], ...]] = (
    ("secrets", "name", "wrapped", secret_context),
    ("epochs", "epoch", "wrapped", epoch_context),
    ("shares", "share_id", "share_key", share_key_context),
    ("intake_keys", "key_id", "private", intake_context),
)
"""Everything that is wrapped under the master key: table, its key, the column, and the context made from the table's key."""


def move(ring: Ring, target: Provider) -> None:
    """Put the ring under a new master key of `target`, which may be the provider it has. Running calls do not notice.

    Errors: Problem CONFLICT while another move is under way; those of the providers. Then the old key is still the ring's.
    """
    if not _ONE.acquire(blocking=False):
        raise Problem(Code.CONFLICT, "The master key is being replaced already. Wait until that is done.")
    try:
        ring.forget_spares(ring.provider, target)  # of a move that failed
        new = target.add(lambda tag: ring.announce(target, tag))
        done: dict[bytes, bytes] = {}
        _wrap_anew(ring.here(), ring.master, new, done)
        with ring.gate.alone():
            with ring.write() as db:
                for table, name, column, row_name, wrapped in _wrap_anew(db, ring.master, new, done):
                    db.execute(f"UPDATE {table} SET {column} = ? WHERE {name} = ?", [wrapped, row_name])  # noqa: S608
                remember(db, SPARE + ring.master.tag, ring.provider.name)
                remember(db, MASTER, new.tag)
                remember(db, PROVIDER, target.name)
                remember(db, MADE_AT, str(ring.now()))
                witness(db, ring.now(), "rotate_master", provider=target.name, keys=len(done))
            old, ring.master, ring.provider = ring.provider, new, target
        ring.forget_spares(old, target)
        log.info("master key replaced", provider=target.name, keys=len(done))
    finally:
        _ONE.release()


def _wrap_anew(db: Database, old: MasterKey, new: MasterKey, done: dict[bytes, bytes]) -> list[tuple[str, str, str, str, bytes]]:
    """Table, key column, column, key, and the new wrap of everything under `old`. `done`: old wraps that have a new one already."""
    found = []
    for table, name, column, context in UNDER_MASTER:
        for row in rows(db, f"SELECT {name}, {column} FROM {table} WHERE {column} IS NOT NULL"):  # noqa: S608
            wrapped = row[column]
            if wrapped not in done:
                done[wrapped] = new.wrap(old.unwrap(wrapped, context(row[name])), context(row[name]))
            found.append((table, name, column, row[name], done[wrapped]))
    return found
