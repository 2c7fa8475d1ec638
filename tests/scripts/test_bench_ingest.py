"""What the bench of ingest measures on is an appliance like any other, and its table says what was measured."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from benches.grown import Grown, grown
from benches.ingest import SLICES, UNITS, _listed, _markdown, _publish, _study, _take_in

from appliance.app import Appliance
from appliance.domain.study import StudyState

NOW = int(time.time())


def test_what_has_grown_is_an_appliance_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benches.ingest.SLICES", 3)
    with grown(tmp_path, {60: 20}, NOW) as (house,), closing(Appliance(house.config, "ingester")) as app:
        with closing(Appliance(house.config, "clock")) as clock:
            clock.retention.run_once()
        assert app.registry.is_whole()
        assert app.registry.audit_is_whole()
        with closing(Appliance(house.config, "desk")) as desk:
            listed = desk.worklist.search("muster thorax ct")
            assert [(study.images, study.series, study.state) for study in listed] == 3 * [(20, 4, StudyState.COMPLETE)]
        _publish(app, _study("Alice"))
        _take_in(app)
        app.ingest.close()
        with closing(Appliance(house.config, "desk")) as desk:
            (alice,) = desk.worklist.search("alice")
            assert (alice.images, alice.state) == (3, StudyState.RECEIVING)
            assert _listed(desk, "Alice") == 0
            assert _listed(desk, "P1") == 20


def test_all_its_processes_are_gone_after_a_kill(tmp_path: Path) -> None:
    house = Grown(tmp_path, 5, 5)
    house.fill(NOW)
    assert house.start("--only", "keyholder") > 0
    process = house._process
    assert process is not None
    house.kill()
    assert process.returncode == -9
    house.kill()


def test_the_table_has_a_row_for_each_measure_and_a_column_for_each_size() -> None:
    figures = {name: {5_000: [1.0, 4.0, 2.0], 1_000_000: [0.5, 6.0, 1.9]} for name in UNITS}
    lines = _markdown(figures).splitlines()
    assert lines[:5] == [
        "| registered instances | 5,000 | 1,000,000 |",
        "| --- | ---: | ---: |",
        "| in studies | 10 | 2,000 |",
        "| ingest, instances/s | 2 | 2 |",
        "| of the rate at 5,000 | 100% | 95% |",
    ]
    assert len(lines) == len(UNITS) + 4
    assert SLICES == 500
