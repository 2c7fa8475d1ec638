"""A receiver on a loopback port of its own, with usual limits or with those of the test."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from receiving import HERE, Running, Sample, find_samples

from appliance.domain.modalities import Modality
from appliance.receiver import server
from appliance.receiver.limits import Limits


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """Start a receiver with limits of the test's own."""
    monkeypatch.setattr(server, "_LOOK", 0.01)
    started: list[Running] = []

    def begin(limits: Limits, modalities: Sequence[Modality] = HERE, credentials: Path | None = None) -> Running:
        started.append(Running(tmp_path / f"intake{len(started)}", limits, modalities, credentials))
        return started[-1]

    yield begin
    for receiver in started:
        receiver.stop()


@pytest.fixture
def receiver(start: Callable[[Limits], Running]) -> Running:
    return start(Limits(reserve=0))


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    with warnings.catch_warnings(action="ignore"):  # some are odd on purpose
        found = list(find_samples())
    assert len(found) >= 40
    assert len({sample.transfer_syntax for sample in found}) >= 9
    return found
