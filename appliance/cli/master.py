"""The words an operator types about the master key: another one, another passphrase, another place."""

import sys
from contextlib import closing

import click

from ..config import now_of
from ..domain.errors import Code, Problem
from ..keyholder.master import PROVIDERS, Files, provider_of
from ..keyholder.ring import PROVIDER, RING, Ring, fact_of, locked
from ..keyholder.rotation import move
from .common import as_json, as_keyholder, keyholder, out, told


@click.command("rotate")
@as_json
@told
def rotate(as_json: bool) -> None:
    """Put everything under a new master key and destroy the old one, while the keyholder runs. No image is touched."""
    _, places = as_keyholder()
    keyholder(places).rotate_master()
    text = (
        "Everything is under a new master key, and the old one is destroyed.\n"
        "Backups and recovery shares made before open nothing any more. Make new ones now:\n"
        "  bildbrief keys backup FILE\n"
        "  bildbrief keys recovery-shares 2-of-3 FILE"
    )
    out(as_json, {"rotated": True}, text)


@click.command("passphrase")
@click.option("--remove", is_flag=True, help="Leave the key file unsealed.")
@told
def passphrase(remove: bool) -> None:
    """Seal the master key's file by a passphrase, or by another one; typed twice, or read from standard input. Stop the keyholder first."""
    found, places = as_keyholder()
    if found.key_provider != Files.name:
        raise Problem(Code.CONFLICT, "The master key is in an HSM, which has a PIN instead of a passphrase.")
    new = None if remove else _new_passphrase()
    with locked(places.keys):
        Files(places.keys, found.key_passphrase).seal(new)
    told_now = "not sealed any more" if remove else "sealed; put the passphrase into a file and name that in BILDBRIEF_KEY_PASSPHRASE_FILE"
    click.echo(f"The master key file is {told_now}.", err=True)


def _new_passphrase() -> str:
    if sys.stdin.isatty():
        typed = str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))
    else:
        typed = sys.stdin.readline()
    text = typed.strip()  # as `config` reads it from its file
    if len(text) < 12:
        raise Problem(
            Code.INVALID, "A passphrase has at least 12 characters. Four or five words that have nothing to do with each other do."
        )
    return text


@click.command("migrate")
@click.option("--to", "name", required=True, type=click.Choice(PROVIDERS), help="Where the master key is to be.")
@as_json
@told
def migrate(name: str, as_json: bool) -> None:
    """Move from a key file to an HSM. Stop the keyholder first. There is no way back: a key in an HSM never leaves it."""
    found, places = as_keyholder()
    ring = places.keys / RING
    if not ring.exists():
        raise Problem(Code.NOT_FOUND, "There are no keys here yet. Start the appliance once, or run: bildbrief keys init")
    now_at = fact_of(ring, PROVIDER) or Files.name  # not `key_provider`, which may have been set for what is to come
    if now_at == name:
        raise Problem(Code.CONFLICT, "The master key is there already. Start with BILDBRIEF_KEY_PROVIDER=%(name)s.", name=name)
    if name == Files.name:
        raise Problem(
            Code.FORBIDDEN,
            "From an HSM there is no way back to a file: whoever could make one could take the keys along. Begin anew with an empty key"
            " directory, and have studies sent again.",
        )
    here, there = (provider_of(found, places.keys, each) for each in (now_at, name))
    with closing(there), Ring.opened(places.keys, now_of(found), here) as opened:
        move(opened, there)
    text = (
        "The master key is in the HSM, and its file is destroyed.\n"
        "Now start with BILDBRIEF_KEY_PROVIDER=pkcs11, and copy the ring anew: bildbrief keys backup FILE"
    )
    out(as_json, {"provider": name}, text)
