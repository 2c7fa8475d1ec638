"""The words an operator types about keys. They act as the keyholder's user, who alone may enter the key directory."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from .. import config, log
from ..config import Config, now_of
from ..disk.files import replace_file
from ..disk.places import USERS, Places, become, users_exist
from ..domain.errors import Code, Problem
from ..keyholder import backup as backups
from ..keyholder import verify as verifying
from ..keyholder.client import Keyholder
from ..keyholder.master import PROVIDERS, Files, MasterKey, provider_of
from ..keyholder.master.file import MASTER, MODE, FileKey
from ..keyholder.ring import RING, Ring, fits, locked, master_for
from ..keyholder.rotation import move
from .common import as_json, out, told
from .keys_told import content_told, status_told

STREAM = Path("-")
"""Standard input or output, where the file lies outside the container."""


@click.group()
def keys() -> None:
    """Keys: what everything that is kept opens with."""


def _found() -> tuple[Config, Places]:
    """The configuration, and the keyholder's rights. Directories are made if this is the first thing that ever runs here."""
    found = config.read(os.environ)
    if found.keyholder_address:
        raise Problem(Code.CONFLICT, "The keyholder of this appliance is on another machine. Give this command there.")
    places = Places(found.data_dir, found.key_dir, found.run_dir)
    new = not places.keys.exists() or (users_exist() and places.keys.stat().st_uid != USERS["keyholder"].uid)
    if new:
        places.prepare(users=users_exist())
    become("keyholder")
    log.set_up("cli", level=logging.ERROR)
    return found, places


def keyholder() -> Keyholder:
    """The running keyholder, on the operator's own socket."""
    return _keyholder(_found()[1])


def _keyholder(places: Places) -> Keyholder:
    return Keyholder(places.sockets / "operator.sock")


@contextmanager
def _master(found: Config, places: Places, ring: Path) -> Iterator[MasterKey]:
    """The master key under which a ring, or a copy of it, is."""
    with closing(provider_of(found, places.keys)) as provider:
        yield master_for(ring, provider)


@contextmanager
def _given(file: Path) -> Iterator[Path]:
    """A file to read; what comes by standard input is one for a moment."""
    if file != STREAM:
        yield file
        return
    with tempfile.TemporaryDirectory() as directory:
        spooled = Path(directory, "backup")
        with spooled.open("wb") as whole:
            shutil.copyfileobj(sys.stdin.buffer, whole)
        yield spooled


def _stream(file: Path) -> None:
    with file.open("rb") as whole:
        shutil.copyfileobj(whole, sys.stdout.buffer)
    sys.stdout.buffer.flush()


_FILE = click.Path(path_type=Path, allow_dash=True)


@keys.command("init")
@as_json
@told
def keys_init(as_json: bool) -> None:
    """Make the keys before the first start, and say what to keep."""
    found, places = _found()
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
    found, places = _found()
    content = _keyholder(places).status()
    out(as_json, content, status_told(content, now_of(found)()))


@keys.command("backup")
@click.argument("target", metavar="FILE|DIRECTORY|-", type=_FILE)
@as_json
@told
def keys_backup(target: Path, as_json: bool) -> None:
    """Copy the ring to a new file, while the keyholder runs or not. The master key is not in it."""
    found, places = _found()
    now = now_of(found)()
    if target == STREAM:
        with tempfile.TemporaryDirectory() as directory:
            backups.copy(places.keys / RING, Path(directory, "standard output"), now, deliver=_stream)
        return
    file = target / backups.file_name(now) if target.is_dir() else target
    backups.copy(places.keys / RING, file, now)
    text = (
        f"The ring is copied to {file}.\n"
        "The master key is NOT in it: keep that apart (its file, its recovery shares, or the backup of the HSM)."
    )
    out(as_json, {"file": str(file), "copied_at": now}, text)


@keys.command("verify-backup")
@click.argument("file", metavar="FILE|-", type=_FILE)
@as_json
@told
def keys_verify(file: Path, as_json: bool) -> None:
    """Open every key in a backup with the master key that is here. Nothing is changed."""
    found, places = _found()
    with _given(file) as given, _master(found, places, given) as master:
        content = verifying.verify(given, master)
    out(as_json, content_told(content)[0], f"Every key in the backup opens.\n{content_told(content)[1]}")


@keys.command("restore")
@click.argument("file", metavar="FILE|-", type=_FILE)
@as_json
@told
def keys_restore(file: Path, as_json: bool) -> None:
    """Put a backup in the ring's place. The keyholder must not run; the master key must be there."""
    found, places = _found()
    with _given(file) as given, _master(found, places, given) as master:
        content = backups.restore(places.keys, master, given, now_of(found))
    text = (
        f"The ring is restored.\n{content_told(content)[1]}\n"
        "Now start the appliance. It answers as soon as it knows what was deleted since the backup; then run: bildbrief check"
    )
    out(as_json, content_told(content)[0], text)


