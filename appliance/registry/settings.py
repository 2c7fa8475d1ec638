"""The practice's settings: small, rarely written, readable by a person. TinyDB over a file that is replaced atomically."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from tinydb import TinyDB
from tinydb.storages import Storage

from ..disk.files import replace_file


@dataclass(frozen=True, slots=True)
class Practice:
    """What letters and pages say of the practice. Plain text; `street` and `city` are the two lines of the address."""

    name: str = ""
    street: str = ""
    city: str = ""
    phone: str = ""
    email: str = ""
    website: str = ""
    privacy: str = ""
    imprint: str = ""


class AtomicStorage(Storage):
    """Like TinyDB's JSON storage, but a crash leaves the old file or the new one, never half of either."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, Any]] | None:
        try:
            content = self._path.read_text()
        except FileNotFoundError:
            return None
        return json.loads(content)  # type: ignore[no-any-return]

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        replace_file(self._path, json.dumps(data, indent=2, ensure_ascii=False).encode())

    def close(self) -> None:
        """Nothing is held open."""


class Settings:
    """Reads the file anew each time: another process may have changed it, and it is small."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def practice(self) -> Practice:
        found = TinyDB(self._path, storage=AtomicStorage).table("practice").all()
        known = {field.name for field in fields(Practice)}
        return Practice(**{name: str(value) for name, value in found[0].items() if name in known}) if found else Practice()

    def set_practice(self, practice: Practice) -> None:
        table = TinyDB(self._path, storage=AtomicStorage).table("practice")
        if table.all():
            table.update(asdict(practice))
        else:
            table.insert(asdict(practice))
