"""The ZIP: every reader accepts it, every range is the same as the cut from the whole, and nothing before a range is touched."""

import io
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.dicom.zip import Entry, Plan, entry_of
from appliance.domain.errors import Code, Problem

NOON = 1_790_251_200  # 2026-09-24 12:00 UTC
GIB = 1 << 30


def a_file(size: int) -> bytes:
    return bytes(i * 7 % 251 for i in range(size))


def whole(plan: Plan) -> bytes:
    return b"".join(plan.stream())


class ZeroFile:
    """So many zeros, that remember which of them were asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        self.asked.append((start, stop))
        for at in range(start, stop, 1 << 20):
            yield bytes(min(1 << 20, stop - at))


class Archive(io.RawIOBase):
    """A plan as a file that can be sought in, as a browser that asks for ranges sees it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = (0, self.at, self.plan.length)[whence] + offset
        return self.at

    def read(self, size: int | None = -1) -> bytes:
        stop = self.plan.length if size is None or size < 0 else self.at + size
        data = b"".join(self.plan.stream(self.at, stop))
        self.at += len(data)
        return data


def test_unzip_and_zipfile_accept_it(tmp_path: Path) -> None:
    files = {"README.TXT": b"hello\r\n", "DICOM/PT000000/IM000000": a_file(100_000), "EMPTY": b""}
    plan = Plan([entry_of(name, data, NOON) for name, data in files.items()])
    data = whole(plan)
    assert len(data) == plan.length
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    tested = subprocess.run(["unzip", "-t", path], capture_output=True, text=True, check=True)
    assert "No errors detected" in tested.stdout
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == files
        info = archive.getinfo("README.TXT")
        assert info.date_time == (2026, 9, 24, 12, 0, 0)
        assert info.compress_type == zipfile.ZIP_STORED
        assert info.external_attr >> 16 == 0o100644


def test_an_empty_archive_is_one() -> None:
    plan = Plan([])
    assert plan.length == 22
    assert zipfile.ZipFile(io.BytesIO(whole(plan))).namelist() == []


SIZES = st.lists(st.integers(0, 300), max_size=6)


@given(SIZES, st.data())
def test_a_range_is_a_cut_from_the_whole(sizes: list[int], data: st.DataObject) -> None:
    plan = Plan([entry_of(f"F{i}", a_file(size)) for i, size in enumerate(sizes)])
    archive = whole(plan)
    start = data.draw(st.integers(0, plan.length))
    stop = data.draw(st.integers(0, plan.length + 5))
    assert b"".join(plan.stream(start, stop)) == archive[start:stop]
    assert b"".join(plan.stream(start)) == archive[start:]


@given(SIZES)
def test_all_neighbouring_ranges_make_the_whole(sizes: list[int]) -> None:
    plan = Plan([entry_of(f"F{i}", a_file(size)) for i, size in enumerate(sizes)])
    assert b"".join(b"".join(plan.stream(at, at + 13)) for at in range(0, plan.length, 13)) == whole(plan)


def test_a_range_touches_no_earlier_entry() -> None:
    first, second = ZeroFile(3 * GIB), ZeroFile(1000)
    plan = Plan([Entry("A", first.size, 0, first.read), Entry("B", second.size, 0, second.read)])
    start = 30 + 1 + first.size + 30 + 1 + 500  # amid B
    assert len(b"".join(plan.stream(start, start + 100))) == 100
    assert first.asked == []
    assert second.asked == [(500, 600)]


@pytest.fixture(scope="module")
def huge() -> Plan:
    """More than 4 GiB in one file, and a small file behind it."""
    size = 4 * GIB + 12_345
    zeros = ZeroFile(size)
    return Plan([entry_of("FIRST", b"one"), Entry("BIG", size, 0, zeros.read), entry_of("LAST", b"the end")])


def test_zip64_for_large_files(huge: Plan, tmp_path: Path) -> None:
    with zipfile.ZipFile(Archive(huge)) as archive:  # type: ignore[arg-type]
        assert archive.read("FIRST") == b"one"
        assert archive.read("LAST") == b"the end"
        assert archive.getinfo("BIG").file_size == 4 * GIB + 12_345
        assert archive.getinfo("LAST").header_offset > 4 * GIB
    # The same in Info-ZIP's eyes, from a file with a hole where the zeros are.
    path = tmp_path / "huge.zip"
    begin, end = 4096, huge.length - 4096
    with path.open("wb") as out:
        out.write(b"".join(huge.stream(0, begin)))
        out.seek(end)
        out.write(b"".join(huge.stream(end)))
    listed = subprocess.run(["unzip", "-l", path], capture_output=True, text=True, check=True).stdout
    assert "4294979641" in listed
    assert subprocess.run(["unzip", "-p", path, "LAST"], capture_output=True, check=True).stdout == b"the end"


def test_zip64_for_many_files(tmp_path: Path) -> None:
    plan = Plan([entry_of(f"D{i // 1000}/F{i}", b"x") for i in range(70_000)])
    path = tmp_path / "many.zip"
    with path.open("wb") as out:
        for piece in plan.stream():
            out.write(piece)
    assert path.stat().st_size == plan.length
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 70_000
        assert archive.read("D69/F69999") == b"x"
    assert "70000" in subprocess.run(["unzip", "-Zt", path], capture_output=True, text=True, check=True).stdout


def test_the_etag_follows_the_content() -> None:
    def etag(*entries: Entry) -> str:
        return Plan(entries).etag

    one, two = entry_of("A", b"1"), entry_of("B", b"2")
    tags = {etag(one, two), etag(two, one), etag(one), etag(entry_of("A", b"3"), two), etag(entry_of("A", b"1", NOON), two)}
    assert len(tags) == 5
    assert etag(one, two) == etag(entry_of("A", b"1"), entry_of("B", b"2"))


@pytest.mark.parametrize("given", [b"short", b"much too long for it"])
def test_a_source_of_another_length_stops_the_download(given: bytes) -> None:
    plan = Plan([Entry("A", 8, 0, lambda *_: (given,))])
    with pytest.raises(Problem) as caught:
        whole(plan)
    assert caught.value.code is Code.DAMAGED


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a\\b", "Müller", "a\n"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names"):
        Plan([entry_of(name, b"")])
    with pytest.raises(ValueError, match="names"):
        Plan([entry_of("A", b""), entry_of("A", b"")])
