"""The desk as it runs: over a socket, with nothing on disk but what is sealed."""

import http.client
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pdfs import a_pdf
from stack import Stack
from visitor import LIMIT, PASSWORD

from appliance.desk import DeskParts, serve
from appliance.dicom.cage import Cage


@pytest.fixture
def port(stack: Stack, parts: DeskParts) -> Iterator[int]:
    stack.staff.add("operator", login="alma", name="Alma Anker", password=PASSWORD, role="admin")
    ready, stop, ports = threading.Event(), threading.Event(), list[int]()
    thread = threading.Thread(
        target=serve, args=(parts,), kwargs={"host": "127.0.0.1", "port": 0, "ready": ready, "stop": stop, "listening": ports.append}
    )
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def test_the_list_is_read_before_anybody_asks_and_waits_for_the_keyholder(stack: Stack, parts: DeskParts) -> None:
    study_id = stack.put_study()
    stack.stop_keyholder()
    tried, read, refresh = threading.Event(), threading.Event(), stack.worklist.refresh

    def watched() -> int:
        tried.set()
        count = refresh()
        read.set()
        return count

    parts.worklist.refresh = watched  # type: ignore[method-assign]
    stop = threading.Event()
    thread = threading.Thread(
        target=serve, args=(parts,), kwargs={"host": "127.0.0.1", "port": 0, "ready": threading.Event(), "stop": stop}
    )
    thread.start()
    try:
        assert tried.wait(10)
        assert not read.is_set()
        stack.start_keyholder()
        assert read.wait(10)
        stack.stop_keyholder()  # what it has read it can list
        assert [entry.study_id for entry in stack.worklist.search()] == [study_id]
    finally:
        stop.set()
        thread.join(10)


@pytest.fixture
def no_temporary_files(cage: Cage, monkeypatch: pytest.MonkeyPatch) -> None:
    """waitress and werkzeug spool what is large; here that is an error."""
    cage.pages(a_pdf())  # the cage's worker has started

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp", "mkdtemp"):
        monkeypatch.setattr(tempfile, name, refuse)
    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", refuse)


class Line:
    """A browser's connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.cookie = ""

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/x-www-form-urlencoded") -> tuple[int, str]:
        headers = {"Accept-Language": "en", "Cookie": self.cookie, **({"Content-Type": kind} if body else {})}
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        if cookie := response.headers["Set-Cookie"]:
            self.cookie = cookie.split(";")[0]
        return response.status, response.read().decode()

    def token(self, path: str) -> str:
        return self.ask("GET", path)[1].split('name="form" value="')[1][:64]

    def log_in(self) -> None:
        form = f"form={self.token('/login')}&login=alma&password={PASSWORD}".replace(" ", "+")
        assert self.ask("POST", "/login", form.encode())[0] == 303

    def upload(self, path: str, pdf: bytes, token: str) -> tuple[int, str]:
        head = f'--x\r\nContent-Disposition: form-data; name="form"\r\n\r\n{token}\r\n--x\r\nContent-Disposition: form-data; name="pdf"; '
        body = f'{head}filename="b.pdf"\r\nContent-Type: application/pdf\r\n\r\n'.encode() + pdf + b"\r\n--x--\r\n"
        return self.ask("POST", path, body, "multipart/form-data; boundary=x")


@pytest.fixture
def line(port: int) -> Iterator[Line]:
    made = Line(port)
    yield made
    made.close()


def test_a_large_report_never_touches_a_temporary_file(stack: Stack, line: Line, no_temporary_files: None) -> None:
    """A marker in the PDF is found in no file on the way, and the PDF arrives whole."""
    study_id = stack.put_study("Muster^Alice")
    line.log_in()
    pdf = a_pdf("CANARY7331", padding=LIMIT - 5000)
    assert b"x" * 1000 in pdf
    status, text = line.upload(f"/studies/{study_id}/reports", pdf, line.token(f"/studies/{study_id}"))
    assert status == 303, text
    assert [report.facts.pages for report in stack.inspecting.study(study_id).reports] == [1]
    for path in stack.places.data.rglob("*"):
        assert not path.is_file() or b"x" * 1000 not in path.read_bytes(), path


def test_a_report_that_is_too_large_is_refused_readably(stack: Stack, line: Line, no_temporary_files: None) -> None:
    study_id = stack.put_study("Muster^Alice")
    line.log_in()
    status, text = line.upload(f"/studies/{study_id}/reports", bytes(4 * LIMIT), line.token(f"/studies/{study_id}"))
    assert status == 413
    assert "This file is larger than 2 MB." in text


def test_who_is_not_logged_in_fills_no_memory(stack: Stack, line: Line, no_temporary_files: None) -> None:
    """What a stranger sends beyond a form is read to its end and thrown away; the answer is still a page."""
    status, _ = line.upload("/studies/" + "0" * 32 + "/reports", bytes(1 << 20), line.token("/login"))
    assert status == 303
    status, text = line.upload("/login", bytes(1 << 20), line.token("/login"))
    assert status == 413
    assert "This file is larger than" in text


def test_a_cookie_that_makes_no_sense_is_no_login(line: Line) -> None:
    for cookie in ("desk=", "desk=" + "x" * 5000, "desk=\x7f", ";;;=", 'desk="'):
        line.cookie = cookie
        assert line.ask("GET", "/")[0] in (303, 400)


def test_the_set_up_link_is_printed_once_and_logged_never(
    stack: Stack, parts: DeskParts, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(parts,), kwargs={"host": "127.0.0.1", "port": 0, "ready": ready, "stop": stop})
    thread.start()
    assert ready.wait(10)
    stop.set()
    thread.join(10)
    printed = capsys.readouterr().out
    (link,) = [word for word in printed.split() if "/setup/" in word]
    assert link.startswith("http://127.0.0.1:8081/setup/")
    assert stack.staff.is_setup_token(link.rsplit("/", 1)[1])
    assert printed.count(link.rsplit("/", 1)[1]) == 1