@keys.command("recovery-shares")
@click.argument("plan", metavar="K-of-N")
@click.argument("file", metavar="[FILE|-]", type=_FILE, required=False)
@click.option("--words", is_flag=True, help="Show the words here instead of a PDF.")
@click.option("--language", type=click.Choice(["de", "en"]), help="Language of the sheets; the practice's if not given.")
@told
def keys_recovery_shares(plan: str, file: Path | None, words: bool, language: str | None) -> None:
    """Print the master key in N parts, of which any K give it back: PDF sheets in FILE, e.g. 2-of-3 shares.pdf."""
    from ..deeds.recovery_sheets import recovery_sheets  # here: fonts and a PDF library, which no other command here needs
    from ..keyholder.recovery import split

    if (file is None) is not words:
        raise Problem(Code.INVALID, "Name the file for the sheets, or ask for the words with --words.")
    found, places = _found()
    now = now_of(found)()
    with _master(found, places, places.keys / RING) as master:
        sheets = split(master.secret(), plan)
    if file is None:
        for sheet in sheets:
            click.echo(f"Share {sheet.number} of {sheet.count}, set {sheet.mark}:\n  {' '.join(sheet.words)}\n")
    else:
        pdf = recovery_sheets(sheets, language=language or found.language, made_at=now, zone=found.timezone)
        if file == STREAM:
            sys.stdout.buffer.write(pdf)
        else:
            with backups.told(file):
                replace_file(file, pdf, mode=MODE)
    backups.note(places.keys / RING, "recovery_shares_at", now)
    click.echo(f"{len(sheets)} shares are made. Print them, give them to different people, then delete the file.", err=True)


@keys.command("recover")
@told
def keys_recover() -> None:
    """Rebuild the master key from recovery shares, typed in one after the other."""
    from ..keyholder.recovery import Gathering

    found, places = _found()
    if found.key_provider != Files.name:
        raise Problem(Code.CONFLICT, "The master key is in an HSM. Give it back with the means of the HSM itself.")
    with locked(places.keys):
        if (places.keys / MASTER).exists():
            raise Problem(Code.CONFLICT, "There is a master key file %(name)s already. Nothing was changed.", name=MASTER)
        gathering = Gathering()
        while gathering.missing:
            text = click.prompt("The words of a share, in one line", prompt_suffix=":\n", err=True)
            try:
                gathering.add(text)
            except Problem as problem:
                click.echo(f"{problem}", err=True)
            else:
                click.echo(f"Right. {gathering.missing} more." if gathering.missing else "Right.", err=True)
        key = gathering.key()
        ring = places.keys / RING
        if ring.exists() and not fits(ring, FileKey(key)):
            raise Problem(
                Code.CONFLICT,
                "These shares give another master key than the one that the keys here open with. Take the sheets of the latest set.",
            )
        replace_file(places.keys / MASTER, FileKey(key).content(found.key_passphrase), mode=MODE)
    then = "start the appliance" if ring.exists() else "restore the latest backup: bildbrief keys restore FILE"
    click.echo(f"The master key is back. Now {then}.")


@keys.command("rotate-intake")
@as_json
@told
def keys_rotate_intake(as_json: bool) -> None:
    """Make a new intake key pair at once, e.g. when the receiver may have been in wrong hands."""
    _, places = _found()
    key_id = _keyholder(places).rotate_intake()
    text = (
        f"New intake key {key_id}. The receiver has it within a minute.\n"
        "The one before is destroyed when it has been replaced for a day and no received file needs it any more."
    )
    out(as_json, {"key_id": key_id}, text)


@keys.command("rotate")
@as_json
@told
def keys_rotate(as_json: bool) -> None:
    """Put everything under a new master key and destroy the old one, while the keyholder runs. No image is touched."""
    _, places = _found()
    _keyholder(places).rotate_master()
    text = (
        "Everything is under a new master key, and the old one is destroyed.\n"
        "Backups and recovery shares made before open nothing any more. Make new ones now:\n"
        "  bildbrief keys backup FILE\n"
        "  bildbrief keys recovery-shares 2-of-3 FILE"
    )
    out(as_json, {"rotated": True}, text)


@keys.command("passphrase")
@click.option("--remove", is_flag=True, help="Leave the key file unsealed.")
@told
def keys_passphrase(remove: bool) -> None:
    """Seal the master key's file by a passphrase, or by another one; typed twice, or read from standard input. Stop the keyholder first."""
    found, places = _found()
    if found.key_provider != Files.name:
        raise Problem(Code.CONFLICT, "The master key is in an HSM, which has a PIN instead of a passphrase.")
    new = None if remove else _new_passphrase()
    with locked(places.keys):
        Files(places.keys, found.key_passphrase).seal(new)
    told_now = "not sealed any more" if remove else "sealed; put the passphrase into a file and name that in BILDBRIEF_KEY_PASSPHRASE_FILE"
    click.echo(f"The master key file is {told_now}.", err=True)


def _new_passphrase() -> str:
    if sys.stdin.isatty():
        text = str(click.prompt("New passphrase", hide_input=True, confirmation_prompt=True, err=True))
    else:
        text = sys.stdin.readline().rstrip("\n")
    if len(text) < 12:
        raise Problem(
            Code.INVALID, "A passphrase has at least 12 characters. Four or five words that have nothing to do with each other do."
        )
    return text


@keys.command("migrate")
@click.option("--to", "name", required=True, type=click.Choice(PROVIDERS), help="Where the master key is to be.")
@as_json
@told
def keys_migrate(name: str, as_json: bool) -> None:
    """Move from a key file to an HSM. Stop the keyholder first. There is no way back: a key in an HSM never leaves it."""
    found, places = _found()
    if found.key_provider == name:
        raise Problem(Code.CONFLICT, "The master key is there already.")
    if name == Files.name:
        raise Problem(
            Code.FORBIDDEN,
            "From an HSM there is no way back to a file: whoever could make one could take the keys along. Begin anew with an empty key"
            " directory, and have studies sent again.",
        )
    here = provider_of(found, places.keys)
    with closing(provider_of(found, places.keys, name)) as target, Ring.opened(places.keys, now_of(found), here) as ring:
        move(ring, target)
    text = (
        "The master key is in the HSM, and its file is destroyed. Set BILDBRIEF_KEY_PROVIDER=pkcs11, then start, and back up the ring anew."
    )
    out(as_json, {"provider": name}, text)
