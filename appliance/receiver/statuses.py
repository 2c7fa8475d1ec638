"""Every status the receiver answers with, as one table (PS3.7 Annex C, PS3.4 B.2.3, J.3.2)."""

from enum import Enum


class Status(Enum):
    """Code (0000,0900) and Error Comment (0000,0902): at most 64 characters, VR LO."""

    SUCCESS = 0x0000, ""  # of C-STORE: durable, that is synced, published, and its directory synced
    FAILED = 0x0110, "cannot be stored now"
    NOT_STORED_HERE = 0x0122, "SOP class is not stored here, or its context was not accepted"
    NOT_OFFERED = 0x0211, "operation is not offered here"
    NO_SUCH_INSTANCE = 0x0112, "storage commitment has one well-known instance"
    NO_INFORMATION = 0x0115, "no action information came with the command"
    NO_SUCH_ACTION = 0x0123, "storage commitment has one action type, 1"
    NOT_REPORTED_TO = 0x0124, "no address is set here to report to this AE title"
    NO_ROOM = 0x0213, "no space left, or too many references for one request"
    NO_SPACE = 0xA700, "no space left; send it again when there is room"
    NO_UIDS = 0xC001, "Affected SOP Class or Instance UID makes no sense"
    NO_DATASET = 0xC002, "no dataset came with the command"
    TOO_LARGE = 0xC003, "instance is larger than the limit set here"

    @property
    def code(self) -> int:
        return self.value[0]

    @property
    def comment(self) -> str:
        return self.value[1]
