"""What `bildbrief keys` says, for somebody who has not read the manual: plain lines, and a warning where something is to be done."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ..domain.share import DAY
from ..keyholder.verify import Content


def content_told(content: Content) -> tuple[dict[str, Any], str]:
    """What a backup holds, as data and as lines."""
    lines = {
        "made": _moment(content.copied_at),
        "keys": f"{content.studies} studies from {content.epochs} months, {content.shares} shares, {content.intake_keys} intake keys",
        "deleted for good": f"{content.tombstones} studies and shares",
    }
    return asdict(content), _aligned(lines)


def status_told(status: Mapping[str, Any], now: int) -> str:
    """The keyholder's state. `now`: UTC seconds."""
    lines = {
        "master key": _master(status, now),
        "recovery shares": _shares(status, now),
        "keys": f"{status['studies']} studies from {status['epochs']} months, {status['shares']} shares"
        f" ({status['shares_locked']} locked, {status['shares_revoked']} ended early)",
        "intake keys": f"{status['intake_keys']}, the newest {_age(status['newest_intake_key'])} old",
        "last backup": _backup(status, now),
        "last restore": _at(status["restored_at"], now)
        + ("" if status["settled"] else ", NOT READY YET: it still learns what was deleted since the backup"),
        "deleted for good": f"{status['forgotten']} studies and shares",
        "wrong passwords": f"{status['failures_last_hour']} tries in the last hour",
        "audit log": f"{status['events']} events wait to be collected",
    }
    return _aligned(lines) + "".join(f"\n\n{warning}" for warning in _warnings(status))


def _master(status: Mapping[str, Any], now: int) -> str:
    made = status.get("master_made_at")
    parts = [str(status["provider"]), status.get("provider_state") or "ready", made and f"made {_at(made, now)}"]
    return ", ".join(part for part in parts if part)


def _shares(status: Mapping[str, Any], now: int) -> str:
    made, of = status["recovery_shares_at"], status["master_made_at"]
    if made is None:
        return "NEVER made"
    return f"made {_at(made, now)}" + (", for the master key BEFORE this one: make new ones" if of and of > made else "")


def _backup(status: Mapping[str, Any], now: int) -> str:
    if status["last_backup_at"] is None:
        return "NEVER"
    since = status["changes_since_backup"]
    return f"{_at(status['last_backup_at'], now)}, {status['last_backup_file']}; changes since: {since or 'none'}"


def _warnings(status: Mapping[str, Any]) -> list[str]:
    if status["last_backup_at"] is None:
        return ["WARNING: the keys were never backed up. Do it now: bildbrief keys backup FILE"]
    if status["changes_since_backup"]:
        return [
            f"WARNING: the last backup is older than the newest keys, shares and passwords ({status['changes_since_backup']} in all)."
            "\nWere the ring lost now, they would be lost with it. Do it now: bildbrief keys backup FILE"
        ]
    return []


def _aligned(lines: Mapping[str, str]) -> str:
    return "\n".join(f"{name:<18} {text}" for name, text in lines.items())


def _at(seconds: int | None, now: int) -> str:
    return "never" if seconds is None else f"{_moment(seconds)} ({_age(now - seconds)} ago)"


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _age(seconds: int | None) -> str:
    """In the largest unit of which there are at least two."""
    for unit, size in (("days", DAY), ("hours", 3600), ("minutes", 60)):
        if (seconds or 0) >= 2 * size:
            return f"{(seconds or 0) // size} {unit}"
    return f"{max(0, seconds or 0)} seconds"
