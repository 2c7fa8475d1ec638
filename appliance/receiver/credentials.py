"""What the receiver shows of itself over TLS, and whom it trusts: the files of one directory, as `bildbrief dicom` changes them.

    authority.key    signs for the receiver and for modalities; only whoever types commands reads it
    server.pem       private key, certificate and chain; only the receiver reads it
    certificate.pem  certificate and chain once more, for all
    trusted/…        whom the receiver lets in: a certificate each, named by its fingerprint

A modality's certificate that was made here counts because it lies in `trusted`, not because of who signed it: so each can be
withdrawn, and a stolen authority key lets nobody in.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from cryptography.x509.oid import ExtendedKeyUsageOID

from ..certificates import CERTIFICATE, LIFETIME, Authority, moment, pem
from ..disk.files import fsync_dir, replace_file
from ..domain.errors import Code, Problem
from .certificate_files import About, about, judge_peer, judge_server, read_certificates, read_key
from .tls import AE_URI, SERVER, TRUSTED

AUTHORITY: Final = "authority.key"

_BITS: Final = 3072  # of RSA, which every modality can read; BSI TR-02102-1 asks for 3000
_END: Final = datetime(
    2049, 12, 31, tzinfo=UTC
)  # of the authority; RFC 5280 4.1.2.5: from 2050 on dates are written in a way old devices do not know
_HOST: Final = re.compile("[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


class Issued(NamedTuple):
    """What a modality gets. `pkcs12` holds all three and is sealed by `password`."""

    certificate: x509.Certificate
    files: dict[str, bytes]
    password: str


class Credentials:
    """`receiver`: number of the receiver's user; -1: everything belongs to whoever types the commands."""

    def __init__(self, directory: Path, now: Callable[[], int], receiver: int = -1) -> None:
        self._directory = directory
        self._now = now
        self._receiver = receiver

    @property
    def authority(self) -> Authority:
        """Made when first asked for. Errors: Problem CONFLICT when it cannot be kept."""
        file = self._directory / AUTHORITY
        if not file.exists():
            self._write(file, pem(_new_key()).encode(), mode=0o400)
        key = load_pem_private_key(file.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 (for the type checker: we made it)
        mark = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]  # two appliances are two authorities
        return Authority(f"Bildbrief DICOM {mark}", key, _END)

    # -- the receiver's own ------------------------------------------------------------------------------------------

    def make(self, names: Sequence[str]) -> About:
        """A new private key and certificate for the names and addresses by which modalities call the receiver. Errors: Problem INVALID."""
        alternatives = [_general_name(name) for name in names]
        key = _new_key()
        end = moment(self._now() + LIFETIME)
        certificate = self.authority.issue(names[0], key.public_key(), alternatives, end, ExtendedKeyUsageOID.SERVER_AUTH)
        return self._install(pem(key).encode(), [certificate])

    def take(self, certificate: bytes, key: bytes, chain: bytes) -> About:
        """Somebody else's certificate for the receiver, with its private key (PEM). Errors: Problem INVALID."""
        certificates = [*read_certificates(certificate), *(read_certificates(chain) if chain else ())]
        private = read_key(key)
        judge_server(certificates, private, moment(self._now()))
        return self._install(pem(private).encode(), certificates)

    def shown(self) -> About:
        """What the receiver shows. Errors: Problem NOT_FOUND."""
        try:
            return about(read_certificates((self._directory / CERTIFICATE).read_bytes())[0])
        except FileNotFoundError as error:
            raise Problem(
                Code.NOT_FOUND, "There is no certificate for DICOM over TLS yet. Make one with: bildbrief dicom certificate make NAME"
            ) from error

    def _install(self, key: bytes, certificates: list[x509.Certificate]) -> About:
        public = "".join(map(pem, certificates)).encode()
        self._write(self._directory / SERVER, key + public, mode=0o400, owner=self._receiver)
        self._write(self._directory / CERTIFICATE, public)
        return about(certificates[0])

    # -- modalities --------------------------------------------------------------------------------------------------

    def issue(self, ae_title: str) -> Issued:
        """A private key and certificate for the modality of this AE title, which may call itself nothing else. Not trusted yet."""
        authority, key = self.authority, _new_key()
        name = x509.UniformResourceIdentifier(f"{AE_URI}{quote(ae_title, safe='')}")
        end = moment(self._now() + LIFETIME)
        certificate = authority.issue(ae_title, key.public_key(), [name], end, ExtendedKeyUsageOID.CLIENT_AUTH)
        password = secrets.token_urlsafe(12)
        sealed = BestAvailableEncryption(password.encode())
        files = {
            "key.pem": pem(key).encode(),
            "certificate.pem": pem(certificate).encode(),
            "ca.pem": pem(authority.certificate).encode(),
            "modality.p12": serialize_key_and_certificates(ae_title.encode(), key, certificate, [authority.certificate], sealed),
        }
        return Issued(certificate, files, password)

    def trust(self, content: bytes) -> list[About]:
        """Let in whoever shows one of these certificates (PEM or DER), or one signed by it. Errors: Problem INVALID."""
        certificates = read_certificates(content)
        for certificate in certificates:
            judge_peer(certificate, moment(self._now()))
        for certificate in certificates:
            self._write(self._directory / TRUSTED / f"{certificate.fingerprint(SHA256()).hex()}.pem", pem(certificate).encode())
        return [about(certificate) for certificate in certificates]

    def trusted(self) -> list[About]:
        """Whom the receiver lets in, the first to end first."""
        return sorted(self._trusted().values(), key=lambda each: each.end)

    def distrust(self, fingerprint: str) -> About:
        """Let whoever shows this certificate in no more, from the next connection on. Errors: Problem NOT_FOUND."""
        mark = fingerprint.replace(":", "").upper()
        for file, found in self._trusted().items():
            if found.fingerprint.replace(":", "") == mark:
                file.unlink()
                fsync_dir(file.parent)
                return found
        raise Problem(Code.NOT_FOUND, "No certificate of this fingerprint is trusted. See those that are with: bildbrief dicom trust list")

    def _trusted(self) -> dict[Path, About]:
        return {file: about(read_certificates(file.read_bytes())[0]) for file in (self._directory / TRUSTED).glob("*.pem")}

    @staticmethod
    def _write(file: Path, content: bytes, *, mode: int = 0o444, owner: int = -1) -> None:
        try:
            replace_file(file, content, mode=mode, owner=owner)
        except OSError as error:
            raise Problem(
                Code.CONFLICT,
                "The certificates cannot be kept in the key directory. Start the appliance once, so that it makes its directories, and give"
                " this command as its administrator.",
            ) from error


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, _BITS)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        if _HOST.fullmatch(name):
            return x509.DNSName(name)
        raise Problem(
            Code.INVALID, "%(name)s is neither a name nor an address of a machine. Give what modalities call this one by.", name=name
        ) from None
