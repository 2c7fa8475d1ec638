"""The words an operator types about copies of the keys: backups of the ring, and the master key on paper."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ..config import Config, now_of
from ..disk.files import replace_file
from ..disk.places import Places
from ..domain.errors import Code, Problem
from ..keyholder import backup as backups
from ..keyholder import verify as verifying
from ..keyholder.master import Files, MasterKey, provider_of
from ..keyholder.master.file import MASTER, MODE, FileKey
from ..keyholder.ring import RING, fits, locked, master_for
from .common import as_json, as_keyholder, out, told
from .keys_told import content_told

STREAM = Path("-")
"""Standard input or output, where the file lies outside the container."""

_FILE = click.Path(path_type=Path, allow_dash=True)


@click.command("backup")
@click.argument("target", metavar="FILE|DIRECTORY|-", type=_FILE)
@as_json
@told
def backup(target: Path, as_json: bool) -> None:
    """Copy the ring to a new file, while the keyholder runs or not. The master key is not in it."""
    found, places = as_keyholder()
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


@click.command("verify-backup")
@click.argument("file", metavar="FILE|-", type=_FILE)
@as_json
@told
def verify_backup(file: Path, as_json: bool) -> None:
    """Open every key in a backup with the master key that is here. Nothing is changed."""
    found, places = as_keyholder()
    with _given(file) as given, _master(found, places, given) as master:
        content = verifying.verify(given, master)
    out(as_json, content_told(content)[0], f"Every key in the backup opens.\n{content_told(content)[1]}")


@click.command("restore")
@click.argument("file", metavar="FILE|-", type=_FILE)
@as_json
@told
def restore(file: Path, as_json: bool) -> None:
    """Put a backup in the ring's place. The keyholder must not run; the master key must be there."""
    found, places = as_keyholder()
    with _given(file) as given, _master(found, places, given) as master:
        content = backups.restore(places.keys, master, given, now_of(found))
    text = (
        f"The ring is restored.\n{content_told(content)[1]}\n"
        "Now start the appliance. It answers as soon as it knows what was deleted since the backup; then run: bildbrief check"
    )
    out(as_json, content_told(content)[0], text)


@click.command("recovery-shares")
@click.argument("plan", metavar="K-of-N")
@click.argument("file", metavar="[FILE|-]", type=_FILE, required=False)
@click.option("--words", is_flag=True, help="Show the words here instead of a PDF.")
@click.option("--language", type=click.Choice(["de", "en"]), help="Language of the sheets; the practice's if not given.")
@told
def recovery_shares(plan: str, file: Path | None, words: bool, language: str | None) -> None:
    """Print the master key in N parts, of which any K give it back: PDF sheets in FILE, e.g. 2-of-3 shares.pdf."""
    from ..deeds.recovery_sheets import recovery_sheets  # here: fonts and a PDF library, which no other command here needs
    from ..keyholder.recovery import split

    if (file is None) is not words:
        raise Problem(Code.INVALID, "Name the file for the sheets, or ask for the words with --words.")
    found, places = as_keyholder()
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


@click.command("recover")
@told
def recover() -> None:
    """Rebuild the master key from recovery shares, typed in one after the other."""
    from ..keyholder.recovery import Gathering

    found, places = as_keyholder()
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
