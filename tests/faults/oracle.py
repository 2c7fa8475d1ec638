"""Judges what is there after the restart, by what was sent and what was acknowledged. Each finding is a sentence.

Acknowledged is: present once, opens, SHA-256 as sent. Not acknowledged is: whole or absent. A cut between publishing and acknowledging
leaves a whole image whose sender sends it again; that makes one of two, because the ingester knows it by its content.
"""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from appliance.deeds import sealing
from appliance.domain.errors import Problem

from .line import CANARY, Instance, Line, dataset_of, uid_of


def judge(line: Line, offered: Collection[Instance], acknowledged: Collection[str]) -> list[str]:
    """All that is wrong with an appliance that has been started again and has taken in what waited. Empty: nothing is."""
    return [
        *_files(line),
        *_images(line, offered, acknowledged),
        *_databases(line.stack.places.data, line.stack.places.keys),
        *line.checking.run().problems,
        *remnants(line.stack.places.data),
    ]


def _images(line: Line, offered: Collection[Instance], acknowledged: Collection[str]) -> Iterator[str]:
    sent = {one.uid: one.sha256 for one in offered}
    found = Counter[str]()
    for file in _opened(line):
        uid = uid_of(file)
        found[uid] += 1
        if hashlib.sha256(dataset_of(file)).hexdigest() != sent.get(uid):
            yield f"instance {uid} is not what was sent"
    yield from (f"instance {uid} was acknowledged and is lost" for uid in acknowledged if not found[uid])
    yield from (f"instance {uid} is there {count} times" for uid, count in found.items() if count > 1)


def _opened(line: Line) -> Iterator[bytes]:
    """Every registered file that opens. `Checking` tells of the others, and what does not open counts as lost."""
    registry, keyholder = line.stack.registry, line.stack.keyholder("ingester")
    for study in registry.studies():
        key = keyholder.study_keys([study.study_id])[study.study_id]
        for instance in registry.all_instances(study.study_id):
            row = registry.object(instance.object_id)
            if key is None or row is None:
                continue
            try:
                with sealing.opened(line.stack.objects, row, key) as reader:
                    yield b"".join(reader.read())
            except Problem:
                continue


def _files(line: Line) -> Iterator[str]:
    """What a crash may leave for a moment, and the restart must have put right."""
    data = line.stack.places.data
    yield from (f"{file.relative_to(data)} was left half written" for file in sorted(data.rglob("*.part")))
    yield from ("a published file was not taken in" for _ in (data / "intake/new").iterdir())
    yield from (f"what looked complete was set aside: {row.reason}" for row in line.stack.registry.quarantine())


def _databases(*places: Path) -> Iterator[str]:
    for file in sorted(file for place in places for file in place.rglob("*.sqlite3")):
        with closing(sqlite3.connect(file)) as database:
            if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                yield f"{file.name} is damaged"
            elif database.execute("PRAGMA foreign_key_check").fetchall():
                yield f"{file.name} has a row that points at nothing"


def remnants(data: Path) -> Iterator[str]:
    """Where below the data directory something of an image can be read."""
    for file in sorted(file for file in data.rglob("*") if file.is_file()):
        if any(needle in file.read_bytes() for needle in needles()):
            yield f"{file.relative_to(data)} holds plain text"


def needles() -> Iterable[bytes]:
    """What is in every dataset that is sent: the patient's name."""
    return (CANARY.encode(), CANARY.split("^")[0].encode())
