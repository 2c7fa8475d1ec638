"""What the benchmark tells of a receiver is so: what it used, what it stored, how it compares; and nothing of it stays."""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from benches import receive
from benches.receive import Case, measured
from benches.receiving import loads, machine, studies, usage
from benches.receiving.network import LOOPBACK, RECEIVER
from benches.receiving.pdus import Disagreement
from benches.receiving.receivers import OURS, RECEIVERS, running
from benches.receiving.report import Case as Reported
from benches.receiving.report import Results
from benches.receiving.studies import Study
from benches.receiving.usage import Watch
from programs import need
from pydicom import dcmread

BENCHMARKS = (Path(__file__).parents[2] / "docs/benchmarks.md").read_text()
PARENT = """
import subprocess, sys
child = "held = bytearray(b'x' * 60_000_000)\\nimport time\\nwhile time.process_time() < 0.5: pass\\nprint(1, flush=True)\\ninput()"
ended = "import time\\nwhile time.process_time() < 0.5: pass"
subprocess.run([sys.executable, "-c", ended], check=True)
subprocess.run([sys.executable, "-c", child], check=True)
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return studies.made("mr", tmp_path_factory.mktemp("study"), 500)


@contextmanager
def family() -> Iterator["subprocess.Popen[bytes]"]:
    """A process of which one child has ended and one is there, with 60 MB; each took half a second of processor time."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        yield process
        process.stdin.close()


def test_descendants_count_also_when_they_are_gone() -> None:
    with family() as parent:
        assert len(usage.tree(parent.pid)) == 2
        assert usage.cpu(parent.pid) >= 0.98  # in ticks of 10 ms
        assert usage.memory(parent.pid) > 60_000_000
        with Watch(parent.pid) as used:
            pass
        assert used.peak > 60_000_000
        assert used.seconds < 0.5


@pytest.mark.parametrize(
    ("kind", "part", "size"),
    [
        ("mr", 500, 128 << 10),
        ("mammography", 4, 50_000_000),
        ("ultrasound", 381, 768 << 10),
        ("jpeg2000", 125, 107_000),
    ],
)
def test_studies_are_always_the_same_and_whole(tmp_path: Path, kind: str, part: int, size: int) -> None:
    made, again = (studies.made(kind, tmp_path / name, part) for name in ("once", "again"))
    assert [bytes(one.dataset) for one in made.instances] == [bytes(one.dataset) for one in again.instances]
    assert len({one.sop_instance for one in made.instances}) == len(made.instances)
    assert made.size / len(made.instances) == pytest.approx(size, rel=0.1)
    for one in made.instances:
        read = dcmread(one.path)
        assert (read.SOPInstanceUID, read.SOPClassUID, read.file_meta.TransferSyntaxUID) == (one.sop_instance, *one.context)
        assert read.pixel_array.std() > 10


def test_a_large_instance_is_one_dataset(tmp_path: Path) -> None:
    (one,) = studies.large(tmp_path / "large", 0.2).instances
    content = b"".join(one.pieces(10_000))
    read = dcmread(BytesIO(content), force=True)
    assert len(content) == one.size
    assert len(read.PixelData) == read.NumberOfFrames * read.Rows * read.Columns
    assert 0.9 * 0.2 < one.size / (1 << 30) <= 0.2


@pytest.mark.parametrize("load", [loads.lean(1), loads.lean(3), loads.one_each, loads.streamed])
def test_every_receiver_keeps_what_is_counted(study: Study, tmp_path: Path, load: loads.Load) -> None:
    found = measured(Case("try", "mr", load, "", many=load is not loads.streamed), study, tmp_path, rounds=1)
    assert not found.problems
    for name, (figures,) in found.rounds.items():
        assert figures["instances/s"] > 0, name
        assert figures["peak MB"] > 1, name
    assert OURS.name in found.rounds
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", [one for one in receive.CASES if one.name in ("mr-storescu-4", "mr-nagle")], ids=lambda case: case.name)
@pytest.mark.allow_hosts(["127.0.0.1", RECEIVER])  # the latter is in a network of its own, which begins and ends here
def test_storescu_sends_it_too(study: Study, tmp_path: Path, case: Case) -> None:
    need("storescu")
    found = measured(case, study, tmp_path, rounds=1)
    assert not found.problems
    assert {len(rounds) for rounds in found.rounds.values()} == {1}


