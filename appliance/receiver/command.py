"""Command sets of DIMSE messages (PS3.7 6.3.1): read without trust, answered in a fixed form."""

from dataclasses import dataclass

from ..domain import commandset
from .statuses import Status

C_STORE = 0x0001
C_ECHO = 0x0030
C_CANCEL = 0x0FFF
N_ACTION = 0x0130


class Abuse(Exception):  # noqa: N818 (it is the peer's, not ours)
    """The peer leaves the protocol so far that no answer is possible: the association must end. Its text is static."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request as its command set puts it. A UID that makes no sense is "". `action`: the Action Type ID, 0 for none."""

    field: int
    message_id: int
    has_dataset: bool
    sop_class: str
    sop_instance: str
    action: int = 0


def decode(data: bytes) -> Command:
    """The request in a complete command set. Raises Abuse if it is none."""
    try:
        return _request(commandset.decode(data))
    except ValueError as error:
        raise Abuse(str(error)) from None


def _request(values: dict[int, bytes]) -> Command:
    field = commandset.number(values, commandset.FIELD)
    if field & commandset.RESPONSE:
        raise Abuse("a response to no request")
    if field == C_CANCEL:
        return Command(field, 0, False, "", "")
    to_act = field == N_ACTION
    return Command(
        field,
        commandset.number(values, commandset.MESSAGE_ID),
        commandset.number(values, commandset.DATASET_TYPE) != commandset.NO_DATASET,
        commandset.uid(values, commandset.REQUESTED_SOP_CLASS if to_act else commandset.AFFECTED_SOP_CLASS),
        commandset.uid(values, commandset.REQUESTED_SOP_INSTANCE if to_act else commandset.AFFECTED_SOP_INSTANCE),
        commandset.number(values, commandset.ACTION_TYPE) if commandset.ACTION_TYPE in values else 0,
    )


def respond(request: Command, status: Status) -> bytes:
    """The command set of the response to a request (PS3.7 9.3.1.2, 9.3.5.2, 10.3.4.2)."""
    return commandset.encode(
        {
            commandset.AFFECTED_SOP_CLASS: request.sop_class,
            commandset.FIELD: commandset.RESPONSE | request.field,
            commandset.RESPONDED_TO: request.message_id,
            commandset.DATASET_TYPE: commandset.NO_DATASET,
            commandset.STATUS: status.code,
            commandset.COMMENT: status.comment,
            commandset.AFFECTED_SOP_INSTANCE: request.sop_instance,
            **({commandset.ACTION_TYPE: request.action} if request.action else {}),
        }
    )
