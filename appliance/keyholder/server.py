"""The keyholder: the only process that reads the key directory. It answers each role on that role's own socket, and nobody else.

Whoever can connect to a socket has its role (`disk.places.admit`); the table in `calls` says what a role may ask. What cannot be
understood is refused and ends the connection at worst, never the process.
"""

import ctypes
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ..disk.places import admit
from ..domain.errors import Code, Problem
from ..log import log
from ..vault.keys import self_test
from .calls import CALLS, FRAME_LIMIT, ROLES, Call, pack, receive, unpack
from .events import Events
from .gate import Gate
from .intake import Intake
from .master import Provider
from .ring import MADE_AT, Ring
from .rotation import move
from .shares import Shares
from .studies import Studies

CONNECTIONS: Final = 64  # at a time, for each role; more wait
WHOLE: Final = 10.0  # seconds for the rest of a frame, once it has begun
PATIENCE: Final = 10.0  # seconds for calls under way, when stopping

Handler = Callable[..., Any]


def serve(
    *,
    key_dir: Path,
    sockets: Path,
    now: Callable[[], int],
    argon2_memory_kib: int,
    ready: threading.Event,
    stop: threading.Event,
    admit: Callable[[Path, str], None] = admit,
    provider: Provider | None = None,
) -> None:
    """Answer until `stop` is set. `sockets`: the directory of `<role>.sock`; `admit` lets a role's user connect to its socket.
    `provider`: of the master key; files in the key directory if not given.

    Errors: Problem when the key directory cannot be used (see `Ring.opened`) or the cryptography fails its self test.
    """
    harden()
    self_test()
    with Ring.opened(key_dir, now, provider) as ring:
        server = Server(handlers(ring, argon2_memory_kib), sockets, admit)
        log.info("keyholder ready", provider=ring.provider.name)
        ready.set()
        stop.wait()
        server.close()


