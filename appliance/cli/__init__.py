"""The words an operator types. `bildbrief --help` lists them."""

import os
import secrets
import sys
from pathlib import Path
from typing import Any

import click

from .. import __version__, config, log
from ..certificates import end_of
from ..disk.places import Places, users_exist
from ..domain.codes import show_code, show_password
from ..domain.share import DAY, Audience, Release
from ..processes import ENTRIES, run_process
from ..supervisor import PROCESSES, Supervisor
from ..supervisor import health as health_of
from .common import as_json, operator, out, told
from .dicom import dicom, listening
from .keys import keys
from .send import send


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bildbrief")
def main() -> None:
    """Hands images and reports to patients and referring physicians by letter."""


main.add_command(keys)
main.add_command(dicom)


@main.command()
@click.option("--only", type=click.Choice(["keyholder"]), help="Run nothing but the keyholder, for an appliance on another machine.")
@told
def serve(only: str | None) -> None:
    """Run the whole appliance until it is told to stop."""
    found = config.read(os.environ)
    config.require_secrets(found)
    log.set_up("supervisor")
    places = Places(found.data_dir, found.key_dir, found.run_dir)
    places.prepare(users=users_exist(), roots=("keys", "run") if only else ("keys", "data", "run"))
    if found.rehearse_days:
        click.echo(f"REHEARSAL: all clocks are {found.rehearse_days} days ahead.")
    lines = {
        "receiver": listening(found, places),
        "desk": f"{found.desk_url} (practice network only)",
        "portal": f"{found.public_url}, listening at {found.portal_host}:{found.portal_port}",
        "clock": f"mirror {found.mirror_url or 'off'}",
        "keyholder": "" if found.keyholder_listen is None else "for other machines: {}:{}".format(*found.keyholder_listen),
    }
    away = found.keyholder_address
    names = {only} if only else set(PROCESSES) - ({"keyholder"} if away else set())
    if away and not only:
        enrolled = "" if places.client("desk").exists() else "; not enrolled yet: bildbrief keys accept"
        click.echo(f"keyholder  on another machine, {away.host}:{away.port}{enrolled}")
    Supervisor(places.run / "health.json", os.environ, lines, names).run()


@main.command()
@click.argument("process", type=click.Choice(sorted(ENTRIES)))
@told
def run(process: str) -> None:
    """Run one process alone (the supervisor does; or you, to have it on another machine)."""
    run_process(process, config.read(os.environ))


@main.command()
@as_json
@told
def health(as_json: bool) -> None:
    """Say whether every process is up; exit status 0 if so."""
    states = health_of(config.read(os.environ).run_dir / "health.json")
    out(as_json, states, "\n".join(f"{name:<10} {state}" for name, state in states.items()))
    sys.exit(0 if all(state == "up" for state in states.values()) else 1)


@main.command()
@as_json
@told
def check(as_json: bool) -> None:
    """Open every sealed object to its last byte, and hold rows, objects and audit log against each other."""
    found = operator().checking.run()
    content = {"objects": found.objects, "bytes": found.bytes, "problems": found.problems}
    out(as_json, content, "\n".join([*found.problems, f"{found.objects} objects open, {len(found.problems)} problems"]))
    sys.exit(1 if found.problems else 0)