def test_who_sends_beside_another_is_told_apart(tmp_path: Path) -> None:
    many = studies.made("mr", tmp_path, 80)
    with running(OURS, tmp_path / "receiver", LOOPBACK, many.instances) as receiver:
        outcome = loads.beside(receiver, LOOPBACK, many.instances)
        assert receiver.stored() == outcome.instances
    assert 2 * (25 // 6) <= outcome.instances <= 25
    assert outcome.figures["keeps %"] == pytest.approx(100 * outcome.figures["instances/s"] / outcome.figures["alone"])


def test_what_is_acknowledged_and_not_stored_is_told(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    liar = replace(next(one for one in RECEIVERS if not one.keeps), keeps=True)
    monkeypatch.setattr(receive, "RECEIVERS", (liar,))
    found = measured(Case("try", "mr", loads.lean(1), ""), study, tmp_path, rounds=2)
    assert found.problems == {liar.name: "acknowledged 4 instances and stored 0"}
    assert found.rounds[liar.name] == []


def test_the_order_alternates(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    monkeypatch.setattr(receive, "_once", lambda _, receiver, *__: order.append(receiver.name) or {"instances/s": 1.0})
    measured(Case("try", "mr", loads.lean(1), ""), study, tmp_path, rounds=3)
    once = order[: len(order) // 3]
    assert len(once) == len(set(once)) > 1
    assert order == once + once[::-1] + once


def test_a_receiver_that_does_not_start_says_why(study: Study, tmp_path: Path) -> None:
    broken = replace(OURS, command=lambda *_: [sys.executable, "-c", "raise SystemExit('no port for me')"])
    with pytest.raises(Disagreement, match="no port for me"), running(broken, tmp_path / "receiver", LOOPBACK, study.instances):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_installed_is_named() -> None:
    assert replace(OURS, program="no-such-program").missing
    tables = Results({}, {"Orthanc": "orthanc"}).markdown(OURS.name)
    assert "Not measured: Orthanc is not installed (Debian package orthanc)." in tables


def test_ratios_are_medians_of_rounds_and_problems_are_rows() -> None:
    ours, peer = ([{"instances/s": rate} for rate in rates] for rates in ((100.0, 300.0, 1000.0), (50.0, 50.0, 1000.0)))
    first = Reported("CT", {"ours": ours, "peer": peer, "broken": []}, {"broken": "did not store"})
    results = Results({}, {}, {"ct-1": first, "ct-4": Reported("CT", {"ours": ours, "other": peer})})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in results.markdown("ours").splitlines() if line.startswith("|")]
    assert rows[2:] == [
        ["case", "ours, instances/s", "peer", "broken", "other"],
        ["---", "---", "---", "---", "---"],
        ["ct-1", "300", "2.00 ×", "", ""],
        ["ct-4", "300", "", "", "2.00 ×"],
        ["", "instances/s", "ours is"],
        ["---", "---", "---"],
        ["ours", "300", ""],
        ["peer", "50", "2.00 ×"],
        ["broken", "did not store", ""],
        ["", "instances/s", "ours is"],
        ["---", "---", "---"],
        ["ours", "300", ""],
        ["other", "50", "2.00 ×"],
    ]
    assert json.loads(results.json())["cases"]["ct-1"]["rounds"]["peer"][2] == {"instances/s": 1000.0}


def test_where_all_fail_the_table_still_says_why() -> None:
    tables = Results({}, {}, {"ct-1": Reported("CT", {"ours": []}, {"ours": "did not store"})}).markdown("ours")
    assert tables.splitlines()[-1] == "| ours | did not store |  |"


def test_the_document_names_every_case_and_receiver() -> None:
    assert [case.name for case in receive.CASES if f"`{case.name}`" not in BENCHMARKS] == []
    assert [receiver.name for receiver in RECEIVERS if receiver.keeps and receiver.name not in BENCHMARKS] == []


def test_a_directory_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = argparse.ArgumentParser()
    receive.add_options(parser)
    assert machine.file_system(Path("/proc")) == "proc"
    monkeypatch.setattr(machine, "file_system", lambda _: "tmpfs")
    with pytest.raises(SystemExit, match="in memory"):
        receive.table(parser.parse_args(["--dir", str(tmp_path)]))
