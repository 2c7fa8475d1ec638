"""What a full house costs: taking in, completing, starting again and listing with few and with very many instances registered.

Appliances with 5,000, 100,000 and 1,000,000 registered instances, in 10, 20,000 and 2,000 studies, stand side by side; each measure is
taken of one after the other, round by round, and the median counts. What comes in are studies of 500 CT slices of 512 x 512 pixels
(526 kB each).

- ingest: what the receiver published of one study, until all is registered; its own work is that of the ingester's process, without the
  cage's, and steadier on a machine that does other things.
- complete: from the last answer that DCMTK's storescu got for a study until the desk lists it as complete with all its images, less the
  quiet time. That counts from the second in which the last file began to arrive, so this can be below 0.
- ready: all processes killed (-9) amid a study; from the command until every process says that it is ready.
- first list: the desk's list, when nothing is in its memory yet; search: afterwards; the rounds are the clock's.
"""

import argparse
import datetime as dt
import io
import json
import logging
import os
import platform
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Final

from pydicom import Dataset
from pydicom.uid import generate_uid
from samples import ct

from appliance import log
from appliance.app import Appliance
from appliance.domain.study import StudyState
from appliance.vault import intake

from .grown import PATIENCE, QUIET, Grown, grown

SIZES: Final = {5_000: 500, 100_000: 5, 1_000_000: 500}  # instances, and how many a study has
SIZES_QUICK: Final = {5_000: 500, 20_000: 50}
ROUNDS: Final = 5
DAYS: Final = 3  # rounds of all that needs whole appliances
SLICES: Final = 500

UNITS: Final = {
    "ingest": "instances/s",
    "ingest's own work": "ms of processor time an instance",
    "complete": "s",
    "ready": "s",
    "first list": "ms",
    "search": "ms",
    "round of retention": "ms",
    "round of all others": "ms",
}

Figures = dict[str, dict[int, list[float]]]
"""One value a round for each size of each name in `UNITS`."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(table=table)
    parser.add_argument("--quick", action="store_true", help="few instances, one round: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value of every round to this file")


def table(options: argparse.Namespace) -> str:
    """Markdown. Errors: SystemExit with a sentence where nothing can be measured."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    log.set_up("bench", level=logging.ERROR)
    sizes, rounds, days = (SIZES_QUICK, 1, 1) if options.quick else (SIZES, ROUNDS, DAYS)
    with tempfile.TemporaryDirectory(prefix="bildbrief-") as directory:
        machine = _machine(directory)
        figures = _measured(Path(directory), sizes, rounds, days)
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": machine, "units": UNITS, "figures": figures}, indent=2) + "\n")
    return f"{machine}\n\n{_markdown(figures)}"


def _measured(home: Path, sizes: Mapping[int, int], rounds: int, days: int) -> Figures:
    figures: Figures = {name: {size: [] for size in sizes} for name in UNITS}
    with grown(home, sizes, int(time.time())) as houses:
        for name, size, value in _rates(houses, rounds):
            figures[name][size].append(value)
        for house in houses:
            house.kill()
        for number in range(days):
            for house in houses:
                for name, value in _day(house, _written(home / f"day {number}", "C"), _written(home / f"day {number}", "K")):
                    figures[name][house.instances].append(value)
    return figures