@main.command()
@as_json
@told
def status(as_json: bool) -> None:
    """Count what there is: keys, studies, shares, what waits for the mirror."""
    app = operator()
    waiting, failed = app.registry.outbox_backlog()
    tls_end = end_of(app.places.dicom)
    content = {
        "keyholder": app.keyholder.status(),
        "studies": len(app.registry.studies()),
        "quarantined": len(app.registry.quarantine()),
        "dicom_tls": {"days_left": None if tls_end is None else (tls_end - app.now()) // DAY},
        "mirror": {"on": app.config.mirror_url is not None, "waiting": waiting, "failed": failed},
    }
    lines = [f"{name:<24} {value}" for name, value in _flat(content)]
    out(as_json, content, "\n".join(lines))


def _flat(content: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in content.items():
        found += _flat(value, f"{above}{name}.") if isinstance(value, dict) else [(above + name, value)]
    return found


# -- studies -----------------------------------------------------------------------------------------------------------


@main.group()
def study() -> None:
    """Studies: what has been received."""


study.add_command(send)


@study.command("list")
@click.argument("words", nargs=-1)
@as_json
@told
def study_list(words: tuple[str, ...], as_json: bool) -> None:
    """List the studies, or those that match all WORDS."""
    entries = operator().worklist.search(" ".join(words))
    content = [
        {
            "study": entry.study_id,
            "patient": entry.patient,
            "birth_date": entry.birth_date,
            "date": entry.study_date,
            "modalities": list(entry.modalities),
            "description": entry.description,
            "series": entry.series,
            "images": entry.images,
            "reports": entry.reports,
            "state": entry.state,
            "open_shares": entry.open_shares,
        }
        for entry in entries
    ]
    lines = [
        f"{entry.study_id}  {entry.study_date}  {'/'.join(entry.modalities):<8} {entry.images:>5} images  {entry.state:<9}  {entry.patient}"
        for entry in entries
    ]
    out(as_json, content, "\n".join(lines) or "No studies.")


# -- reports -----------------------------------------------------------------------------------------------------------


@main.group()
def report() -> None:
    """Reports of a study."""


@report.command("add")
@click.argument("study_id", metavar="STUDY")
@click.argument("pdf", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--title", default="", help="What readers see; the practice's word for a report if not given.")
@as_json
@told
def report_add(study_id: str, pdf: Path, title: str, as_json: bool) -> None:
    """Add a PDF report to a study."""
    content = pdf.read_bytes()
    report_id = operator().reports.add("operator", study_id, title, content)
    out(as_json, {"report": report_id}, f"Report {report_id} added.")


# -- shares ------------------------------------------------------------------------------------------------------------


@main.group()
def share() -> None:
    """Shares: letters to patients and referring physicians."""


@share.command("create")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY…")
@click.option("--for", "audience", type=click.Choice([each.value for each in Audience]), default=Audience.PATIENT.value, show_default=True)
@click.option("--days", type=int, help="How long it lasts; the practice's default if not given.")
@click.option(
    "--release",
    type=click.Choice([each.value for each in Release]),
    default=Release.NOW.value,
    show_default=True,
    help="When reports may be read.",
)
@click.option("--language", type=click.Choice(["de", "en"]), help="Language of the reader; the practice's if not given.")
@click.option("--look-only", is_flag=True, help="No download.")
@as_json
@told
def share_create(
    studies: tuple[str, ...], audience: str, days: int | None, release: str, language: str | None, look_only: bool, as_json: bool
) -> None:
    """Make a share. Code and password are printed once; hand them over by different ways."""
    app = operator()
    record, given = app.sharing.create(
        "operator",
        studies,
        audience=Audience(audience),
        language=language or app.config.language,
        days=days,
        may_download=not look_only,
        release=Release(release),
    )
    link = f"{app.config.public_url}/s/{given.code}"
    out(
        as_json,
        {"share": record.share_id, "link": link, "code": given.code, "password": given.password, "expires_at": record.expires_at},
        f"Share     {record.share_id}\nLink      {link}\nCode      {show_code(given.code)}\nPassword  {show_password(given.password)}",
    )


@share.command("list")
@as_json
@told
def share_list(as_json: bool) -> None:
    """List the shares."""
    app = operator()
    views = app.sharing.views()
    content = [
        {
            "share": view.record.share_id,
            "for": view.record.audience,
            "studies": list(view.record.studies),
            "state": view.state,
            "expires_at": view.record.expires_at,
            "opened_at": view.opened_at,
        }
        for view in views
    ]
    lines = [
        f"{view.record.share_id}  {view.record.audience:<8}  {view.state:<8}  {_left(view.record.expires_at - app.now())}" for view in views
    ]
    out(as_json, content, "\n".join(lines) or "No shares.")


def _left(seconds: int) -> str:
    return f"{seconds // DAY} days left" if seconds > 0 else f"ended {-seconds // DAY} days ago"


@share.command("revoke")
@click.argument("share_id", metavar="SHARE")
@as_json
@told
def share_revoke(share_id: str, as_json: bool) -> None:
    """End a share at once, for good."""
    operator().sharing.revoke("operator", share_id)
    out(as_json, {"share": share_id, "state": "revoked"}, f"Share {share_id} has ended.")


# -- people and practice -----------------------------------------------------------------------------------------------


@main.group()
def user() -> None:
    """Staff who may use the desk."""


@user.command("add")
@click.argument("login")
@click.option("--name", default="", help="The name shown at the desk.")
@click.option("--role", default="front-desk", show_default=True, help="front-desk, physician, admin or auditor.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of making one.")
@as_json
@told
def user_add(login: str, name: str, role: str, password_stdin: bool, as_json: bool) -> None:
    """Add a member of staff. A password is made and printed once unless one is given."""
    password = sys.stdin.readline().rstrip("\n") if password_stdin else secrets.token_urlsafe(12)
    app = operator()
    app.staff.add("operator", login=login, name=name, password=password, role=role)
    shown = {} if password_stdin else {"password": password}
    out(as_json, {"login": login, **shown}, f"Login     {login}" + ("" if password_stdin else f"\nPassword  {password}"))


@main.group()
def practice() -> None:
    """What letters and pages say of the practice."""


@practice.command("set")
@click.option("--name")
@click.option("--street")
@click.option("--city")
@click.option("--phone")
@click.option("--email")
@click.option("--website")
@as_json
@told
def practice_set(as_json: bool, **given: str | None) -> None:
    """Set what is given, leave the rest."""
    app = operator()
    set_now = app.staff.set_practice("operator", app.settings, **{name: value for name, value in given.items() if value is not None})
    content = {name: getattr(set_now, name) for name in given}
    out(as_json, content, "\n".join(f"{name:<8} {value}" for name, value in content.items()))
