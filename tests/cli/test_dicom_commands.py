"""The commands for DICOM over TLS as an operator types them: what is made, what is taken, and what is refused in plain words."""

import io
import json
import os
import re
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from certificates import Workshop
from programs import which

from appliance.disk.places import Places
from appliance.domain.share import DAY


class Operator:
    """Types commands for an appliance that has been started once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = Places(root / "data", root / "keys", root / "run")
        self.places.prepare(users=False)
        self.shop = Workshop(root / "shop")

    def types(self, *words: str | Path, stdin: bytes = b"", status: int = 0, days: int = 0) -> str:
        """What `bildbrief dicom …` prints; at a refusal, what it says. `days`: later."""
        done = self.run(*words, stdin=stdin, days=days)
        assert done.returncode == status, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return (done.stderr if status else done.stdout).decode()

    def asks(self, *words: str | Path, **how: Any) -> Any:
        return json.loads(self.types(*words, "--json", **how))

    def run(self, *words: str | Path, stdin: bytes = b"", days: int = 0) -> subprocess.CompletedProcess[bytes]:
        roots = {"DATA_DIR": self.places.data, "KEY_DIR": self.places.keys, "RUN_DIR": self.places.run, "REHEARSE_DAYS": days}
        settings = {f"BILDBRIEF_{name}": str(value) for name, value in roots.items()}
        return subprocess.run(
            [sys.executable, "-m", "appliance", "dicom", *words],
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **settings},
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def installed(self) -> bytes:
        return (self.places.dicom / "server.pem").read_bytes()


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def openssl(*words: str | Path) -> str:
    done = subprocess.run([which("openssl"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode()
    return done.stdout.decode()


# -- the receiver's certificate ----------------------------------------------------------------------------------------


def test_a_certificate_is_made_for_names_and_addresses(operator: Operator) -> None:
    assert "certificate make NAME" in operator.types("certificate", "show", status=4)
    made = operator.asks("certificate", "make", "bildbrief.praxis", "192.168.1.20", "fd00::1")
    assert made["names"] == ["bildbrief.praxis", "192.168.1.20", "fd00::1"]
    assert operator.asks("certificate", "show") == made
    authority = operator.root / "ca.pem"
    authority.write_text(operator.types("certificate", "ca"))
    server = operator.places.dicom / "server.pem"
    for name in (["-verify_hostname", "bildbrief.praxis"], ["-verify_ip", "192.168.1.20"], ["-verify_ip", "fd00::1"]):
        openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", authority, *name, server)
    assert made["fingerprint"] in openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", server)
    assert "3072 bit" in openssl("x509", "-noout", "-text", "-in", server)


def test_a_new_certificate_has_the_same_authority_and_another_key(operator: Operator) -> None:
    operator.types("certificate", "make", "one")
    first, authority = operator.installed(), operator.types("certificate", "ca")
    operator.types("certificate", "make", "one")
    assert operator.types("certificate", "ca") == authority
    assert operator.installed() != first


def test_who_may_read_what(operator: Operator) -> None:
    operator.types("certificate", "make", "one")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in operator.places.dicom.iterdir() if path.is_file()}
    assert modes == {"authority.key": 0o400, "server.pem": 0o400, "certificate.pem": 0o444}
    assert b"PRIVATE" not in (operator.places.dicom / "certificate.pem").read_bytes()


def test_show_warns_thirty_days_before(operator: Operator) -> None:
    operator.types("certificate", "make", "one")
    assert "(729 days)" in operator.types("certificate", "show")
    assert "WARNING" not in operator.types("certificate", "show", days=699)
    assert "WARNING" in operator.types("certificate", "show", days=700)
    assert "(0 days)\nWARNING" in operator.types("certificate", "show", days=800)


@pytest.mark.parametrize("name", ["", "a b", "*.praxis", "ä.praxis", "-x.praxis", "a" * 65, "192.168.1.20:2762"])
def test_what_is_no_name_of_a_machine(operator: Operator, name: str) -> None:
    assert "neither a name nor an address" in operator.types("certificate", "make", "fine", "--", name, status=2)
    assert not (operator.places.dicom / "server.pem").exists()


def test_before_the_first_start(operator: Operator) -> None:
    for directory in (operator.places.dicom / "trusted", operator.places.dicom):
        directory.rmdir()
    assert "Start the appliance once" in operator.types("certificate", "make", "one", status=5)


# -- somebody else's ---------------------------------------------------------------------------------------------------


def test_a_certificate_with_its_chain_is_imported(operator: Operator) -> None:
    root = operator.shop.authority()
    between = operator.shop.authority("radiology", signer=root)
    pair = operator.shop.server(signer=between)
    taken = operator.asks("certificate", "import", pair.certificate, pair.key, "--chain", between.certificate)
    assert (taken["subject"], taken["names"]) == ("CN=images", ["images.praxis"])
    openssl("verify", "-CAfile", root.certificate, "-untrusted", operator.places.dicom / "certificate.pem", pair.certificate)
    assert operator.installed().count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("kind", ["rsa:3072", "P-256", "P-384"])
def test_certificate_and_key_come_in_one_file_through_a_pipe(operator: Operator, kind: str) -> None:
    pair = operator.shop.server(kind=kind)
    for content in (pair.certificate.read_bytes() + pair.key.read_bytes(), pair.key.read_bytes() + pair.certificate.read_bytes()):
        assert operator.asks("certificate", "import", "-", stdin=content)["subject"] == "CN=images"


def test_what_is_not_imported_and_why(operator: Operator) -> None:
    shop = operator.shop
    root, good, other = shop.authority(), shop.server("good"), shop.server("other")
    between = shop.authority("radiology", signer=root)
    signed = shop.server("signed", signer=between)
    sealed = shop.directory / "sealed.key"
    openssl("pkey", "-in", good.key, "-aes256", "-passout", "pass:x", "-out", sealed)
    nothing = shop.directory / "nothing"
    nothing.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    ended, early = shop.server("ended", dates="20200101:20210101"), shop.server("early", dates="20480101:20490101")
    client, weak, tiny = shop.modality("client"), shop.server("weak", signer=root, md="sha1"), shop.server("tiny", kind="rsa:1024")
    short = shop.server("short", kind="P-224")
    refused: list[tuple[str, list[str | Path]]] = [
        ("not that of the first certificate", [good.certificate, other.key]),
        ("sealed with a passphrase", [good.certificate, sealed]),
        ("no private key", [good.certificate, good.certificate]),
        ("no private key", [good.certificate]),
        ("no certificate", [good.key, good.key]),
        ("no certificate", [nothing, good.key]),
        ("ended on 2021-01-01", [ended.certificate, ended.key]),
        ("only from 2048-01-01", [early.certificate, early.key]),
        ("serverAuth", [client.certificate, client.key]),
        ("too weak", [weak.certificate, weak.key]),
        ("too weak", [tiny.certificate, tiny.key]),
        ("too weak", [short.certificate, short.key]),
        ("CN=signed was not signed by CN=hospital", [signed.certificate, signed.key, "--chain", root.certificate]),
        ("no certificate", [signed.certificate, signed.key, "--chain", good.key]),
    ]
    for words, given in refused:
        said = operator.types("certificate", "import", *given, status=2)
        assert words in said, (words, said)
    assert not (operator.places.dicom / "server.pem").exists()


# -- modalities --------------------------------------------------------------------------------------------------------


def test_a_modality_gets_key_certificate_and_authority_also_in_one_sealed_file(operator: Operator) -> None:
    directory = operator.root / "CT 1"
    told = operator.run("modality", "CT 1/A", "--out", directory).stderr.decode()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == dict.fromkeys(
        ("key.pem", "certificate.pem", "ca.pem", "modality.p12"), 0o600
    )
    openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", directory / "ca.pem", directory / "certificate.pem")
    assert "urn:bildbrief:ae:CT%201%2FA" in openssl("x509", "-noout", "-ext", "subjectAltName", "-in", directory / "certificate.pem")
    (password,) = re.findall(r"shown only now:  (\S+)", told)
    sealed = openssl("pkcs12", "-in", directory / "modality.p12", "-passin", f"pass:{password}", "-nodes")
    for name in ("key.pem", "certificate.pem", "ca.pem"):
        assert (directory / name).read_text().strip() in sealed
    assert operator.types("certificate", "ca") == (directory / "ca.pem").read_text()
    (trusted,) = operator.asks("trust", "list")
    assert trusted["fingerprint"] in told
    assert trusted["subject"] == "CN=CT 1/A"
    assert password not in operator.types("trust", "list")
    assert "does not exist" in operator.types("modality", "CT2", "--out", directory, status=5)
    assert len(operator.asks("trust", "list")) == 1


def test_a_modality_s_files_go_through_a_pipe(operator: Operator) -> None:
    done = operator.run("modality", "CT1", "--out", "-")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        assert {entry.name: entry.mode for entry in archive} == dict.fromkeys(
            ("key.pem", "certificate.pem", "ca.pem", "modality.p12"), 0o600
        )
        key = archive.extractfile("key.pem")
        assert key is not None
        assert key.read().startswith(b"-----BEGIN PRIVATE KEY")
    assert b"shown only now" in done.stderr


def test_what_is_no_ae_title(operator: Operator) -> None:
    for title in ("", "A" * 17, "A\\B", "Ä"):
        assert "no AE title" in operator.types("modality", title, "--out", operator.root / "x", status=2)
    assert operator.types("trust", "list") == "Nobody.\n"


# -- trust -------------------------------------------------------------------------------------------------------------


def test_trust_is_given_listed_and_taken_away(operator: Operator) -> None:
    shop = operator.shop
    hospital, ct = shop.authority(), shop.modality("CT1", dates="20260101:20480101")
    der = shop.directory / "ct.der"
    openssl("x509", "-in", ct.certificate, "-outform", "DER", "-out", der)
    operator.types("trust", "add", der)
    operator.types("trust", "add", "-", stdin=hospital.certificate.read_bytes() + ct.certificate.read_bytes())
    first, second = operator.asks("trust", "list")
    assert (first["subject"], second["subject"]) == ("CN=CT1", "CN=hospital"), "the first to end first, each once"
    assert "Not trusted any more: CN=CT1" in operator.types("trust", "remove", first["fingerprint"].replace(":", "").lower())
    assert "trust list" in operator.types("trust", "remove", first["fingerprint"], status=4)
    assert "trust list" in operator.types("trust", "remove", "../server", status=4)
    assert operator.asks("trust", "list") == [second]


def test_whom_one_cannot_trust_and_why(operator: Operator) -> None:
    shop = operator.shop
    refused = {
        "ended on": shop.modality("ended", dates="20200101:20210101"),
        "clientAuth": shop.server("server"),
        "too weak": shop.modality("weak", kind="rsa:1024"),
    }
    for words, pair in refused.items():
        assert words in operator.types("trust", "add", pair.certificate, status=2)
    assert "no certificate" in operator.types("trust", "add", refused["ended on"].key, status=2)
    assert "no certificate" in operator.types("trust", "add", "-", stdin=os.urandom(500), status=2)
    assert "no certificate" in operator.types("trust", "add", "-", status=2)
    assert operator.types("trust", "list") == "Nobody.\n"


def test_the_days_a_modality_has(operator: Operator) -> None:
    operator.types("modality", "CT1", "--out", operator.root / "CT1")
    (trusted,) = operator.asks("trust", "list")
    made = (operator.root / "CT1").stat().st_mtime
    assert abs(trusted["ends_at"] - made - 730 * DAY) < 600
