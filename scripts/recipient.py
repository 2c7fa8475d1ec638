"""Opens a letter at the portal as a reader's browser would: code, password, worklist, download. Used by demo and container test."""

import hashlib
import io
import re
import zipfile
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import quote, urlsplit


class LetterError(Exception):
    """The portal answered otherwise than a reader would hope."""


class Reader:
    """A browser without a screen, for one visit."""

    def __init__(self, portal: str) -> None:
        """`portal`: its address, like `http://127.0.0.1:8080`."""
        self._place = urlsplit(portal).netloc
        self._cookies: dict[str, str] = {}

    def open(self, code: str, password: str) -> str:
        """Type code and password; the first page of the letter. Errors: LetterError."""
        self._get(f"/s/{code}")
        answer, _ = self._send("POST", f"/s/{code}", f"password={quote(password, safe='')}")
        if answer.status != 303:
            raise LetterError(f"The portal did not take code and password: {answer.status}.")
        return self._get(answer.getheader("Location", "")).decode()

    def download(self) -> bytes:
        """The ZIP with everything the letter opens. Errors: LetterError."""
        return self._get("/download")

    def _get(self, path: str) -> bytes:
        for _ in range(4):
            answer, content = self._send("GET", path)
            if answer.status == 200:
                return content
            if answer.status not in (302, 303, 308):
                break
            path = answer.getheader("Location", "")
        raise LetterError(f"The portal answered {answer.status} to {path.partition('?')[0].split('/')[1]}.")

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[HTTPResponse, bytes]:
        parts = urlsplit(path)
        headers = {"Sec-Fetch-Site": "same-origin", "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = HTTPConnection(self._place, timeout=60)
        try:
            connection.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            if found := re.match(r"([^=]+)=([^;]*)", cookie):
                self._cookies[found[1]] = found[2]
        return answer, content


def datasets(contents: list[bytes]) -> set[str]:
    """SHA-256 of what DICOM files hold behind their file meta group (PS3.10 7.1): the part that must arrive as it was sent."""
    return {hashlib.sha256(content[144 + int.from_bytes(content[140:144], "little") :]).hexdigest() for content in contents}


def verify(archive: bytes, sent: list[Path]) -> int:
    """Hold a download against the files sent: its number of files. Errors: LetterError."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        if damaged := opened.testzip():
            raise LetterError(f"The download is damaged at {damaged}.")
        names = opened.namelist()
        if missing := {"DICOMDIR", "README.TXT", "INDEX.HTM"} - set(names):
            raise LetterError(f"The download lacks {', '.join(sorted(missing))}.")
        received = datasets([opened.read(name) for name in names if name.startswith("DICOM/") and not name.endswith("/")])
    if lost := datasets([path.read_bytes() for path in sent]) - received:
        raise LetterError(f"{len(lost)} of {len(sent)} datasets are not in the download as they were sent.")
    return len(names)
