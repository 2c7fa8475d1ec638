"""A receiver on a loopback port of its own, with usual limits or with those of the test."""

import ssl
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from receiving import HERE, Running, Sample, find_samples
from specimens import make_specimens

from appliance.domain.modalities import Modality
from appliance.receiver import server
from appliance.receiver.limits import Limits


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """Start a receiver with limits of the test's own."""
    monkeypatch.setattr(server, "_LOOK", 0.01)
    started: list[Running] = []

    def begin(limits: Limits, modalities: Sequence[Modality] = HERE, tls: Callable[[], ssl.SSLContext] | None = None) -> Running:
        started.append(Running(tmp_path / f"intake{len(started)}", limits, modalities, tls))
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


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return make_specimens(tmp_path_factory.mktemp("specimens"))
