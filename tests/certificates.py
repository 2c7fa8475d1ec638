"""Certificates as other people's authorities and modalities make them: by openssl, with whatever is odd about them."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from programs import which


class Pair(NamedTuple):
    """A private key and its certificate, PEM files."""

    key: Path
    certificate: Path


class Workshop:
    """Makes certificates in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()

    def make(
        self,
        name: str,
        *extensions: str,
        signer: Pair | None = None,
        kind: str = "rsa:2048",
        dates: str = "20260101:20490101",
        md: str = "sha256",
    ) -> Pair:
        """A certificate with these extensions (`keyUsage=…`), self-signed unless there is a signer; `dates`: first and last day."""
        pair = Pair(self.directory / f"{name}.key", self.directory / f"{name}.pem")
        request, settings = self.directory / f"{name}.csr", self.directory / f"{name}.cnf"
        options = ["-newkey", kind] if kind.startswith("rsa") else ["-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
        self._run("req", "-new", *options, "-noenc", "-keyout", pair.key, "-subj", f"/CN={name}", "-out", request)
        start, end = dates.split(":")
        database = self.directory / f"{name}.db"
        database.mkdir()
        (database / "index").touch()
        settings.write_text(
            f"[ca]\ndefault_ca=one\n[one]\nnew_certs_dir={database}\ndatabase={database}/index\nrand_serial=yes\npolicy=any\n"
            "unique_subject=no\nx509_extensions=these\n[any]\ncommonName=supplied\n[these]\n" + "\n".join(extensions) + "\n"
        )
        by = ["-keyfile", signer.key, "-cert", signer.certificate] if signer else ["-selfsign", "-keyfile", pair.key]
        self._run(
            "ca", "-batch", "-notext", "-config", settings, *by, "-md", md, "-in", request, "-out", pair.certificate,
            "-startdate", f"{start}000000Z", "-enddate", f"{end}000000Z",
        )  # fmt: skip
        return pair

    def authority(self, name: str = "hospital", *, signer: Pair | None = None) -> Pair:
        return self.make(name, "basicConstraints=critical,CA:true", "keyUsage=critical,keyCertSign", signer=signer)

    def modality(self, name: str = "CT1", *, signer: Pair | None = None, **odd: str) -> Pair:
        return self.make(name, "extendedKeyUsage=clientAuth", signer=signer, **odd)

    def server(self, name: str = "images", *, signer: Pair | None = None, **odd: str) -> Pair:
        return self.make(name, "extendedKeyUsage=serverAuth", "subjectAltName=DNS:images.praxis", signer=signer, **odd)

    @staticmethod
    def _run(*words: str | Path) -> None:
        done = subprocess.run([which("openssl"), *words], capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