def _markdown(figures: Figures) -> str:
    """A row for each measure, a column for each size."""
    of_study = SIZES | SIZES_QUICK
    sizes = [*figures["ingest"]]
    rows = [["registered instances", *(f"{size:,}" for size in sizes)], ["---", *("---:" for _ in sizes)]]
    rows.append(["in studies", *(f"{size // of_study[size]:,}" for size in sizes)])
    for name, values in figures.items():
        digits = 0 if UNITS[name] in ("ms", "instances/s") else 1
        rows.append([f"{name}, {UNITS[name]}", *(f"{statistics.median(values[size]):.{digits}f}" for size in sizes)])
        if name == "ingest":
            rows.append([f"of the rate at {sizes[0]:,}", *(f"{_ratio(values[size], values[sizes[0]]):.0%}" for size in sizes)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _machine(directory: str) -> str:
    """What this was measured on. Errors: SystemExit for a file system in memory, which tells nothing of disks."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=True).stdout.strip()
    if kind == "tmpfs":
        raise SystemExit(f"{directory} is in memory. Set TMPDIR to a directory on a disk.")
    return f"{os.cpu_count()} cores, Linux {platform.release()}, SQLite {sqlite3.sqlite_version}, files on {kind}"


def _ratio(values: Sequence[float], peers: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(value / peer for value, peer in zip(values, peers, strict=True))


# -- one part of the way -----------------------------------------------------------------------------------------------


def _rates(houses: Sequence[Grown], rounds: int) -> Iterator[tuple[str, int, float]]:
    """Each appliance's ingest, in this process: measure, size, value. A round for warming up is left out. Needs the keyholders."""
    with ExitStack() as stack:
        apps = [stack.enter_context(closing(Appliance(house.config, "ingester"))) for house in houses]
        for app in apps:
            stack.callback(app.ingest.close)
        for number in range(rounds + 1):
            for house, app in zip(houses, apps, strict=True):
                _publish(app, _study(f"I{number}"))
                begun, worked = time.perf_counter(), time.process_time()
                _take_in(app)
                if number:
                    yield "ingest", house.instances, SLICES / (time.perf_counter() - begun)
                    yield "ingest's own work", house.instances, 1000 * (time.process_time() - worked) / SLICES


def _take_in(app: Appliance) -> None:
    while app.ingest.run_once():
        pass


def _publish(app: Appliance, files: Iterator[bytes]) -> None:
    """What the receiver does with the files of one association."""
    app.ingest.publish_key()
    key = intake.read_public(app.places.intake)
    if key is None:
        raise SystemExit("There is no intake key.")
    association = intake.Association(app.places.intake, key, app.now)
    for file in files:
        incoming = association.begin()
        incoming.writer.write(file)
        incoming.publish()


# -- the whole way -----------------------------------------------------------------------------------------------------


def _day(house: Grown, sent: Path, cut_off: Path) -> Iterator[tuple[str, float]]:
    """A study comes in; then everything is killed amid another one and started again. Measures as they are taken."""
    with ExitStack() as stack:
        house.start()
        stack.callback(house.kill)
        with _desk(house) as desk:
            desk.worklist.search()
            with _sending(house, sent) as sender:
                if sender.wait(PATIENCE):
                    raise SystemExit("The study was not taken.")
            last = time.perf_counter()
            _until(lambda: _listed(desk, sent.name) == SLICES)
            yield "complete", time.perf_counter() - last - QUIET
        with _sending(house, cut_off):
            _until(lambda: any(intake.waiting(house.places.intake)))
            house.kill()
        yield "ready", house.start()
        with _desk(house) as desk:
            _until(lambda: _listed(desk, cut_off.name) > 0)
        with _desk(house) as desk:
            yield "first list", 1000 * _seconds(desk.worklist.search)
            yield "search", 1000 * _seconds(lambda: desk.worklist.search("muster1 29.2.48 thorax"))
        with closing(Appliance(house.config, "clock")) as clock:
            yield "round of retention", 1000 * _seconds(clock.retention.run_once)
            others = (clock.reburying, clock.journal, clock.mirroring, clock.sweeping)
            yield "round of all others", 1000 * _seconds(lambda: [each.run_once() for each in others])


def _desk(house: Grown) -> closing[Appliance]:
    return closing(Appliance(house.config, "desk"))


def _listed(desk: Appliance, patient_id: str) -> int:
    """How many images the desk lists of a patient's study once it is complete."""
    return sum(entry.images for entry in desk.worklist.search(patient_id) if entry.state is StudyState.COMPLETE)


def _sending(house: Grown, files: Path) -> subprocess.Popen[bytes]:
    words = ["storescu", "-aec", house.config.ae_title, "+sd", "127.0.0.1", str(house.ports["dicom"]), str(files)]
    try:
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise SystemExit("This needs storescu, which is in the Debian package dcmtk.") from None


def _until(true: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + PATIENCE
    while not true():
        if time.perf_counter() > deadline:
            raise SystemExit("Gave up waiting for the appliance.")
        time.sleep(0.02)


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


# -- what is sent ------------------------------------------------------------------------------------------------------


def _study(name: str) -> Iterator[bytes]:
    """The files of a CT study whose Patient ID is `name`."""
    image = _slice()
    image.PatientID, image.StudyInstanceUID, image.SeriesInstanceUID = name, generate_uid(), generate_uid()
    for number in range(1, SLICES + 1):
        image.InstanceNumber, image.SOPInstanceUID = number, generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        file = io.BytesIO()
        image.save_as(file, enforce_file_format=True)
        yield file.getvalue()


@cache
def _slice() -> Dataset:
    *_, axial = ct(dt.datetime.now(dt.UTC).date(), slices=1)
    return axial


def _written(directory: Path, name: str) -> Path:
    """A study in a folder that is named as its patient."""
    folder = directory / f"{name}{directory.name}".replace(" ", "")
    if not folder.exists():
        folder.mkdir(parents=True)
        for number, file in enumerate(_study(folder.name)):
            (folder / f"{number:04}.dcm").write_bytes(file)
    return folder
