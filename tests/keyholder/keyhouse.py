"""A real keyholder for tests, in this process, with a clock that can be moved."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from appliance.disk.places import admit
from appliance.domain.share import DAY, Audience, ShareRecord
from appliance.keyholder.authority import Authority
from appliance.keyholder.client import AccessEvent, Created, Keyholder
from appliance.keyholder.doors import TlsDoor
from appliance.keyholder.intake import intake_context
from appliance.keyholder.master import Provider
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
        return record_of(self.clock(), *studies)

    def study(self) -> str:
        study_id = new_id()
        self.ingester.create_study_key(study_id)
        return study_id

    def share(self, *studies: str) -> tuple[ShareRecord, Created]:
        record = self.record(*(studies or (self.study(),)))
        return record, self.desk.share_create(record.canonical())


class Keys:
    """A key directory with studies, shares and an intake pair in it, opened by one provider after the other."""

    def __init__(self, base: Path, provider: Callable[[Path], Provider]) -> None:
        self.directory = base / "keys"
        self.directory.mkdir(mode=0o700)
        self.provider = lambda: provider(self.directory)
        self.clock = Clock()
        with Ring.opened(self.directory, self.clock, self.provider()) as ring:
            calls = handlers(ring, MEMORY)
            self.studies = {f"{number:032x}": calls["create_study_key"](study_id=f"{number:032x}") for number in range(3)}
            self.letters = {}
            for study in self.studies:
                record = record_of(self.clock(), study)
                self.letters[record.share_id] = Created(**calls["share_create"](record=record.canonical()))
            calls["intake_public"]()
            self.wrapped = dict(ring.here().execute("SELECT study_id, wrapped FROM studies").fetchall())
            self.tag = ring.master.tag

    def everything_opens(self, provider: Provider | None = None) -> str:
        """The tag of the master key under which it does."""
        with Ring.opened(self.directory, self.clock, provider or self.provider()) as ring:
            calls = handlers(ring, MEMORY)
            assert calls["study_keys"](study_ids=[*self.studies]) == self.studies
            for share_id, letter in self.letters.items():
                assert calls["share_code"](share_id=share_id) == letter.code
                opened = calls["open_share"](code=letter.code, password=letter.password, prefix=PREFIX, device=None)
                assert opened["opened"]["study_keys"].items() <= self.studies.items()
            rows = ring.here().execute("SELECT private, key_id FROM intake_keys").fetchall()
            assert all(len(ring.master.unwrap(private, intake_context(key_id))) == 32 for private, key_id in rows)
            assert dict(ring.here().execute("SELECT study_id, wrapped FROM studies").fetchall()) == self.wrapped, "no study is touched"
            assert not ring.here().execute("SELECT name FROM facts WHERE name GLOB 'master_spare*'").fetchall()
            assert ring.provider.tags() == [ring.master.tag], "no other key is left"
            assert {path.name for path in self.directory.iterdir()} <= {
                "master.key",
                "ring.sqlite3",
                "ring.sqlite3-wal",
                "ring.sqlite3-shm",
            }
            return ring.master.tag


def record_of(now: int, *studies: str) -> ShareRecord:
    return ShareRecord(new_id(), Audience.PATIENT, "de", studies, now, now, now + 90 * DAY, True, True, now)


def extended(record: ShareRecord, days: int = 30) -> ShareRecord:
    return replace(record, expires_at=record.expires_at + days * DAY)
