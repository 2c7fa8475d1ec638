"""The configuration: read once, from the environment and an optional file, into one frozen value.

Every setting has one line in `SETTINGS`; the table drives parsing, the documentation and the tests. A setting named `X` is read
from `BILDBRIEF_X`, or from the file named by `BILDBRIEF_X_FILE` (for secrets), or from a `X = value` line of the file named by
`BILDBRIEF_CONFIG`. Problems are collected and told all at once, each with a hint.
"""

import ipaddress
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from .domain.errors import Code, Problem
from .domain.modalities import Modality, nodes
from .domain.modalities import parse as parse_modalities
from .domain.node import ae_title, endpoint
from .domain.residency import REGION, aws, is_in_eu

PREFIX = "BILDBRIEF_"


class Endpoint(NamedTuple):
    """Where somebody listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All settings of one appliance. What each means stands in `SETTINGS`."""

    data_dir: Path
    key_dir: Path
    run_dir: Path
    dicom_host: str
    dicom_port: int
    dicom_tls_port: int
    dicom_plain: bool
    ae_title: str
    modalities: tuple[Modality, ...] | None
    instance_limit: int
    disk_reserve: int
    dicom_workers: int | None
    dicom_connections: int
    dicom_connections_per_peer: int
    dicom_connections_reserved: int
    dicom_pdu_limit: int
    dicom_first_seconds: int
    dicom_pdu_seconds: int
    dicom_idle_seconds: int
    dicom_rate: int
    storage_commitment: bool
    desk_host: str
    desk_port: int
    desk_url: str
    portal_host: str
    portal_port: int
    public_url: str
    trusted_proxy: str | None
    quiet_seconds: int
    share_days: int
    share_days_max: int
    grace_days: int
    unshared_days: int
    language: str
    timezone: str
    upload_limit: int
    cage_workers: int
    cage_memory: int
    cage_seconds: int
    argon2_memory_kib: int
    clock_seconds: int
    mirror_url: str | None
    mirror_endpoint: str | None
    mirror_region: str | None
    mirror_access_key: str | None
    mirror_secret_key: str | None
    mirror_declared_eu: bool
    rehearse_days: int
    keyholder_listen: Endpoint | None
    keyholder_address: Endpoint | None
    key_provider: str
    key_passphrase: str | None
    pkcs11_module: str | None
    pkcs11_token: str | None
    pkcs11_key: str
    pkcs11_pin: str | None

    def __repr__(self) -> str:
        """Without values: a configuration that lands in a log must not take its secrets along."""
        return "Config(…)"


def now_of(config: Config) -> Callable[[], int]:
    """The clock of all processes: UTC seconds; in a rehearsal, as many days later."""
    ahead = config.rehearse_days * 86_400
    return lambda: int(time.time()) + ahead


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text.replace("_", ""))
        except ValueError:
            raise ValueError(f"is no whole number; give one from {low} to {high}") from None
        if not low <= value <= high:
            raise ValueError(f"is out of range; give a whole number from {low} to {high}")
        return value

    return parse


def _yes_no(text: str) -> bool:
    try:
        return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


