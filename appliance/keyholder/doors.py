"""The keyholder's doors: by which a caller comes in tells which role it has.

A socket on this machine belongs to one role, and whoever can connect to it has that role. The door for other machines asks for
a certificate; strangers there are few at a time, have little time, and cannot keep others out.
"""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol, cast

from ..domain.errors import Code, Problem
from ..log import log
from .authority import Authority
from .calls import REMOTE, pack
from .tls import HANDSHAKE, holder, server_context

CONNECTIONS: Final = 64  # at a time, for each role
STRANGERS: Final = 64  # connections at a time that have not shown a certificate yet
IDLE: Final = 60.0  # seconds that a caller on another machine may be silent between two calls; it keeps connections for less (`client`)

WhoAsks = Callable[[], str]
"""The role of a caller, asked before each call. Raises Problem when it may not ask any more."""


class Door(Protocol):
    """Listens from the moment it is made. `idle`: seconds a connection may be silent between two calls; None: for ever."""

    name: str

    @property
    def idle(self) -> float | None: ...

    def accept(self) -> socket.socket | None:
        """The next connection; None if that is not worth anything. Errors: OSError."""
        ...

    def entered(self, connection: socket.socket) -> AbstractContextManager[WhoAsks]:
        """While the caller is in, in a thread of its own. Errors: Problem for who is not let in; OSError."""
        ...

    def close(self) -> None:
        """Stop listening; wakes `accept`."""
        ...


class UnixDoor:
    """The socket of one role. When `CONNECTIONS` are open, more wait."""

    idle = None

    def __init__(self, path: Path, role: str, admit: Callable[[Path, str], None]) -> None:
        self.name = role
        self._path = path
        self._places = threading.BoundedSemaphore(CONNECTIONS)
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            path.unlink(missing_ok=True)  # of a keyholder that was killed; the key directory's lock says there is no other
            self._listener.bind(str(path))
            admit(path, role)
        except OSError as error:
            self._listener.close()
            raise Problem(
                Code.UNAVAILABLE,
                "The socket %(path)s cannot be made. Choose a run_dir that can be written to, with a short path (107 bytes in all).",
                path=str(path),
            ) from error
        self._listener.listen(CONNECTIONS)

    def accept(self) -> socket.socket | None:
        if not self._places.acquire(timeout=0.5):
            return None
        try:
            return self._listener.accept()[0]
        except OSError:
            self._places.release()
            raise

    @contextmanager
    def entered(self, connection: socket.socket) -> Iterator[WhoAsks]:  # noqa: ARG002 (the door itself says who comes)
        try:
            yield lambda: self.name
        finally:
            self._places.release()

    def close(self) -> None:
        _close(self._listener)
        self._path.unlink(missing_ok=True)


class TlsDoor:
    """The door for other machines. Of too many strangers the one that has been there longest has to go."""

    name = "remote"
    idle = IDLE

    def __init__(self, host: str, port: int, authority: Authority) -> None:
        """Errors: Problem UNAVAILABLE if nobody can listen there."""
        self._authority = authority
        self._context = server_context(authority.certificate, authority.identity())
        self._strangers: dict[socket.socket, None] = {}  # oldest first
        self._lock = threading.Lock()
        self._places = {role: threading.BoundedSemaphore(CONNECTIONS) for role in REMOTE}
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=STRANGERS)
        except OSError as error:
            raise Problem(
                Code.UNAVAILABLE,
                "The keyholder cannot listen on %(host)s, port %(port)d. Choose an address of this machine and a free port.",
                host=host,
                port=port,
            ) from error
        self.port = int(self._listener.getsockname()[1])

    def accept(self) -> socket.socket | None:
        raw, _ = self._listener.accept()
        try:
            raw.settimeout(HANDSHAKE)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
        except OSError:
            raw.close()  # it is gone already
            return None
        with self._lock:
            if len(self._strangers) >= STRANGERS:
                longest = next(iter(self._strangers))
                del self._strangers[longest]
                end(longest, socket.SHUT_RDWR)
            self._strangers[connection] = None
        return connection

    @contextmanager
    def entered(self, connection: socket.socket) -> Iterator[WhoAsks]:
        caller = cast(ssl.SSLSocket, connection)
        try:
            caller.do_handshake()
        except ssl.SSLError as error:
            if not isinstance(error, ssl.SSLEOFError):  # who goes away by itself is nobody's concern
                log.warning("caller not accepted", reason=error.reason)
            raise
        finally:
            with self._lock:
                self._strangers.pop(connection, None)
        shown = holder(caller)
        try:
            role = self._authority.role(shown)
        except Problem:
            log.warning("certificate not accepted", fingerprint=shown.fingerprint)
            raise
        if not self._places[role].acquire(blocking=False):
            raise Problem(Code.UNAVAILABLE, "Too many ask the keyholder at this moment. Please try again in a moment.")
        try:
            connection.sendall(pack({"ok": None}))
            yield lambda: self._authority.role(shown)
        finally:
            self._places[role].release()

    def close(self) -> None:
        _close(self._listener)


def end(connection: socket.socket, how: int) -> None:
    """Wake whoever reads from a connection: from now on there is nothing.

    Past TLS: `SSLSocket.shutdown` would take the encryption off, and an answer under way would go out readable.
    """
    with suppress(OSError):
        socket.socket.shutdown(connection, how)


def _close(listener: socket.socket) -> None:
    end(listener, socket.SHUT_RDWR)
    listener.close()
