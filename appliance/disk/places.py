"""Where things are kept, and who may enter: one table for the whole appliance.

In the container each process runs under its own user, and this table makes the file system keep them apart: only the keyholder
reads the keys, the receiver cannot even enter what is kept, the portal reads and never writes. Directories are the gates;
the files behind a gate need no rules of their own. Without those users (on a workbench) the directories are simply private.
`docs/operations.md` shows the table.
"""

import os
import pwd
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = 0
NO_ONE = 810  # a number that no user has: owns what not even the supervisor may enter, though it is root
RECORDS = 810  # group of those who may enter data/records
KEEPERS = 811  # group of those who may change what is in there


class User(NamedTuple):
    """A process's user. `group`: of the files it makes; `groups`: the others it belongs to; `umask`: what its files withhold."""

    uid: int
    group: int
    groups: tuple[int, ...]
    umask: int


# Each has a group of its own, with the number of its uid: for the gates and sockets that are only for it.
# The keyholder belongs to the groups of those it answers, because only so may it hand each its socket.
USERS = {
    "keyholder": User(801, 801, (803, 804, 805, 806), 0o077),
    "receiver": User(802, 802, (), 0o002),
    "ingester": User(803, KEEPERS, (803, RECORDS), 0o002),
    "desk": User(804, KEEPERS, (804, RECORDS), 0o002),
    "portal": User(805, 805, (RECORDS,), 0o077),
    "clock": User(806, KEEPERS, (806, RECORDS), 0o002),
}


class Place(NamedTuple):
    """A directory: where (its root of `Places`, then the rest), whose it is, and what owner, group and others may."""

    name: str
    owner: int
    group: int
    mode: int


# Parents before what is in them.
TABLE = (
    Place("keys", 801, 801, 0o711),  # all may pass to the directories in it; what is beside it is the keyholder's own
    Place("keys/clients", ROOT, ROOT, 0o711),  # each file in it belongs to the process that it lets in
    Place("keys/dicom", ROOT, ROOT, 0o711),  # the receiver's certificate for all, its private key for it alone
    Place("keys/dicom/trusted", ROOT, 802, 0o750),
    Place("data", ROOT, ROOT, 0o755),
    Place("data/intake", 803, 802, 0o750),  # the ingester leaves the public key here
    # Set-group-id: what the receiver makes belongs to the keepers, so that the ingester may link it (fs.protected_hardlinks).
    Place("data/intake/tmp", 802, KEEPERS, 0o2700),
    Place("data/intake/new", 802, 803, 0o770),
    Place("data/records", NO_ONE, RECORDS, 0o750),
    Place("data/records/objects", NO_ONE, KEEPERS, 0o775),  # "others" past the gate is the portal
    Place("data/records/registry", NO_ONE, KEEPERS, 0o775),
    Place("data/records/quarantine", NO_ONE, KEEPERS, 0o770),
    Place("run", ROOT, ROOT, 0o755),
    Place("run/keyholder", 801, 801, 0o711),
)


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one appliance, from the three that the configuration names."""

    data: Path
    keys: Path
    run: Path

    @property
    def intake(self) -> Path:
        return self.data / "intake"

    @property
    def objects(self) -> Path:
        return self.data / "records/objects"

    @property
    def registry(self) -> Path:
        return self.data / "records/registry"

    @property
    def quarantine(self) -> Path:
        return self.data / "records/quarantine"

    @property
    def sockets(self) -> Path:
        return self.run / "keyholder"

    @property
    def dicom(self) -> Path:
        """What DICOM over TLS needs: `receiver.credentials`."""
        return self.keys / "dicom"

    def client(self, role: str) -> Path:
        """What lets the process `role` in at a keyholder on another machine."""
        return self.keys / f"clients/{role}.pem"

    def path(self, place: Place) -> Path:
        root, _, rest = place.name.partition("/")
        return Path(getattr(self, root), rest)

    def prepare(self, *, users: bool, roots: Collection[str] = ("keys", "data", "run")) -> None:
        """Make every directory below these roots, before any process starts. Repeatable, also after a kill at any point.

        `users`: give each to its owner. That takes root, but of root's powers only CAP_CHOWN: each directory is taken over,
        set right as its owner, and handed on, innermost first. Errors: OSError.
        """
        table = [place for place in TABLE if place.name.partition("/")[0] in roots]
        for place in table:
            path = self.path(place)
            if users and path.exists():
                os.chown(path, ROOT, ROOT)
                path.chmod(0o700)
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if users:
            for place in reversed(table):
                path = self.path(place)
                path.chmod(place.mode)
                os.chown(path, place.owner, place.group)


def users_exist() -> bool:
    """Whether we are root where the table's users exist: in the container."""
    if os.geteuid() != ROOT:
        return False
    try:
        return all(pwd.getpwnam(name).pw_uid == user.uid for name, user in USERS.items())
    except KeyError:
        return False


def spawn_as(name: str) -> dict[str, Any]:
    """What to give `subprocess.Popen` so that a child runs as process `name`; nothing where its user does not exist."""
    if not users_exist():
        return {}
    user = USERS[name]
    return {"user": user.uid, "group": user.group, "extra_groups": user.groups, "umask": user.umask}


def become(name: str) -> None:
    """Go on as the user of process `name` for good; nothing where it does not exist. For commands typed by root in the container."""
    if users_exist():
        user = USERS[name]
        os.setgroups(user.groups)
        os.setgid(user.group)
        os.setuid(user.uid)
        os.umask(user.umask)


def admit(socket: Path, role: str) -> None:
    """Let the user of `role`, and nobody else, connect to a socket that the calling process has just bound.

    A role that is no process, the operator, is the calling process's own user.
    """
    group = USERS[role].uid if role in USERS else None
    if group is not None and group in os.getgroups():
        os.chown(socket, -1, group)
        socket.chmod(0o660)
    else:
        socket.chmod(0o600)
