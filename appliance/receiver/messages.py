"""The DIMSE messages of one association: fragments in, sealed files and responses out (PS3.7 6.3, PS3.8 Annex E).

Knows nothing of sockets or of pynetdicom, so whatever reads the fragments can change without it.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from ..domain import commandset
from ..domain.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE
from ..log import log
from . import part10
from .command import C_CANCEL, C_ECHO, C_STORE, N_ACTION, Abuse, Command, decode, respond
from .statuses import Status
from .syntaxes import is_storage

COMMAND, LAST = 1, 2  # bits of a message control header (PS3.8 E.2)
_ROOM_STEP = 16 << 20  # bytes of one instance between looks at the room left
ACTION_LIMIT = 8 << 20  # bytes of action information: some 50,000 references
_OF_ACTION = {Status.NO_SPACE: Status.NO_ROOM, Status.TOO_LARGE: Status.NO_ROOM}
"""What is said of an action in place of what is said of an instance (PS3.7 Annex C)."""

_T = TypeVar("_T")


Fill = Callable[[memoryview], None]
"""Fills a buffer with the bytes that come next; raises when they do not come."""


class Writer(Protocol):
    def write(self, data: bytes | memoryview) -> None: ...
    def buffer(self) -> memoryview: ...
    def advance(self, count: int) -> None: ...


class Incoming(Protocol):
    """A file on its way in: `vault.intake.Incoming`."""

    @property
    def writer(self) -> Writer: ...
    def publish(self) -> int: ...
    def discard(self) -> None: ...


class Context(NamedTuple):
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Session:
    """What an association has for its messages. `begin` opens a file in the intake, `room` tells the free bytes there.

    `ask` opens one for a storage commitment request; None for a sender to whom none of its reports could be made.
    """

    contexts: Mapping[int, Context]
    peer: str
    calling: str
    called: str
    begin: Callable[[], Incoming]
    room: Callable[[], int]
    instance_limit: int
    reserve: int
    ask: Callable[[], Incoming] | None = None


@dataclass(slots=True)
class _Message:
    """A request whose dataset is coming. Without a file it was refused, and its dataset is let pass."""

    context_id: int
    request: Command
    file: Incoming | None
    status: Status
    received: int = 0
    looked_at: int = 0  # bytes received when last there was room


class Messages:
    """One thread feeds it; `close` ends it at any point and leaves nothing half done."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._command = bytearray()
        self._passing = memoryview(bytearray(commandset.LIMIT))  # for what is not kept
        self._message: _Message | None = None
        self.stored = self.refused = self.stored_bytes = 0

    @property
    def midway(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._message is not None or bool(self._command)

    def fragment(self, context_id: int, control: int, length: int, fill: Fill) -> bytes | None:
        """Take one fragment of `length` bytes. Returns the response when it completes a message that has one. Raises Abuse."""
        if control & COMMAND:
            if self._message is not None:
                raise Abuse("a command within a dataset")
            if length > commandset.LIMIT - len(self._command):
                raise Abuse("a command set that does not end")
            fill(self._passing[:length])
            self._command += self._passing[:length]
            if not control & LAST:
                return None
            self._message = self._receive(context_id, decode(bytes(self._command)))
            self._command.clear()
            if self._message.request.has_dataset:
                return None
        else:
            if self._message is None or self._message.context_id != context_id:
                raise Abuse("a dataset without its command")
            self._take(self._message, length, fill)
            if not control & LAST:
                return None
        message, self._message = self._message, None
        return self._answer(message)

    def close(self) -> None:
        """Discard what is not acknowledged."""
        if self._message is not None and self._message.file is not None:
            self._message.file.discard()
        self._message = None
        self._command.clear()
        session, counts = self._session, {"stored": self.stored, "refused": self.refused, "bytes": self.stored_bytes}
        log.info("association ended", peer=session.peer, calling=session.calling, called=session.called, **counts)

    def _receive(self, context_id: int, request: Command) -> _Message:
        message = _Message(context_id, request, None, Status.SUCCESS)
        self._try(message, self._begin, message)
        return message

    def _begin(self, message: _Message) -> None:
        message.status = self._judge(message.context_id, message.request)
        if message.request.field not in (C_STORE, N_ACTION) or message.status is not Status.SUCCESS:
            return
        session, request = self._session, message.request
        transfer_syntax = session.contexts[message.context_id].transfer_syntax
        message.file = session.ask() if request.field == N_ACTION and session.ask else session.begin()
        message.file.writer.write(
            part10.head(request.sop_class, request.sop_instance, transfer_syntax, calling=session.calling, called=session.called)
        )

    def _judge(self, context_id: int, request: Command) -> Status:
        if request.field in (C_ECHO, C_CANCEL):
            return Status.SUCCESS
        if request.field == N_ACTION:
            return self._judge_action(context_id, request)
        if request.field != C_STORE:
            return Status.NOT_OFFERED
        if not request.sop_class or not request.sop_instance:
            return Status.NO_UIDS
        context = self._session.contexts.get(context_id)
        if context is None or not is_storage(request.sop_class) or not is_storage(context.abstract_syntax):
            return Status.NOT_STORED_HERE
        if not request.has_dataset:
            return Status.NO_DATASET
        return Status.SUCCESS if self._session.room() > self._session.reserve else Status.NO_SPACE

    def _judge_action(self, context_id: int, request: Command) -> Status:
        """Storage commitment, N-ACTION (PS3.4 J.3.2)."""
        context = self._session.contexts.get(context_id)
        if context is None or context.abstract_syntax != PUSH_MODEL or request.sop_class != PUSH_MODEL:
            return Status.NOT_OFFERED
        if request.sop_instance != PUSH_MODEL_INSTANCE:
            return Status.NO_SUCH_INSTANCE
        if request.action != 1:
            return Status.NO_SUCH_ACTION
        if self._session.ask is None:
            return Status.NOT_REPORTED_TO
        if not request.has_dataset:
            return Status.NO_INFORMATION
        return Status.SUCCESS if self._session.room() > self._session.reserve else Status.NO_ROOM

    def _take(self, message: _Message, length: int, fill: Fill) -> None:
        message.received += length
        if message.file is not None and message.received > (
            ACTION_LIMIT if message.request.field == N_ACTION else self._session.instance_limit
        ):
            self._refuse(message, Status.TOO_LARGE)
        if message.received > 2 * self._session.instance_limit:
            raise Abuse("a refused dataset that does not end")
        while length:
            into = self._passing if message.file is None else message.file.writer.buffer()
            into = into[:length]
            fill(into)
            length -= len(into)
            if message.file is not None:
                self._try(message, message.file.writer.advance, len(into))
        if message.file is not None and message.received - message.looked_at >= _ROOM_STEP:
            message.looked_at = message.received
            if self._session.room() <= self._session.reserve:
                self._refuse(message, Status.NO_SPACE)

    def _answer(self, message: _Message) -> bytes | None:
        if message.file is not None:
            self._try(message, self._publish, message.file)
        if message.status is not Status.SUCCESS:
            self.refused += 1
            log.warning("request refused", status=f"{message.status.code:04X}H", reason=message.status.comment)
        return None if message.request.field == C_CANCEL else respond(message.request, message.status)

    def _publish(self, file: Incoming) -> None:
        self.stored_bytes += file.publish()
        self.stored += 1

    def _try(self, message: _Message, step: Callable[[_T], object], argument: _T) -> None:
        """Do what may fail. A fault costs this one instance, not the association."""
        try:
            step(argument)
        except Exception as fault:  # noqa: BLE001 (whatever it was: without a durable file there is no success)
            log.warning("instance not stored", exc_info=fault)
            full = isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)
            self._refuse(message, Status.NO_SPACE if full else Status.FAILED)

    @staticmethod
    def _refuse(message: _Message, status: Status) -> None:
        message.status = _OF_ACTION.get(status, status) if message.request.field == N_ACTION else status
        if message.file is not None:
            message.file.discard()
            message.file = None
