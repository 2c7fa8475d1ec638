"""The words an operator types about keys. They act as the keyholder's user, who alone may enter the key directory."""

import os

import click

from .. import config
from ..disk.places import Places, become
from ..domain.errors import Code, Problem
from ..keyholder.client import Keyholder
from .common import as_json, out, told


@click.group()
def keys() -> None:
    """Keys: what everything that is kept opens with."""


def keyholder() -> Keyholder:
    """The running keyholder, on the operator's own socket."""
    found = config.read(os.environ)
    if found.keyholder_address:
        raise Problem(Code.CONFLICT, "The keyholder of this appliance is on another machine. Give this command there.")
    become("keyholder")
    return Keyholder(Places(found.data_dir, found.key_dir, found.run_dir).sockets / "operator.sock")


@keys.command("status")
@as_json
@told
def keys_status(as_json: bool) -> None:
    """Say which keys there are, and how old they are."""
    content = keyholder().status()
    out(as_json, content, "\n".join(f"{name:<24} {value}" for name, value in content.items()))