def _host(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("is no IP address; give the address to listen on, 0.0.0.0 for all") from None


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("is no web address; give one like https://bilder.praxis-muster.de, without a path")
    return text.rstrip("/")


def _mirror(text: str) -> str:
    parts = urlsplit(text)
    if (parts.scheme == "s3" and parts.netloc) or (parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc):
        return text
    raise ValueError("is no mirror; give s3://BUCKET or file:///DIRECTORY")


def _endpoint(text: str) -> Endpoint:
    return Endpoint(*endpoint(text))


def _listening(text: str) -> Endpoint:
    host, port = _endpoint(text)
    return Endpoint(_host(host), port)


def _language(text: str) -> str:
    if text not in ("de", "en"):
        raise ValueError("is not a language we speak; give de or en")
    return text


def _key_provider(text: str) -> str:
    if text not in ("file", "pkcs11"):
        raise ValueError("is no provider of keys; give file or pkcs11")
    return text


class Setting(NamedTuple):
    """One line of the table. `default` None: stays unset; "" : must be given."""

    parse: Callable[[str], Any]
    default: str | None
    meaning: str


_PORT = _integer(1, 65_535)

SETTINGS: dict[str, Setting] = {
    "data_dir": Setting(Path, "/data", "where sealed images and the registry are kept"),
    "key_dir": Setting(Path, "/keys", "where the keys are kept: another volume than data_dir; back it up apart"),
    "run_dir": Setting(Path, "/run/bildbrief", "where the processes' sockets are"),
    "dicom_host": Setting(_host, "0.0.0.0", "address the DICOM receiver listens on"),  # noqa: S104
    "dicom_port": Setting(_PORT, "11112", "port of the DICOM receiver, unencrypted"),
    "dicom_tls_port": Setting(_PORT, "2762", "port of the DICOM receiver for TLS; open when there is a certificate"),
    "dicom_plain": Setting(_yes_no, "yes", "no: the DICOM receiver is reached by TLS only"),
    "ae_title": Setting(ae_title, "BILDBRIEF", "AE title of the DICOM receiver"),
    "modalities": Setting(
        parse_modalities,
        None,
        "who may send: AE@ADDRESS or AE@ADDRESS:PORT, several with commas; `*` is any AE title, an address may be a network; "
        "unset: everybody, which is for a first try only",
    ),
    "instance_limit": Setting(_integer(1 << 20, 1 << 36), str(4 << 30), "largest instance accepted, in bytes"),
    "disk_reserve": Setting(_integer(0, 1 << 40), str(1 << 30), "bytes left free on the data volume: with less, images are refused"),
    "dicom_workers": Setting(_integer(1, 64), None, "processes that receive images; unset: one a core, at most 4"),
    "dicom_connections": Setting(_integer(1, 1024), "32", "DICOM connections at once"),
    "dicom_connections_per_peer": Setting(_integer(1, 1024), "4", "DICOM connections at once from one address"),
    "dicom_connections_reserved": Setting(_integer(0, 1023), "8", "of all connections, those kept for modalities that are named"),
    "dicom_pdu_limit": Setting(_integer(16 << 10, 1 << 20), str(256 << 10), "longest PDU offered and accepted, in bytes"),
    "dicom_first_seconds": Setting(_integer(1, 60), "5", "time for a request to be there, for a TLS handshake, and for a peer to close"),
    "dicom_pdu_seconds": Setting(_integer(1, 600), "30", "time for one PDU, and until the next one of an instance"),
    "dicom_idle_seconds": Setting(_integer(1, 86_400), "120", "time an association may be idle between instances"),
    "dicom_rate": Setting(_integer(0, 1 << 30), "1024", "least bytes a second of an instance under way"),
    "storage_commitment": Setting(_yes_no, "no", "yes: tell a modality that asks that its images are kept; read the manual first"),
    "desk_host": Setting(_host, "0.0.0.0", "address the desk listens on"),  # noqa: S104
    "desk_port": Setting(_PORT, "8081", "port of the desk (practice network only)"),
    "desk_url": Setting(_web_address, "http://127.0.0.1:8081", "address staff open in the browser"),
    "portal_host": Setting(_host, "0.0.0.0", "address the portal listens on"),  # noqa: S104
    "portal_port": Setting(_PORT, "8080", "port of the portal (behind the reverse proxy)"),
    "public_url": Setting(_web_address, "http://127.0.0.1:8080", "address of the portal as letters print it"),
    "trusted_proxy": Setting(_host, None, "address of the reverse proxy whose forwarding headers are believed"),
    "quiet_seconds": Setting(_integer(1, 86_400), "30", "a study is complete when nothing came for so long"),
    "share_days": Setting(_integer(1, 3650), "90", "days a share lasts unless the desk says otherwise"),
    "share_days_max": Setting(_integer(1, 3650), "365", "days a share may last at most"),
    "grace_days": Setting(_integer(0, 365), "14", "days an expired share can still be reactivated"),
    "unshared_days": Setting(_integer(1, 3650), "30", "days a study stays that nobody can open"),
    "language": Setting(_language, "de", "language of the desk and of letters unless chosen otherwise"),
    "timezone": Setting(str, "Europe/Berlin", "time zone of the practice"),
    "upload_limit": Setting(_integer(1 << 20, 1 << 30), str(64 << 20), "largest report accepted at the desk, in bytes"),
    "cage_workers": Setting(_integer(1, 64), "2", "worker processes that read what was received"),
    "cage_memory": Setting(_integer(256 << 20, 1 << 36), str(2 << 30), "memory one such worker may use, in bytes"),
    "cage_seconds": Setting(_integer(1, 600), "60", "time one such worker may take for one file"),
    "argon2_memory_kib": Setting(_integer(8192, 1 << 21), "65536", "memory of one password check, in KiB"),
    "clock_seconds": Setting(_integer(1, 3600), "20", "how often the clock looks for what is due"),
    "mirror_url": Setting(_mirror, None, "where ciphertext is mirrored: s3://BUCKET or file:///DIRECTORY"),
    "mirror_endpoint": Setting(_web_address, None, "address of the S3 server, unless it is AWS"),
    "mirror_region": Setting(str, None, "region of the S3 bucket"),
    "mirror_access_key": Setting(str, None, "access key of the S3 bucket"),
    "mirror_secret_key": Setting(str, None, "secret key of the S3 bucket"),
    "mirror_declared_eu": Setting(_yes_no, "no", "yes: we have made sure that an unknown endpoint keeps data in the EU"),
    "rehearse_days": Setting(_integer(0, 36_500), "0", "shifts the clock of all processes, to rehearse what happens later"),
    "keyholder_listen": Setting(_listening, None, "ADDRESS:PORT where the keyholder answers an appliance on another machine"),
    "keyholder_address": Setting(_endpoint, None, "HOST:PORT of the keyholder on another machine; unset: it runs on this one"),
    "key_provider": Setting(_key_provider, "file", "where the master key is: file, in key_dir, or pkcs11, in an HSM"),
    "key_passphrase": Setting(str, None, "passphrase that seals the master key's file; give it in a file"),
    "pkcs11_module": Setting(str, None, "path of the HSM's PKCS#11 library"),
    "pkcs11_token": Setting(str, None, "label of the HSM's token"),
    "pkcs11_key": Setting(str, "bildbrief", "label of the master key in the token; each appliance its own"),
    "pkcs11_pin": Setting(str, None, "PIN of the token's user; give it in a file"),
}


def read(environment: Mapping[str, str]) -> Config:
    """The configuration of an environment, or one Problem(INVALID) that lists everything wrong with it."""
    problems: list[str] = []
    given = {**_lines(environment.get(f"{PREFIX}CONFIG"), problems), **_variables(environment, problems)}
    values: dict[str, Any] = {}
    for name, setting in SETTINGS.items():
        text = given.get(name, setting.default)
        try:
            values[name] = None if text is None or text == "" else setting.parse(text)
        except ValueError as problem:
            problems.append(f"{PREFIX}{name.upper()} {problem} ({setting.meaning}).")
    if not problems:
        problems.extend(_contradictions(values))
    if problems:
        raise Problem(Code.INVALID, "The configuration has problems:\n  %(problems)s", problems="\n  ".join(problems))
    return Config(**values)


def require_secrets(config: Config) -> None:
    """What only the supervisor can see: whether the secrets that single processes get are all there. Problem INVALID."""
    if (config.mirror_url or "").startswith("s3:") and config.mirror_secret_key is None:
        raise Problem(Code.INVALID, "The mirror needs BILDBRIEF_MIRROR_ACCESS_KEY and BILDBRIEF_MIRROR_SECRET_KEY.")
    if config.key_provider == "pkcs11" and config.pkcs11_pin is None:
        raise Problem(Code.INVALID, "The HSM needs its PIN. Put it into a file and name that in BILDBRIEF_PKCS11_PIN_FILE.")


def _variables(environment: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG":
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in SETTINGS:
            given[name] = text
        elif name.removesuffix("_file") in SETTINGS:
            content = _content(Path(text), variable, problems)
            if content is not None:
                given[name.removesuffix("_file")] = content.strip()
        else:
            problems.append(f"{variable} is not a setting; see docs/operations.md for those there are.")
    return given


def _lines(path: str | None, problems: list[str]) -> dict[str, str]:
    content = _content(Path(path), f"{PREFIX}CONFIG", problems) if path else None
    given: dict[str, str] = {}
    for number, line in enumerate((content or "").splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, text = line.partition("=")
        if not equals or name.strip() not in SETTINGS:
            problems.append(f"Line {number} of the configuration file is not `setting = value` with a setting we know.")
        else:
            given[name.strip()] = text.strip()
    return given


def _content(path: Path, variable: str, problems: list[str]) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        problems.append(f"{variable} names a file that cannot be read; check the path and its permissions.")
        return None


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    found = []
    data, keys = (cast(Path, values[name]).absolute() for name in ("data_dir", "key_dir"))
    if data == keys or data in keys.parents or keys in data.parents:
        found.append("BILDBRIEF_KEY_DIR and BILDBRIEF_DATA_DIR lie in each other; keys must be on a volume of their own.")
    if values["share_days"] > values["share_days_max"]:
        found.append("BILDBRIEF_SHARE_DAYS is more than BILDBRIEF_SHARE_DAYS_MAX; lower the one or raise the other.")
    if values["dicom_connections_reserved"] >= values["dicom_connections"]:
        found.append("BILDBRIEF_DICOM_CONNECTIONS_RESERVED leaves nobody else a place; it must be less than BILDBRIEF_DICOM_CONNECTIONS.")
    ports = [values[name] for name in ("dicom_port", "dicom_tls_port", "desk_port", "portal_port")]
    if len(set(ports)) < len(ports):
        found.append(
            "BILDBRIEF_DICOM_PORT, BILDBRIEF_DICOM_TLS_PORT, BILDBRIEF_DESK_PORT and BILDBRIEF_PORTAL_PORT must be four different ports."
        )
    if (values["mirror_access_key"] is None) != (values["mirror_secret_key"] is None):
        found.append("BILDBRIEF_MIRROR_ACCESS_KEY and BILDBRIEF_MIRROR_SECRET_KEY belong together; give both or neither.")
    if values["key_provider"] == "pkcs11" and not (values["pkcs11_module"] and values["pkcs11_token"]):
        found.append("BILDBRIEF_KEY_PROVIDER is pkcs11; give BILDBRIEF_PKCS11_MODULE and BILDBRIEF_PKCS11_TOKEN too.")
    if values["storage_commitment"] and not nodes(values["modalities"] or ()):
        found.append(
            "BILDBRIEF_STORAGE_COMMITMENT needs a modality that can be called: give BILDBRIEF_MODALITIES one like CT1@192.168.1.30:104."
        )
    bucket = (values["mirror_url"] or "").startswith("s3:")
    known = values["mirror_declared_eu"] or is_in_eu(values["mirror_endpoint"] or aws(values["mirror_region"] or REGION))
    if bucket and not known:
        found.append(
            "BILDBRIEF_MIRROR_ENDPOINT is no address that we know to be in the EU. Choose another, or declare it with"
            " BILDBRIEF_MIRROR_DECLARED_EU=yes if you have made sure of it."
        )
    return found
