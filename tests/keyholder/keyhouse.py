"""A real keyholder for tests, in this process, with a clock that can be moved."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from appliance.disk.places import admit
from appliance.domain.share import DAY, Audience, ShareRecord
from appliance.keyholder.authority import Authority
from appliance.keyholder.client import AccessEvent, Created, Keyholder
from appliance.keyholder.doors import TlsDoor
from appliance.keyholder.ring import Ring
from appliance.keyholder.server import Server, handlers
from appliance.vault.keys import new_id

MEMORY = 64  # KiB, so that the tests are quick
PREFIX = "192.0.2.0/24"
NOON = 1_780_000_000


class Clock:
    def __init__(self) -> None:
        self.seconds = NOON

    def __call__(self) -> int:
        return self.seconds

    def after(self, seconds: int) -> None:
        self.seconds += seconds


class House:
    """A keyholder on its own directories, which can be stopped and started again."""

    def __init__(self, base: Path) -> None:
        self.key_dir = base / "keys"
        self.sockets = base / "run"
        self.key_dir.mkdir(mode=0o700)
        self.sockets.mkdir()
        self.clock = Clock()
        self.desk, self.portal, self.ingester, self.tick = (
            Keyholder(self.sockets / f"{role}.sock", timeout=10) for role in ("desk", "portal", "ingester", "clock")
        )
        self.listen = False  # for other machines too
        self.port = 0
        self._running = ExitStack()
        self.start()

    def start(self) -> None:
        self.ring = self._running.enter_context(Ring.opened(self.key_dir, self.clock))
        remote = TlsDoor("127.0.0.1", self.port, Authority(self.ring)) if self.listen else None
        self.port = remote.port if remote else 0
        server = Server(handlers(self.ring, MEMORY), self.sockets, admit, remote)
        self._running.callback(server.close)

    def stop(self) -> None:
        self._running.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        for client in (self.desk, self.portal, self.ingester, self.tick):
            client.close()

    def reader_events(self, after: int = 0, limit: int = 1000) -> list[AccessEvent]:
        """Without what the keyholder did for other processes."""
        return [event for event in self.tick.events(after, 1000) if event.actor == "reader"][:limit]

    @property
    def file(self) -> bytes:
        """Every byte of the key directory but the master key."""
        return b"".join(path.read_bytes() for path in self.key_dir.iterdir() if path.name != "master.key")

    def record(self, *studies: str) -> ShareRecord:
        now = self.clock()
        return ShareRecord(new_id(), Audience.PATIENT, "de", studies, now, now, now + 90 * DAY, True, True, now)

    def study(self) -> str:
        study_id = new_id()
        self.ingester.create_study_key(study_id)
        return study_id

    def share(self, *studies: str) -> tuple[ShareRecord, Created]:
        record = self.record(*(studies or (self.study(),)))
        return record, self.desk.share_create(record.canonical())


def extended(record: ShareRecord, days: int = 30) -> ShareRecord:
    return replace(record, expires_at=record.expires_at + days * DAY)
