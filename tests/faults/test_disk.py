"""The model of the disk keeps what was synced, and nothing else is sure. Its record tells all that was done, or it says so."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import need

from .disk import PAGE, Disk, File, Incomplete
from .shim import NO_FAULT, Fault, Kind, Plan, Shim, armed

OLD, NEW = b"a" * 3 * PAGE, b"b" * 3 * PAGE
EVERY = 1000


class Tried:
    """A program run below a directory, under the shim."""

    def __init__(self, place: Path) -> None:
        self.root = place / "box"
        self.top = self.root / "top"
        self.top.mkdir(parents=True)
        (self.top / "old").write_bytes(OLD)
        self.disk = Disk(self.top)
        self.shim = Shim(place / "control")

    def run(self, program: str, plan: Plan = NO_FAULT) -> subprocess.CompletedProcess[bytes]:
        """`top` is the directory; `new` opens a file there."""
        begin = f"import os; top = {str(self.top)!r}\ndef new(name): return os.open(f'{{top}}/{{name}}', os.O_WRONLY | os.O_CREAT)\n"
        with armed(self.shim, self.root, plan, record=True):
            done = subprocess.run([sys.executable, "-c", begin + program], env=self.shim.environment(), capture_output=True, check=False)
        for record in self.shim.records():
            self.disk.do(record)
        return done

    def states(self) -> list[dict[str, bytes]]:
        """All that a power cut may leave, each once."""
        found = []
        for remains in self.disk.remains(random.Random(1), EVERY):
            state = {str(path): content for path, content in remains.files(self.top)}
            if state not in found:
                found.append(state)
        return found


@pytest.fixture
def tried(tmp_path: Path) -> Tried:
    need("cc")
    return Tried(tmp_path)


SYNCED = "os.fsync(file)"
NAMED = "os.fsync(os.open(top, os.O_RDONLY))"


def test_what_is_synced_and_named_is_sure(tried: Tried) -> None:
    tried.run(f"file = new('new'); os.write(file, b'12'); {SYNCED}; {NAMED}")
    assert tried.states() == [{"old": OLD, "new": b"12"}]
    tried.disk.same_as(tried.top)


def test_synced_bytes_without_a_durable_name_may_be_gone(tried: Tried) -> None:
    tried.run(f"file = new('new'); os.write(file, b'12'); {SYNCED}")
    assert tried.states() == [{"old": OLD, "new": b"12"}, {"old": OLD}]


def test_a_durable_name_without_synced_bytes_may_be_empty_or_torn(tried: Tried) -> None:
    tried.run(f"file = new('new'); os.write(file, b'1234'); {NAMED}")
    found = [state["new"] for state in tried.states()]
    assert set(found) >= {b"1234", b"", b"12"}
    assert set(found) <= {b"1234", b"", b"12", bytes(4)}  # a page that never came, in a file that has its size


def test_pages_are_lost_one_by_one() -> None:
    written = File(OLD, [(0, NEW)])
    found = {content for seed in range(50) for content in written.remains(random.Random(seed))}
    assert {OLD, NEW, NEW[:PAGE] + OLD[PAGE:], OLD[:PAGE] + NEW[PAGE:]} <= found


def test_a_rename_is_a_name_that_comes_and_one_that_goes(tried: Tried) -> None:
    tried.run("os.mkdir(f'{top}/in'); os.fsync(os.open(top, os.O_RDONLY)); os.rename(f'{top}/old', f'{top}/in/old')")
    assert {frozenset(state) for state in tried.states()} == {frozenset(names) for names in (["in/old"], ["old", "in/old"], ["old"], [])}


def test_links_are_two_names_of_one_file(tried: Tried, tmp_path: Path) -> None:
    tried.run("os.link(f'{top}/old', f'{top}/new')")
    first = next(tried.disk.remains(random.Random(1), EVERY))
    first.write(tried.top, tmp_path / "copy")
    assert (tmp_path / "copy/old").samefile(tmp_path / "copy/new")


def test_changes_of_a_directory_are_lost_from_the_last(tried: Tried) -> None:
    tried.run("new('1'); new('2'); os.unlink(f'{top}/1')")
    assert [sorted(state) for state in tried.states()] == [["2", "old"], ["1", "2", "old"], ["1", "old"], ["old"]]


def test_what_is_cut_off_may_be_there_again(tried: Tried) -> None:
    tried.run("os.ftruncate(os.open(f'{top}/old', os.O_RDWR), 1)")
    assert [state["old"] for state in tried.states()] == [b"a", OLD]
    tried.disk.same_as(tried.top)


def test_of_many_states_some_at_random(tried: Tried) -> None:
    tried.run("[os.write(new(f'{n}'), b'1234') for n in range(9)]")
    assert len(list(tried.disk.remains(random.Random(1), 20))) == 20


def test_a_call_that_the_shim_does_not_see_is_noticed(tried: Tried) -> None:
    tried.run("os.writev(new('new'), [b'12'])")
    with pytest.raises(Incomplete, match="new"):
        tried.disk.same_as(tried.top)


# -- the shim ----------------------------------------------------------------------------------------------------------


def faulty(tried: Tried, fault: Fault, at: int, kinds: Kind) -> Iterator[bytes]:
    """What the program had done when it met the fault."""
    done = tried.run("file = new('new'); print(os.write(file, b'1234')); os.fsync(file)", Plan(fault, at, 28, kinds))
    yield done.stdout.strip()
    yield done.stderr.splitlines()[-1] if done.stderr else b""
    yield str(done.returncode).encode()
    yield (tried.top / "new").read_bytes() if (tried.top / "new").exists() else b"absent"


@pytest.mark.parametrize(
    ("fault", "at", "kinds", "expected"),
    [
        (Fault.KILL, 1, Kind.OPEN, [b"", b"", b"-9", b"absent"]),
        (Fault.KILL, 1, Kind.WRITE, [b"", b"", b"-9", b""]),
        (Fault.TEAR, 1, Kind.WRITE, [b"", b"", b"-9", b"12"]),
        (Fault.CUT, 1, Kind.WRITE, [b"2", b"", b"0", b"12"]),
        (Fault.FAIL, 1, Kind.WRITE, [b"", b"OSError: [Errno 28] No space left on device", b"1", b""]),
        (Fault.FAIL, 1, Kind.SYNC, [b"4", b"OSError: [Errno 28] No space left on device", b"1", b"1234"]),
        (Fault.FAIL, 2, Kind.SYNC, [b"4", b"", b"0", b"1234"]),
    ],
)
def test_a_fault_meets_the_call_it_is_meant_for(tried: Tried, fault: Fault, at: int, kinds: Kind, expected: list[bytes]) -> None:
    assert list(faulty(tried, fault, at, kinds)) == expected


def test_only_what_is_below_the_root_counts(tried: Tried, tmp_path: Path) -> None:
    tried.run(f"os.close(os.open({str(tmp_path / 'beside')!r}, os.O_WRONLY | os.O_CREAT))")
    assert (tried.shim.calls, (tmp_path / "beside").exists()) == (0, True)
