"""What the desk is made of: deeds, settings, and what the configuration says. `app.py` builds it."""

from collections.abc import Callable
from dataclasses import dataclass

from ..deeds.inspecting import Inspecting
from ..deeds.reports import Reports
from ..deeds.sharing import Sharing
from ..deeds.staff import Staff
from ..deeds.worklist import Worklist
from ..registry.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskParts:
    """`desk_url` is what staff open, `public_url` what letters print; `mirrored`: a mirror is configured;
    `wide_open`: whoever is in the network may send images.

    `certificate_end` tells until when (UTC seconds) modalities can send by TLS; None: they do not.
    `commits`: modalities are told that their images are kept.
    """

    worklist: Worklist
    inspecting: Inspecting
    sharing: Sharing
    reports: Reports
    staff: Staff
    settings: Settings
    now: Callable[[], int]
    desk_url: str
    public_url: str
    language: str
    timezone: str
    mirrored: bool
    wide_open: bool
    commits: bool
    rehearse_days: int
    certificate_end: Callable[[], int | None] = lambda: None
