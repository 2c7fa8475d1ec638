"""A reader of letters without a browser: HTTP by hand, so that each answer can be looked at byte by byte."""

import http.client
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Answer:
    """What a door answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Reader:
    """One visitor of the portal with a cookie jar. Opens a letter at once when given its code and password."""

    def __init__(self, port: int, code: str = "", password: str = "") -> None:
        self._port = port
        self.cookies: dict[str, str] = {}
        if code:
            opened = self.open(code, password)
            assert opened.status == 303, f"the letter did not open: {opened.status}"

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"Origin": f"http://127.0.0.1:{self._port}"}
            if self.cookies:
                sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            if form is not None:
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, urlencode(form) if form is not None else None, sent)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie", []):
                name, _, value = line.partition(";")[0].partition("=")
                self.cookies[name] = value
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def open(self, code: str, password: str) -> Answer:
        return self.ask("POST", f"/s/{code}", {"password": password})

    def fetch_zip(self, path: str = "/download") -> bytes:
        ticket = self.get(path)
        assert ticket.status == 302, ticket.status
        answer = self.get(ticket.headers["location"])
        assert answer.status == 200
        assert len(answer.body) == int(answer.headers["content-length"])
        return answer.body

    def download(self, directory: Path, path: str = "/download") -> list[Path]:
        """Fetch and unpack the ZIP; the DICOM images in it, without the DICOMDIR."""
        directory.mkdir(parents=True, exist_ok=True)
        archive = directory / "images.zip"
        archive.write_bytes(self.fetch_zip(path))
        with zipfile.ZipFile(archive) as content:
            assert content.testzip() is None
            content.extractall(directory)
        return sorted(file for file in (directory / "DICOM").rglob("*") if file.is_file())