def harden() -> None:
    """No core file of this process, and no other process of its user may look into its memory (prctl(2), PR_SET_DUMPABLE)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None).prctl(4, 0, 0, 0, 0) != 0:
        log.error("memory of the keyholder is not protected")


def handlers(ring: Ring, argon2_memory_kib: int) -> dict[str, Handler]:
    """What answers each call of the table."""
    studies, intake, events = Studies(ring), Intake(ring), Events(ring)
    shares = Shares(ring, studies, argon2_memory_kib)
    parts = (shares, studies, intake, events)
    found = {name: getattr(part, name) for part in parts for name in CALLS if hasattr(part, name)}
    found |= {"status": lambda: status(ring), "uid_key": lambda: ring.secret("uid"), "desk_key": lambda: ring.secret("desk")}
    passing = {name: _passing(ring.gate, handler) for name, handler in found.items()}
    return passing | {"rotate_master": lambda: move(ring, ring.provider)}


def _passing(gate: Gate, handler: Handler) -> Handler:
    def passed(**values: Any) -> Any:
        with gate.passing():
            return handler(**values)

    return passed


def status(ring: Ring) -> dict[str, Any]:
    """Counts and ages in seconds; nothing that opens anything."""
    counts = {
        "studies": "SELECT count(*) AS n FROM studies",
        "epochs": "SELECT count(*) AS n FROM epochs",
        "shares": "SELECT count(*) AS n FROM shares WHERE record != ''",
        "shares_locked": "SELECT count(*) AS n FROM shares WHERE locked_at IS NOT NULL",
        "shares_revoked": "SELECT count(*) AS n FROM shares WHERE revoked_at IS NOT NULL",
        "intake_keys": "SELECT count(*) AS n FROM intake_keys",
        "oldest_intake_key": "SELECT :now - min(made_at) AS n FROM intake_keys",
        "forgotten": "SELECT count(*) AS n FROM tombstones",
        "events": "SELECT count(*) AS n FROM events",
        "oldest_event": "SELECT :now - min(at) AS n FROM events",
        "failures_last_hour": "SELECT count(*) AS n FROM attempts WHERE at > :now - 3600",
    }
    db, now = ring.here(), ring.now()
    master = {"provider": ring.provider.name, "provider_state": ring.provider.state(), MADE_AT: ring.fact(MADE_AT)}
    return master | {name: list(db.query(sql, {"now": now}))[0]["n"] for name, sql in counts.items()}  # noqa: RUF015


class Server:
    """Listens from the moment it is made. One thread for each socket, one for each connection."""

    def __init__(self, handlers: Mapping[str, Handler], sockets: Path, admit: Callable[[Path, str], None]) -> None:
        self._handlers = handlers
        self._stopping = False
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._listeners: list[tuple[Path, socket.socket, threading.Thread]] = []
        for role in ROLES:
            path = sockets / f"{role}.sock"
            listener = socket.socket(socket.AF_UNIX)
            try:
                path.unlink(missing_ok=True)  # of a keyholder that was killed; the key directory's lock says there is no other
                listener.bind(str(path))
                admit(path, role)
            except OSError as error:
                listener.close()
                self.close()
                raise Problem(
                    Code.UNAVAILABLE,
                    "The socket %(path)s cannot be made. Choose a run_dir that can be written to, with a short path (107 bytes in all).",
                    path=str(path),
                ) from error
            listener.listen(CONNECTIONS)
            thread = threading.Thread(target=self._accept, args=(listener, role), name=f"keyholder {role}", daemon=True)
            self._listeners.append((path, listener, thread))
        for _, _, thread in self._listeners:
            thread.start()

    def close(self) -> None:
        """Stop listening, let calls under way finish, end all connections."""
        self._stopping = True
        for path, listener, thread in self._listeners:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes accept
            if thread.ident is not None:
                thread.join(PATIENCE)
            listener.close()
            path.unlink(missing_ok=True)
        with self._lock:
            open_now = list(self._connections.items())
        for connection, _ in open_now:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # an answer still goes out
        for _, thread in open_now:
            thread.join(PATIENCE)

    def _accept(self, listener: socket.socket, role: str) -> None:
        places = threading.BoundedSemaphore(CONNECTIONS)
        while not self._stopping:
            if not places.acquire(timeout=0.5):
                continue
            try:
                connection, _ = listener.accept()
            except OSError:
                places.release()
                if not self._stopping:
                    log.error("keyholder cannot accept", role=role, exc_info=True)
                    time.sleep(0.1)
                continue
            thread = threading.Thread(target=self._converse, args=(connection, role, places), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _converse(self, connection: socket.socket, role: str, places: threading.BoundedSemaphore) -> None:
        try:
            while not self._stopping and self._one_call(connection, role):
                pass
        except (OSError, EOFError):
            pass  # the other side is gone, or stopped in the middle of a frame
        except Exception:  # noqa: BLE001  (nothing that a caller sends may end more than its own connection)
            log.error("keyholder connection failed", role=role, exc_info=True)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()
            places.release()

    def _one_call(self, connection: socket.socket, role: str) -> bool:
        """Receive a request, send its answer. False when the connection is to end."""
        connection.settimeout(None)
        start = connection.recv(1)
        if not start:
            return False
        connection.settimeout(WHOLE)
        (length,) = struct.unpack(">I", start + receive(connection, 3))
        if length > FRAME_LIMIT:
            connection.sendall(
                pack(_told(Problem(Code.TOO_LARGE, "This is too much for one question to the keyholder. Choose fewer studies.")))
            )
            return False
        answer = self._answer(receive(connection, length), role)
        connection.settimeout(WHOLE)
        connection.sendall(answer)
        return True

    def _answer(self, body: bytes, role: str) -> bytes:
        try:
            call, handler, values = self._understand(body, role)
            return pack({"ok": call.gives.encode(handler(**values))})
        except Problem as problem:
            return pack(_told(problem))
        except Exception:  # noqa: BLE001  (the caller is told that it failed, the log where)
            log.error("call failed", role=role, exc_info=True)
            return pack(_told(Problem(Code.UNAVAILABLE, "The keyholder could not do this now. Please try again in a moment.")))

    def _understand(self, body: bytes, role: str) -> tuple[Call, Handler, dict[str, Any]]:
        """Errors: Problem FORBIDDEN for what this role may not ask or nobody may, INVALID for what makes no sense."""
        try:
            request = unpack(body)
            name = request.pop("call", None)
            call = CALLS.get(name) if isinstance(name, str) else None
            values = call.takes.decode(request) if call is not None and role in call.roles else None
        except ValueError as error:
            log.warning("request not understood", role=role)
            raise Problem(Code.INVALID, "The keyholder does not understand this question.") from error
        if call is None or values is None:
            log.warning("call refused", role=role, call=name if call else "unknown")
            raise Problem(Code.FORBIDDEN, "The keyholder does not answer this to this process.")
        return call, self._handlers[name], values


def _told(problem: Problem) -> dict[str, Any]:
    return {"problem": {"code": problem.code, "message": problem.message, "values": problem.values}}
