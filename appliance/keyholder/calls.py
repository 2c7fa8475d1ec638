"""What can be asked of the keyholder, by whom, and how it travels: one table for server, client, tests and documentation.

A frame is a 4-byte big-endian length and so many bytes of one JSON object, over a Unix stream socket or TLS (`tls`); a connection
carries any number of calls, one after the other. Request `{"call": name, parameter: value, …}`; answer `{"ok": result}` or
`{"problem": {"code", "message", "values"}}`. Bytes travel as base64url without padding. Over TLS the keyholder speaks first: an answer
that says whether it accepts the caller's certificate.
"""

import base64
import json
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ..domain.errors import Code, Problem

FRAME_LIMIT: Final = 4 << 20
ROLES: Final = ("ingester", "desk", "portal", "clock", "operator")
"""Each has a socket of its own. The operator is a person at a command line, with the rights of the keyholder's own user."""
REMOTE: Final = ("ingester", "desk", "portal", "clock")
"""Those that may ask from another machine: never the operator."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value travels. `decode` raises ValueError for anything that `encode` cannot have made."""

    name: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _same(value: Any) -> Any:
    return value


def text(most: int) -> Kind:
    """A text of at most so many characters, without lone surrogates."""

    def decode(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most:
            raise ValueError(f"no text of at most {most} characters")
        value.encode()
        return value

    return Kind(f"text ≤ {most}", _same, decode)


def _hex(digits: int) -> Kind:
    pattern = re.compile(f"[0-9a-f]{{{digits}}}")

    def decode(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"not {digits} hexadecimal digits")
        return value

    return Kind(f"{digits} hex digits", _same, decode)


def _decode_bytes(value: Any) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise ValueError("no base64url")
    return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)


def _decode_number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("no whole number")
    return value


def _decode_fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004  (decoders raise ValueError)
    return value


def _decode_nothing(value: Any) -> None:
    if value is not None:
        raise ValueError("not null")


NOTHING: Final = Kind("null", _same, _decode_nothing)
NUMBER: Final = Kind("whole number", _same, _decode_number)
BYTES: Final = Kind("bytes", lambda value: base64.urlsafe_b64encode(value).rstrip(b"=").decode(), _decode_bytes)
PLAIN: Final = Kind("object", _same, _decode_fields)
ID: Final = _hex(32)
KEY_ID: Final = _hex(8)


def maybe(kind: Kind) -> Kind:
    """The kind, or null."""
    return Kind(
        f"{kind.name} or null",
        lambda value: None if value is None else kind.encode(value),
        lambda value: None if value is None else kind.decode(value),
    )


