"""The words an operator types about keys. They act as the keyholder's user, who alone may enter the key directory."""

import click

from ..config import now_of
from ..domain.errors import Code, Problem
from ..keyholder.master import provider_of
from ..keyholder.master.file import MASTER
from ..keyholder.ring import RING, Ring
from .common import as_json, as_keyholder, keyholder, out, told
from .copies import backup, recover, recovery_shares, restore, verify_backup
from .keys_told import status_told
from .master import migrate, passphrase, rotate
from .remote import accept, enrol, withdraw


@click.group()
def keys() -> None:
    """Keys: what everything that is kept opens with."""


for command in (backup, verify_backup, restore, recovery_shares, recover, rotate, passphrase, migrate, enrol, withdraw, accept):
    keys.add_command(command)


@keys.command("init")
@as_json
@told
def keys_init(as_json: bool) -> None:
    """Make the keys before the first start, and say what to keep."""
    found, places = as_keyholder()
    if any((places.keys / name).exists() for name in (MASTER, RING)):
        raise Problem(Code.CONFLICT, "There are keys here already. Nothing was changed.")
    with Ring.opened(places.keys, now_of(found), provider_of(found, places.keys)) as ring:
        content = {"key_dir": str(places.keys), "provider": ring.provider.name}
    text = (
        f"The keys are made, in {places.keys}. Keep, apart from the data and from each other:\n"
        "  the master key   print it in parts: bildbrief keys recovery-shares 2-of-3 FILE\n"
        "  the ring         copy it each day:  bildbrief keys backup FILE\n"
        "Without both, nothing that is kept can ever be opened again."
    )
    out(as_json, content, text)


@keys.command("status")
@as_json
@told
def keys_status(as_json: bool) -> None:
    """Say which keys there are, how old they are, and when they were last backed up."""
    found, places = as_keyholder()
    content = keyholder(places).status()
    out(as_json, content, status_told(content, now_of(found)()))


@keys.command("rotate-intake")
@as_json
@told
def rotate_intake(as_json: bool) -> None:
    """Make a new intake key pair at once, e.g. when the receiver may have been in wrong hands."""
    _, places = as_keyholder()
    key_id = keyholder(places).rotate_intake()
    text = (
        f"New intake key {key_id}. The receiver has it within a minute.\n"
        "The one before is destroyed when it has been replaced for a day and no received file needs it any more."
    )
    out(as_json, {"key_id": key_id}, text)
