"""kill -9 of each process, ten times, at random moments of a send: nothing acknowledged is lost, all is consistent after restart."""

import random
from pathlib import Path

import pytest
from modality import Modality, dataset_bytes, small_study
from reader import Reader
from running import Running, running, until

from appliance.supervisor import PROCESSES

pytestmark = pytest.mark.e2e

ROUNDS = 10
PER_ROUND = 20


@pytest.mark.timeout(600)
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    files = small_study(tmp_path / "sent", ROUNDS * PER_ROUND, patient="Alice^Kill", patient_id="K1", seed=7)
    dice = random.Random(20260102)
    kills = dict.fromkeys(PROCESSES, 0)
    with running(tmp_path / "appliance") as appliance:
        modality = Modality(appliance.dicom)
        for number in range(ROUNDS):
            # Each process dies once a round, at an instance of its own.
            moments = {dice.randrange(PER_ROUND): [] for _ in PROCESSES} | {0: []}
            for name in PROCESSES:
                moments[dice.choice(sorted(moments))].append(name)

            def at(sent: int, moments: dict[int, list[str]] = moments) -> None:
                for name in moments.pop(sent, []):
                    _kill(appliance, name)
                    kills[name] += 1

            modality.send(files[number * PER_ROUND : (number + 1) * PER_ROUND], at=at, seconds=180)
            for late in list(moments):
                at(late)
        assert all(count == ROUNDS for count in kills.values()), kills
        assert len(modality.acknowledged) == len(files)

        appliance.wait_up()
        (study,) = appliance.wait_complete(1)
        assert study["images"] == len(files)
        until(lambda: not list((appliance.data / "intake/new").iterdir()), "the intake is empty")
        checked = appliance.cli("check")
        assert checked["problems"] == []

        share = appliance.cli("share", "create", study["study"])
        reader = Reader(appliance.portal, share["code"], share["password"])
        received = reader.download(tmp_path / "download")
        assert sorted(map(dataset_bytes, received)) == sorted(map(dataset_bytes, files))
        stale = [file for file in (appliance.data / "intake/tmp").rglob("*") if file.is_file()]
        assert stale == []


def _kill(appliance: Running, name: str) -> None:
    """When it is up: a process that is being started anyway proves nothing."""
    until(lambda: appliance.health()[name]["state"] == "up", f"{name} is up", 30, every=0.02)
    appliance.kill(name)