def many(kind: Kind) -> Kind:
    def decode(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("no list")  # noqa: TRY004
        return [kind.decode(item) for item in value]

    return Kind(f"[{kind.name}, …]", lambda value: [kind.encode(item) for item in value], decode)


def by_id(kind: Kind) -> Kind:
    def decode(value: Any) -> dict[str, Any]:
        return {ID.decode(key): kind.decode(item) for key, item in _decode_fields(value).items()}

    return Kind(f"{{id: {kind.name}, …}}", lambda value: {key: kind.encode(item) for key, item in value.items()}, decode)


def fields(**kinds: Kind) -> Kind:
    """An object with exactly these fields; a field that may be null may be left out."""

    def encode(value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: kind.encode(value.get(name)) for name, kind in kinds.items() if value.get(name) is not None}

    def decode(value: Any) -> dict[str, Any]:
        given = _decode_fields(value)
        if unknown := given.keys() - kinds.keys():
            raise ValueError(f"{len(unknown)} unknown fields")
        return {name: kind.decode(given.get(name)) for name, kind in kinds.items()}

    return Kind(f"{{{', '.join(f'{name}: {kind.name}' for name, kind in kinds.items())}}}", encode, decode)


OPENED: Final = fields(share_id=ID, record_digest=BYTES, study_keys=by_id(BYTES), device=text(128))
EVENT: Final = fields(
    seq=NUMBER,
    at=NUMBER,
    actor=text(40),
    action=text(40),
    study_id=maybe(ID),
    share_id=maybe(ID),
    object_id=maybe(ID),
    detail=PLAIN,
)


class Call(NamedTuple):
    """One line of the table: who may ask, with what, for what.

    `counted`: hands out keys so often that it is counted, not written down each time. `always`: also answered while a restored ring
    does not know yet what it has to forget (`keyholder.reburial`).
    """

    roles: tuple[str, ...]
    takes: Kind
    gives: Kind
    what: str
    counted: bool = False
    always: bool = False


_KEEPS = ("ingester", "desk")
_ENDS = ("desk", "clock")
_RECORD = text(1 << 20)
_NONE = fields()
_SHARE = fields(share_id=ID)
_STUDY = fields(study_id=ID)

CALLS: Final[dict[str, Call]] = {
    "status": Call(ROLES, _NONE, PLAIN, "counts and ages; no secrets", always=True),
    "intake_public": Call(("ingester",), _NONE, fields(key_id=KEY_ID, public=BYTES), "today's public intake key; a new pair each UTC day"),
    "open_envelope": Call(("ingester",), fields(key_id=KEY_ID, envelope=BYTES), BYTES, "the association key in an envelope", counted=True),
    "retire_intake_keys": Call(
        ("ingester",), fields(in_use=many(KEY_ID)), NOTHING, "destroy private halves replaced for a day, but those in use"
    ),
    "uid_key": Call(("ingester",), _NONE, BYTES, "the key under which studies are recognised", counted=True),
    "create_study_key": Call(_KEEPS, _STUDY, BYTES, "the key of a study, made if it has none", counted=True),
    "study_keys": Call(
        _KEEPS, fields(study_ids=many(ID)), by_id(maybe(BYTES)), "keys of studies; null: forgotten or unknown", counted=True
    ),
    "anchor": Call(_KEEPS, fields(study_id=ID, generation=NUMBER, sha256=BYTES), NOTHING, "remember the newest manifest of a study"),
    "desk_key": Call(("desk",), _NONE, BYTES, "the key that seals staff names and recipients", counted=True),
    "share_create": Call(("desk",), fields(record=_RECORD), fields(code=text(128), password=text(128)), "make a share"),
    "share_change": Call(("desk",), fields(record=_RECORD), NOTHING, "put another record in a share's place; code and password stay"),
    "share_password": Call(("desk",), _SHARE, text(128), "replace the password; unlocks too"),
    "share_code": Call(("desk",), _SHARE, text(128), "the access code, to print its letter again"),
    "share_unlock": Call(("desk",), _SHARE, NOTHING, "let a locked share be tried again"),
    "share_revoke": Call(_ENDS, _SHARE, NOTHING, "destroy a share's keys; only what recognises code and password stays", always=True),
    "share_close": Call(_ENDS, _SHARE, NOTHING, "forget everything of a share", always=True),
    "share_digests": Call(
        ("desk",), fields(share_ids=many(ID)), by_id(maybe(BYTES)), "digests of the shares' records; null: such a share opens nothing"
    ),
    "open_share": Call(
        ("portal",),
        fields(code=text(128), password=text(128), prefix=text(64), device=maybe(text(128))),
        fields(opened=maybe(OPENED), refused=maybe(text(8)), seconds=maybe(NUMBER)),
        "try a code and a password: opened, or refused: wrong, wait (so many seconds) or busy",
    ),
    "note": Call(
        ("portal",),
        fields(action=text(40), share_id=ID, object_id=maybe(ID), detail=PLAIN),
        NOTHING,
        "remember what a reader did, for the audit log",
    ),
    "events": Call(
        ("clock",), fields(after=NUMBER, limit=NUMBER), many(EVENT), "what readers and the other processes did, oldest first", always=True
    ),
    "events_done": Call(("clock",), fields(upto=NUMBER), NOTHING, "these were collected; forget them", always=True),
    "forget_study": Call(("clock",), _STUDY, NOTHING, "destroy a study's key for good", always=True),
    "restored": Call(
        ("clock",),
        _NONE,
        maybe(NUMBER),
        "when the backup was made that the ring was restored from, in UTC seconds; null: it knows all that is gone",
        always=True,
    ),
    "rebury": Call(
        ("clock",),
        fields(studies=many(ID), closed=many(ID), revoked=many(ID), replaced=many(ID)),
        NOTHING,
        "forget studies and shares, revoke shares, void passwords: what happened before the ring was restored",
        always=True,
    ),
    "rebury_done": Call(("clock",), _NONE, NOTHING, "the restored ring has been told everything; answer everybody again", always=True),
    "rotate_intake": Call(("operator",), _NONE, KEY_ID, "a new intake key pair at once"),
    "enrol": Call(
        ("operator",),
        fields(host=text(64)),
        fields(**dict.fromkeys(REMOTE, text(8192))),
        "make certificates with which an appliance on another machine may ask; the older ones stay",
    ),
    "withdraw": Call(("operator",), fields(host=text(64)), NUMBER, "refuse all certificates of a machine from now on; how many"),
    "rotate_master": Call(("operator",), _NONE, NOTHING, "put everything under a new master key, and destroy the old one"),
}


def pack(message: Any) -> bytes:
    """The frame of a message. Errors: Problem TOO_LARGE."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > FRAME_LIMIT:
        raise Problem(Code.TOO_LARGE, "This is too much for one question to the keyholder. Choose fewer studies.")
    return struct.pack(">I", len(body)) + body


def unpack(body: bytes) -> dict[str, Any]:
    """The message of a frame's body. Errors: ValueError."""
    try:
        return _decode_fields(json.loads(body))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def receive(connection: socket.socket, length: int) -> bytes:
    """Exactly so many bytes. Errors: OSError; EOFError if the other side ends before."""
    received = bytearray()
    while len(received) < length:
        piece = connection.recv(min(length - len(received), 1 << 16))
        if not piece:
            raise EOFError
        received += piece
    return bytes(received)
