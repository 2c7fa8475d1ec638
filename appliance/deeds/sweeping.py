"""Sweeping: bytes come before the row that points at them, so a crash in between leaves bytes that no row knows. They go here."""

from collections.abc import Callable
from typing import Final

from ..domain.share import DAY
from ..log import log
from ..registry import Registry
from ..vault.blobs import Local

AGE: Final = DAY
"""Seconds after which no row can be on its way any more. A received file is safe in any case: it lies in the intake until it has one."""


class Sweeping:
    """Runs in the clock, once a day and after each start."""

    def __init__(self, registry: Registry, objects: Local, quarantine: Local, now: Callable[[], int]) -> None:
        self._registry = registry
        self._places = (objects, quarantine)
        self._now = now
        self._due_at = 0

    def run_once(self) -> int:
        """Remove what nobody knows, if it is time to look. Returns how many files."""
        if self._now() < self._due_at:
            return 0
        removed = sum(place.sweep(self._registry.known_blobs, AGE) for place in self._places)
        self._due_at = self._now() + DAY
        if removed:
            log.info("swept", files=removed)
        return removed
