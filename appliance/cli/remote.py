"""The words with which a keyholder and an appliance on two machines get to know each other: `enrol` and `withdraw` there, `accept` here."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from .. import config
from ..disk.files import replace_file
from ..disk.places import USERS, Places, users_exist
from ..domain.errors import Code, Problem
from ..keyholder.calls import REMOTE
from .common import as_json, as_keyholder, keyholder, out, told

_LIMIT: Final = 64 << 10  # bytes of a bundle


@click.command()
@click.argument("host")
@click.option(
    "--out",
    "file",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="A new file for the bundle, which only you may read; - for standard output.",
)
@told
def enrol(host: str, file: Path) -> None:
    """Let the appliance on machine HOST ask this keyholder, for two years. Give it the bundle with `bildbrief keys accept`."""
    if file == Path("-"):
        click.echo(json.dumps(_enrolled(host)))
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # before we act as the keyholder, who may not write here
    except OSError as error:
        raise Problem(Code.CONFLICT, "%(name)s cannot be made. Choose the name of a file that does not exist.", name=file.name) from error
    try:
        with os.fdopen(descriptor, "w") as bundle:
            json.dump(_enrolled(host), bundle)
            bundle.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            file.unlink()
        raise
    click.echo(f"Take {file.name} to {host}, then: bildbrief keys accept {file.name}")
    click.echo("Whoever has this file may ask the keyholder as that appliance. Delete it when it has been accepted.")


def _enrolled(host: str) -> dict[str, str]:
    _, places = as_keyholder()
    return keyholder(places).enrol(host)


@click.command()
@click.argument("host")
@as_json
@told
def withdraw(host: str, as_json: bool) -> None:
    """Refuse the appliance on machine HOST from now on, until it is enrolled anew."""
    _, places = as_keyholder()
    count = keyholder(places).withdraw(host)
    out(as_json, {"host": host, "certificates": count}, f"{count} certificates of {host} are not accepted any more.")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, allow_dash=True))
@as_json
@told
def accept(bundle: Path, as_json: bool) -> None:
    """Install what the keyholder's machine has made for this appliance: each process gets its own. - reads standard input."""
    found = config.read(os.environ)
    places = Places(found.data_dir, found.key_dir, found.run_dir)
    credentials = _read(bundle)
    try:
        for role in REMOTE:
            owner = USERS[role].uid if users_exist() else -1
            replace_file(places.client(role), credentials[role].encode(), mode=0o400, owner=owner)
    except OSError as error:
        raise Problem(
            Code.CONFLICT,
            "The credentials cannot be kept in the key directory. Start the appliance once, so that it makes its directories.",
        ) from error
    out(as_json, {"accepted": list(REMOTE)}, f"Accepted for {', '.join(REMOTE)}. Delete the bundle.")


def _read(bundle: Path) -> dict[str, str]:
    """The credentials of each role. Errors: Problem INVALID for what is no bundle."""
    try:
        if bundle == Path("-"):
            content = sys.stdin.buffer.read(_LIMIT)
        else:
            with bundle.open("rb") as file:
                content = file.read(_LIMIT)
        found: Any = json.loads(content)
        if isinstance(found, dict) and found.keys() == set(REMOTE) and all(_is_pem(each) for each in found.values()):
            return found
    except (OSError, ValueError, RecursionError):
        pass
    raise Problem(Code.INVALID, "This is no bundle of a keyholder. Make one there with: bildbrief keys enrol HOST --out FILE")


def _is_pem(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.startswith("-----BEGIN PRIVATE KEY-----\n") and "CERTIFICATE" in text
