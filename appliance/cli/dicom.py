"""The words an operator types about DICOM over TLS: what the receiver shows of itself, and which modalities it lets in."""

import io
import os
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from .. import config
from ..certificates import RENEW, end_of, pem
from ..config import SETTINGS, Config, now_of
from ..disk.files import replace_file
from ..disk.places import USERS, Places, users_exist
from ..domain.errors import Code, Problem
from ..domain.share import DAY
from ..receiver.certificate_files import About
from ..receiver.credentials import Credentials, Issued
from .common import as_json, out, told

STREAM: Final = Path("-")


@click.group()
def dicom() -> None:
    """DICOM over TLS: certificates of the receiver and of modalities. Changes count from the next connection on."""


@dicom.group()
def certificate() -> None:
    """What the receiver shows of itself."""


@dicom.group()
def trust() -> None:
    """Whom the receiver lets in."""


def _credentials() -> Credentials:
    found = config.read(os.environ)
    places = Places(found.data_dir, found.key_dir, found.run_dir)
    return Credentials(places.dicom, now_of(found), USERS["receiver"].uid if users_exist() else -1)


def _content(of: About) -> dict[str, Any]:
    return {"subject": of.subject, "names": list(of.names), "fingerprint": of.fingerprint, "ends_at": of.end}


def _text(of: About) -> str:
    left = of.end - now_of(config.read(os.environ))()
    lines = [
        f"Subject      {of.subject}",
        f"Names        {', '.join(of.names) or '–'}",
        f"Fingerprint  {of.fingerprint} (SHA-256)",
        f"Valid until  {_day(of.end)} ({max(0, left // DAY)} days)",
    ]
    if left <= RENEW:
        lines.append("WARNING: it ends soon, or has ended. Make or import a new one now: then no modality can send by TLS any more.")
    return "\n".join(lines)


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def listening(found: Config, places: Places) -> str:
    """Where the receiver listens, for the line with which it comes up."""
    doors = [f"{found.dicom_host}:{found.dicom_port}"] if found.dicom_plain else []
    if end_of(places.dicom) is not None:
        doors.append(f"{found.dicom_host}:{found.dicom_tls_port} (TLS)")
    return f"DICOM, AE title {found.ae_title}, {', '.join(doors) or 'nowhere: a certificate is missing'}"


_FIRST: Final = "The TLS port is opened when the appliance next starts, if this is the first certificate."


@certificate.command("make")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@as_json
@told
def certificate_make(names: tuple[str, ...], as_json: bool) -> None:
    """Make a new private key and certificate, for two years. NAMEs are the names and addresses by which modalities call this machine."""
    made = _credentials().make(names)
    out(as_json, _content(made), f"{_text(made)}\n{_FIRST}\nInstall the authority at the modalities: bildbrief dicom certificate ca")


@certificate.command("import")
@click.argument("file", metavar="CERT", type=click.File("rb"))
@click.argument("key", metavar="[KEY]", type=click.File("rb"), required=False)
@click.option("--chain", type=click.File("rb"), help="Certificates between this one and its authority, in that order, if CERT lacks them.")
@as_json
@told
def certificate_import(file: BinaryIO, key: BinaryIO | None, chain: BinaryIO | None, as_json: bool) -> None:
    """Install a certificate that somebody else has issued. CERT may hold certificate, chain and key together; - reads standard input."""
    content = file.read()
    taken = _credentials().take(content, key.read() if key else content, chain.read() if chain else b"")
    out(as_json, _content(taken), f"{_text(taken)}\n{_FIRST}")


@certificate.command("show")
@as_json
@told
def certificate_show(as_json: bool) -> None:
    """Say whose certificate the receiver shows, and how long it lasts."""
    shown = _credentials().shown()
    out(as_json, _content(shown), _text(shown))


@certificate.command("ca")
@told
def certificate_ca() -> None:
    """Print the certificate of the authority that `make` and `modality` sign with (PEM), to be installed at modalities."""
    click.echo(pem(_credentials().authority.certificate), nl=False)


@dicom.command()
@click.argument("ae_title", metavar="AE")
@click.option(
    "--out",
    "target",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="A new directory, which only you may read; - for a tar archive on standard output.",
)
@told
def modality(ae_title: str, target: Path) -> None:
    """Issue a certificate for the modality with this AE title, for two years, and let it in: under this AE title only."""
    try:
        SETTINGS["ae_title"].parse(ae_title)
    except ValueError as error:
        raise Problem(Code.INVALID, "This is no AE title. Give 1 to 16 ASCII characters without a backslash.") from error
    credentials = _credentials()
    issued = credentials.issue(ae_title)
    _hand_over(issued, target)
    (trusted,) = credentials.trust(pem(issued.certificate).encode())
    click.echo(f"Certificate of {ae_title}, valid until {_day(trusted.end)}, fingerprint\n{trusted.fingerprint}", err=True)
    click.echo(f"Password of modality.p12, shown only now:  {issued.password}", err=True)
    click.echo(
        "Install key.pem, certificate.pem and ca.pem at the modality, or modality.p12, which holds all three. Then delete them.", err=True
    )


def _hand_over(issued: Issued, target: Path) -> None:
    if target == STREAM:
        with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
            for name, content in issued.files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o600
                archive.addfile(entry, io.BytesIO(content))
        return
    try:
        target.mkdir(mode=0o700)
        for name, content in issued.files.items():
            replace_file(target / name, content, mode=0o600)
    except OSError as error:
        raise Problem(
            Code.CONFLICT, "%(name)s cannot be made. Choose the name of a directory that does not exist.", name=target.name
        ) from error


@trust.command("add")
@click.argument("file", type=click.File("rb"))
@as_json
@told
def trust_add(file: BinaryIO, as_json: bool) -> None:
    """Let in whoever shows a certificate in FILE (PEM or DER), or one that it has signed; - reads standard input."""
    added = _credentials().trust(file.read())
    out(as_json, [_content(each) for each in added], "\n".join(f"Trusted: {_line(each)}" for each in added))


@trust.command("list")
@as_json
@told
def trust_list(as_json: bool) -> None:
    """List whom the receiver lets in, the first to end first."""
    trusted = _credentials().trusted()
    out(as_json, [_content(each) for each in trusted], "\n".join(map(_line, trusted)) or "Nobody.")


@trust.command("remove")
@click.argument("fingerprint")
@as_json
@told
def trust_remove(fingerprint: str, as_json: bool) -> None:
    """Let in no more whoever shows the certificate of this SHA-256 FINGERPRINT, or one that it has signed."""
    removed = _credentials().distrust(fingerprint)
    out(as_json, _content(removed), f"Not trusted any more: {_line(removed)}")


def _line(of: About) -> str:
    return f"{of.subject}, until {_day(of.end)}\n  {of.fingerprint}"
