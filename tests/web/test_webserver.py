"""The web server keeps bodies in memory, limits them, and refuses the framings that proxies and servers read differently."""

import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.webserver import HEADER_LIMIT, WebServer

LIMIT = 3 << 20


def echo(environ: dict[str, Any], start: Any) -> list[bytes]:
    """Answers how much body came."""
    body = environ["wsgi.input"].read()
    start("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/large":
        return [b"x" * (5 << 20)]
    return [f"{len(body)} of {environ.get('CONTENT_LENGTH')} from {environ['REMOTE_ADDR']}".encode()]


@pytest.fixture(scope="module", params=[None, "127.0.0.1"], ids=["direct", "behind a proxy"])
def server(request: pytest.FixtureRequest) -> Iterator[WebServer]:
    made = WebServer(echo, host="127.0.0.1", port=0, threads=4, body_limit=lambda _: LIMIT, trusted_proxy=request.param)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=[stop])
    thread.start()
    yield made
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def no_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    for name in ("TemporaryFile", "SpooledTemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, refuse)


def ask(server: WebServer, request: bytes, body: bytes = b"") -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def test_a_large_body_and_a_large_answer_stay_in_memory(server: WebServer) -> None:
    size = LIMIT
    answer = ask(server, b"POST /large HTTP/1.1\nHost: a\nConnection: close\nContent-Length: %d" % size, bytes(size))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert len(answer) > 5 << 20
    assert b"Server:" not in answer[:1000]


def test_a_body_over_the_limit_is_read_to_its_end_and_not_kept(server: WebServer) -> None:
    size = LIMIT + 1
    answer = ask(server, b"POST / HTTP/1.1\nHost: a\nConnection: close\nContent-Length: %d" % size, bytes(size))
    assert f"0 of {size} from".encode() in answer


@pytest.mark.parametrize(
    "framing",
    [
        b"Transfer-Encoding: chunked",
        b"Content-Length: 5\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: xchunked",
        b"Content-Length: 5\nContent-Length: 6",
        b"Content-Length: +5",
        b"Content-Length: 0x5",
        b"Content-Length : 5",
    ],
)
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_ambiguous_framing_is_refused(server: WebServer, framing: bytes, version: bytes) -> None:
    answer = ask(server, b"POST / HTTP/%s\nHost: a\nConnection: close\n%s" % (version, framing), b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n")
    assert answer.split(b"\r\n")[0].split(b" ")[1] in (b"400", b"501")
    assert answer.count(b"HTTP/1.") == 1, "one request, one answer"


def test_only_the_proxy_is_believed_about_the_sender(server: WebServer, request: pytest.FixtureRequest) -> None:
    answer = ask(server, b"GET / HTTP/1.1\nHost: a\nConnection: close\nX-Forwarded-For: 192.0.2.7")
    behind = "behind" in request.node.name
    assert (b"from 192.0.2.7" in answer) is behind
    assert (b"from 127.0.0.1" in answer) is not behind


def test_too_many_headers_are_refused(server: WebServer) -> None:
    head = b"GET / HTTP/1.1\nHost: a\nConnection: close\nX: "
    answer = ask(server, head.ljust(HEADER_LIMIT - 3 - 4, b"x"))  # three line ends and the final one
    assert answer.split(b"\r\n")[0].split(b" ")[1] == b"431"
