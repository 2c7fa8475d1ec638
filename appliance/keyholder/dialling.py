"""How a process reaches the keyholder: by its socket on this machine, or by its certificate on another."""

import select
import socket
import ssl
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..domain.errors import Code, Problem
from .calls import FRAME_LIMIT, receive, unpack
from .tls import HANDSHAKE, SERVER_NAME, Remote, client_context


def dial(where: Path | Remote) -> socket.socket:
    """A new connection over which the keyholder will answer. Errors: OSError, EOFError, ValueError; Problem if it refuses."""
    if isinstance(where, Remote):
        return _dial_remote(where)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(where))
    except BaseException:
        connection.close()
        raise
    return connection


def _dial_remote(where: Remote) -> socket.socket:
    # The credentials are read each time: new ones count without a restart.
    context = client_context(where.credentials)
    with ExitStack() as undo:
        connection: socket.socket = undo.enter_context(socket.create_connection((where.host, where.port), HANDSHAKE))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection = undo.enter_context(context.wrap_socket(connection, server_hostname=SERVER_NAME))
            # In TLS 1.3 the keyholder judges our certificate after our side is done: its first words tell (`calls`).
            problem = problem_of(receive_answer(connection))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise
        except ssl.SSLError as error:
            raise Problem(
                Code.UNAVAILABLE,
                "This appliance and its keyholder do not accept each other's certificates. Whoever looks after them must enrol it anew.",
            ) from error
        if problem is not None:
            raise problem
        undo.pop_all()
    return connection


def has_ended(connection: socket.socket) -> bool:
    """Between two calls the keyholder says nothing: all that can be read is the end."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def receive_answer(connection: socket.socket) -> dict[str, Any]:
    """Errors: OSError, EOFError; ValueError for what is no answer."""
    (length,) = struct.unpack(">I", receive(connection, 4))
    if length > FRAME_LIMIT:
        raise ValueError("frame too long")
    return unpack(receive(connection, length))


def problem_of(answer: Mapping[str, Any]) -> Problem | None:
    """What an answer refuses with. Errors: LookupError, ValueError, TypeError for what is no answer."""
    if "problem" not in answer:
        return None
    told = answer["problem"]
    return Problem(Code(told["code"]), told["message"], **told["values"])
