"""An appliance that has taken in many instances already: real rows under real keys, without the objects that they point at."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from appliance import config
from appliance.deeds import facts
from appliance.disk.places import Places
from appliance.disk.sqlite import connect, write
from appliance.domain.audit import Action
from appliance.domain.share import DAY
from appliance.domain.study import SeriesFacts, StudyFacts, StudyState
from appliance.keyholder.ring import Ring
from appliance.keyholder.studies import Studies
from appliance.registry import Change, InstanceRow, ObjectRow, OutboxRow, Registry, SeriesRow, StudyRow
from appliance.supervisor import PROCESSES, health
from appliance.vault.keys import new_id, tag
from appliance.vault.sealed import Kind

QUIET: Final = 5  # seconds after which a study is complete
KEPT: Final = 365  # days a study stays here that nobody shared; they are all younger
SERIES: Final = 4  # of a study
BATCH: Final = 64  # instances that one audit entry tells of, as the ingester takes them
PATIENCE: Final = 300.0  # seconds for any one wait
SIZE, WRAPPED, ABOUT = 526_000, 72, 733  # bytes of an instance, and of what its rows seal: as long as the real ones, but random

_STUDY: Final = StudyFacts("1.2.826.0.1.3680043.8.498.1", "", "", "19480229", "M", "S1", "20261124", "101500", "CT Thorax mit KM")
_SERIES: Final = SeriesFacts("1.2.826.0.1.3680043.8.498.2", "CT", 1, "Thorax 2.5 venös", "CHEST")


class Grown:
    """One appliance below `home` with `instances` registered in studies of `per_study`."""

    def __init__(self, home: Path, instances: int, per_study: int) -> None:
        self.instances = instances
        self._per_study = per_study
        self.ports = {name: _free_port() for name in ("dicom", "desk", "portal")}
        settings = {
            "data_dir": home / "data",
            "key_dir": home / "keys",
            "run_dir": home / "run",
            "quiet_seconds": QUIET,
            "unshared_days": KEPT,
            "argon2_memory_kib": 8192,
            **{f"{name}_host": "127.0.0.1" for name in self.ports},
            **{f"{name}_port": port for name, port in self.ports.items()},
        }
        given = {f"{config.PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        self.config = config.read(given)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(config.PREFIX)} | given
        self._log = home / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.places = Places(self.config.data_dir, self.config.key_dir, self.config.run_dir)
        self.places.prepare(users=False)

    # -- its processes ---------------------------------------------------------------------------------------------

    def start(self, *words: str) -> float:
        """`bildbrief serve`, with these words behind it. Returns the seconds until every process said that it is ready."""
        begun = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "appliance", "serve", *words], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        expected = {"keyholder"} if words else set(PROCESSES)
        file = self.places.run / "health.json"
        while {name for name, state in health(file).items() if state == "up"} != expected:
            if self._process.poll() is not None or time.perf_counter() > begun + PATIENCE:
                raise SystemExit(f"The appliance did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.02)
        return time.perf_counter() - begun

    def kill(self) -> None:
        """kill -9 of all its processes at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    # -- what it has taken in --------------------------------------------------------------------------------------

    def fill(self, now: int) -> None:
        """Register everything, the studies spread evenly over the time for which they are kept. Before its first start."""
        studies = [new_id() for _ in range(self.instances // self._per_study)]
        with Ring.opened(self.places.keys, lambda: now) as ring:
            _hurry(ring.here())
            keys = Studies(ring)
            of_study = {study_id: keys.create_study_key(study_id) for study_id in studies}
        file = self.places.registry / "registry.sqlite3"
        Registry(file).close()  # with its tables
        with closing(connect(file)) as db:
            _hurry(db)
            for number, study_id in enumerate(studies):
                at = now - (len(studies) - number) * (KEPT - 30) * DAY // len(studies)
                with write(db):
                    self._study(Change(db, at, "ingester"), study_id, of_study[study_id], number)

    def _study(self, change: Change, study_id: str, key: bytes, number: int) -> None:
        now = change.now
        about = replace(_STUDY, patient_id=f"P{number}", patient_name=f"Muster{number}^Max")
        change.insert(
            StudyRow(study_id, tag(key, b"study"), StudyState.COMPLETE, now, now, facts.seal(about, key, study_id), now, 1, new_id())
        )
        series = [new_id() for _ in range(min(SERIES, self._per_study))]
        change.insert(*(SeriesRow(one, study_id, tag(key, one.encode()), facts.seal(_SERIES, key, one)) for one in series))
        for at in range(self._per_study):
            self._instance(change, study_id, series[at % len(series)])
        for at in range(0, self._per_study, BATCH):
            change.note(Action.INSTANCES_STORED, study_id=study_id, count=min(BATCH, self._per_study - at))
        change.note(Action.PICTURES_DRAWN, study_id=study_id, count=len(series))
        change.note(Action.MANIFEST_WRITTEN, study_id=study_id, generation=1)
        change.note(Action.STUDY_COMPLETED, study_id=study_id, instances=self._per_study)

    def _instance(self, change: Change, study_id: str, series_id: str) -> None:
        object_id = new_id()
        change.insert(
            ObjectRow(object_id, study_id, int(Kind.DICOM), SIZE, os.urandom(WRAPPED), change.now),
            InstanceRow(object_id, study_id, series_id, os.urandom(16), os.urandom(16), 1, 0, os.urandom(ABOUT), change.now),
            OutboxRow(0, "put", object_id, study_id, change.now),
        )


def _hurry(db: Database) -> None:
    """Nobody else is here, and what a crash would leave is made anew."""
    for pragma in ("synchronous=OFF", "journal_mode=MEMORY", "cache_size=-500000"):
        db.conn.execute(f"PRAGMA {pragma}").fetchall()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def grown(home: Path, sizes: Mapping[int, int], now: int) -> Iterator[list[Grown]]:
    """An appliance of each size below `home`, their keyholders running. `sizes`: instances, and how many a study has."""
    made: list[Grown] = []
    try:
        for size, per_study in sizes.items():
            made.append(Grown(home / str(size), size, per_study))
            made[-1].fill(now)
            made[-1].start("--only", "keyholder")
        yield made
    finally:
        for one in made:
            one.kill()
