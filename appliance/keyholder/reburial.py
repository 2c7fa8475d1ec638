"""Reburial: a ring that was put back from a backup holds again what was forgotten since. It answers nobody until it has been told.

The registry's audit log knows what was forgotten, ended and replaced, and outlives the ring; the clock tells all of it
(`deeds.reburying`). Until then a restored ring opens no share and hands out no key.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from ..domain.errors import Code, Problem
from .ring import Ring
from .shares import Shares
from .studies import Studies

UNSETTLED: Final = "unsettled"
"""The fact that a ring was restored and not told yet; its value is when the backup was made, in UTC seconds."""


class Reburial:
    def __init__(self, ring: Ring, studies: Studies, shares: Shares) -> None:
        self._ring = ring
        self._studies = studies
        self._shares = shares
        self._since = ring.fact(UNSETTLED)

    def guarded(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """The handler, which refuses while there is something to be told. Problem UNAVAILABLE."""

        def guarding(**values: Any) -> Any:
            if self._since is not None:
                raise Problem(
                    Code.UNAVAILABLE,
                    "The keys were restored from a backup and first learn what was deleted since. Please try again in a minute.",
                )
            return handler(**values)

        return guarding

    def restored(self) -> int | None:
        """When the backup was made that the ring was restored from and has not been told all about; None when there is nothing to tell."""
        return None if self._since is None else int(self._since)

    def rebury(self, studies: Sequence[str], closed: Sequence[str], revoked: Sequence[str], replaced: Sequence[str]) -> None:
        """Forget studies and shares, revoke shares, void passwords, all in one transaction. Repeatable; unknown ids are buried too.

        `replaced`: shares whose password was replaced after the backup. The one in the ring is the old one, and the new one is lost.
        """
        with self._ring.write() as db:
            for study_id in studies:
                self._studies.forget(db, study_id)
            for share_id in closed:
                self._shares.close(db, share_id)
            for share_id in revoked:
                self._shares.revoke(db, share_id)
            for share_id in replaced:
                self._shares.void_password(db, share_id)

    def rebury_done(self) -> None:
        """Everything was told: answer everybody again. Repeatable."""
        with self._ring.write() as db:
            db.execute("DELETE FROM facts WHERE name = ?", [UNSETTLED])
        self._since = None
