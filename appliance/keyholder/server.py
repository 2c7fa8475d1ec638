"""The keyholder: the only process that reads the key directory. It answers each role by that role's own ways in, and nobody else.

By which door a caller comes in tells its role (`doors`); the table in `calls` says what a role may ask. What cannot be understood
is refused and ends the connection at worst, never the process.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from .. import memory
from ..config import Endpoint
from ..disk.places import admit
from ..domain.errors import Code, Problem
from ..log import log
from ..vault.keys import self_test
from .authority import Authority, enrolled
from .backup import remembered
from .calls import CALLS, FRAME_LIMIT, ROLES, Call, pack, receive, unpack
from .doors import Door, TlsDoor, UnixDoor, WhoAsks, end
from .events import Events, caller
from .gate import Gate
from .intake import Intake
from .master import Provider, WrongPin
from .opening import Opening
from .reburial import Reburial
from .ring import Ring
from .rotation import move
from .shares import Shares
from .studies import Studies

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
    listen: Endpoint | None = None,
    provider: Provider | None = None,
) -> None:
    """Answer until `stop` is set. `sockets`: the directory of `<role>.sock`; `admit` lets a role's user connect to its socket;
    `listen`: where other machines may ask, if they may; `provider`: of the master key, files in the key directory if not given.

    Errors: Problem when the key directory cannot be used (see `Ring.opened`) or the cryptography fails its self test.
    """
    memory.protect()
    memory.lock()
    self_test()
    with ExitStack() as opening:
        try:
            ring = opening.enter_context(Ring.opened(key_dir, now, provider))
        except WrongPin as problem:
            log.error("keyholder waits to be started again", reason=problem.message)
            stop.wait()  # ended, it would be started again at once, and ask the HSM again
            raise
        remote = None if listen is None else TlsDoor(listen.host, listen.port, Authority(ring))
        server = Server(handlers(ring, argon2_memory_kib), sockets, admit, remote)
        log.info("keyholder ready", provider=ring.provider.name)
        ready.set()
        stop.wait()
        server.close()


def handlers(ring: Ring, argon2_memory_kib: int) -> dict[str, Handler]:
    """What answers each call of the table."""
    studies, intake, events = Studies(ring), Intake(ring), Events(ring)
    shares = Shares(ring, studies, argon2_memory_kib)
    reburial = Reburial(ring, studies, shares, events)
    parts = (
        shares,
        studies,
        intake,
        events,
        Opening(ring, argon2_memory_kib),
        Authority(ring),
        reburial,
    )  # the last one that has a call answers it
    found = {name: getattr(part, name) for part in parts for name in CALLS if hasattr(part, name)}
    found |= {"status": lambda: status(ring), "uid_key": lambda: ring.secret("uid"), "desk_key": lambda: ring.secret("desk")}
    found["rotate_master"] = lambda: move(ring, ring.provider)
    for name, call in CALLS.items():
        if call.counted:
            found[name] = events.counted(name, found[name])
        if not call.always:
            found[name] = reburial.guarded(found[name])
        if name != "rotate_master":  # which waits until nobody is inside
            found[name] = _passing(ring.gate, found[name])
    return found


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
        "newest_intake_key": "SELECT :now - max(made_at) AS n FROM intake_keys",
        "forgotten": "SELECT count(*) AS n FROM tombstones",
        "events": "SELECT count(*) AS n FROM events",
        "oldest_event": "SELECT :now - min(at) AS n FROM events",
        "failures_last_hour": "SELECT count(*) AS n FROM attempts WHERE at > :now - 3600",
    }
    db, now = ring.here(), ring.now()
    facts = {found["name"]: found["value"] for found in db.query("SELECT name, value FROM facts")}
    counted = {name: list(db.query(sql, {"now": now}))[0]["n"] for name, sql in counts.items()}  # noqa: RUF015
    here = {"provider": ring.provider.name, "provider_state": ring.provider.state(), "memory": "locked" if memory.locked() else "swappable"}
    return here | counted | remembered(facts, now) | enrolled(ring)


class Server:
    """Listens from the moment it is made. One thread for each door, one for each connection."""

    def __init__(
        self, handlers: Mapping[str, Handler], sockets: Path, admit: Callable[[Path, str], None], remote: TlsDoor | None = None
    ) -> None:
        """`remote`: the door for other machines, if there is one."""
        self._handlers = handlers
        self._stopping = False
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._doors: list[tuple[Door, threading.Thread]] = []
        try:
            if remote is not None:
                self._add(remote)
            for role in ROLES:
                self._add(UnixDoor(sockets / f"{role}.sock", role, admit))
        except Problem:
            self.close()
            raise
        for _, thread in self._doors:
            thread.start()

    def close(self) -> None:
        """Stop listening, let calls under way finish, end all connections."""
        self._stopping = True
        for door, thread in self._doors:
            door.close()
            if thread.ident is not None:
                thread.join(PATIENCE)
        with self._lock:
            open_now = list(self._connections.items())
        for connection, _ in open_now:
            end(connection, socket.SHUT_RD)  # an answer still goes out
        for _, thread in open_now:
            thread.join(PATIENCE)

    def _add(self, door: Door) -> None:
        self._doors.append((door, threading.Thread(target=self._accept, args=(door,), name=f"keyholder {door.name}", daemon=True)))

    def _accept(self, door: Door) -> None:
        while not self._stopping:
            try:
                connection = door.accept()
            except OSError:
                if not self._stopping:
                    log.error("keyholder cannot accept", door=door.name, exc_info=True)
                    time.sleep(0.1)
                continue
            if connection is None:
                continue
            thread = threading.Thread(target=self._converse, args=(connection, door), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _converse(self, connection: socket.socket, door: Door) -> None:
        try:
            with door.entered(connection) as who_asks:
                while not self._stopping and self._one_call(connection, who_asks, door.idle):
                    pass
        except Problem as problem:  # not let in, or not any more
            with suppress(OSError):
                connection.sendall(pack(_told(problem)))
        except (OSError, EOFError):
            pass  # the other side is gone, or stopped in the middle of a frame
        except Exception:  # noqa: BLE001  (nothing that a caller sends may end more than its own connection)
            log.error("keyholder connection failed", door=door.name, exc_info=True)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()

    def _one_call(self, connection: socket.socket, who_asks: WhoAsks, idle: float | None) -> bool:
        """Receive a request, send its answer. False when the connection is to end. Errors: Problem when the caller may not ask any more."""
        connection.settimeout(idle)
        start = connection.recv(1)
        if not start:
            return False
        connection.settimeout(WHOLE)
        (length,) = struct.unpack(">I", start + receive(connection, 3))
        if length > FRAME_LIMIT:
            raise Problem(Code.TOO_LARGE, "This is too much for one question to the keyholder. Choose fewer studies.")
        body = receive(connection, length)
        answer = self._answer(body, who_asks())
        connection.settimeout(WHOLE)
        connection.sendall(answer)
        return True

    def _answer(self, body: bytes, role: str) -> bytes:
        caller.set(role)  # a thread has a context of its own
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
