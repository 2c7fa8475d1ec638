"""One vector: fields, a blank line, and bytes in base64. The format is described in README.md beside this file."""

import base64
import hashlib
import textwrap
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
_PACK_FROM = 2048  # bytes


@dataclass(frozen=True)
class Vector:
    """`name` is its path below this directory, `fields` come in the order in which they stand in the file."""

    name: str
    fields: dict[str, str]
    body: bytes

    def __getitem__(self, field: str) -> str:
        return self.fields[field]

    def bytes_of(self, field: str) -> bytes:
        return bytes.fromhex(self.fields[field])

    def text(self) -> str:
        packed = len(self.body) >= _PACK_FROM
        fields = self.fields | ({"packed": "zlib"} if packed else {})
        body = base64.b64encode(zlib.compress(self.body, 9) if packed else self.body).decode()
        return "".join(f"{name}: {value}".rstrip() + "\n" for name, value in fields.items()) + "\n" + textwrap.fill(body, 76) + "\n"


def parse(name: str, text: str) -> Vector:
    head, _, body = text.partition("\n\n")
    fields = {field: value.strip() for field, _, value in (line.partition(":") for line in head.splitlines())}
    packed = fields.pop("packed", None)
    content = base64.b64decode(body)
    return Vector(name, fields, zlib.decompress(content) if packed else content)


def committed(room: str) -> list[Vector]:
    """The vectors that lie in a room of this directory."""
    return [parse(f"{room}/{path.name}", path.read_text()) for path in sorted((HERE / room).iterdir())]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
