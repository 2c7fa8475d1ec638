"""One contract over every store of blobs: files, memory, and the bucket's class over two of obstore's own stores."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from obstore.store import LocalStore, MemoryStore

from appliance.domain.errors import Code
from appliance.vault import s3
from appliance.vault.blobs import Blobs, Local, Memory, Missing
from appliance.vault.s3 import PART, S3

ALICE, BOB = "a1" * 16, "b0" * 16
MANIFEST = f"manifests/{ALICE}"


@pytest.fixture(params=["local", "memory", "bucket in memory", "bucket in files"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    match request.param:
        case "local":
            return Local(tmp_path)
        case "memory":
            return Memory()
        case "bucket in memory":
            return S3(MemoryStore())
        case _:
            return S3(LocalStore(tmp_path))


def content(blobs: Blobs, name: str) -> bytes:
    with blobs.open(name) as source:
        return source.read_at(0, source.size)


@pytest.mark.parametrize("name", [ALICE, MANIFEST, "snapshots/2026-11-24/registry", "x"])
def test_what_was_put_is_there(blobs: Blobs, name: str) -> None:
    assert not blobs.exists(name)
    blobs.put(name, [b"sealed ", b"", b"bytes"])
    assert blobs.exists(name)
    assert content(blobs, name) == b"sealed bytes"
    assert list(blobs.names()) == [name]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART + 5])
def test_blobs_of_any_size_in_pieces_of_any_size(blobs: Blobs, size: int) -> None:
    whole = Random(size).randbytes(size)
    blobs.put(ALICE, (whole[at : at + 1_000_003] for at in range(0, size, 1_000_003)))
    assert content(blobs, ALICE) == whole
    blobs.put(BOB, [whole])
    assert content(blobs, BOB) == whole


def test_putting_again_is_harmless_and_replaces(blobs: Blobs) -> None:
    blobs.put(MANIFEST, [b"first generation, longer"])
    blobs.put(MANIFEST, [b"first generation, longer"])
    blobs.put(MANIFEST, [b"second"])
    assert content(blobs, MANIFEST) == b"second"
    assert list(blobs.names()) == [MANIFEST]


def test_ranges(blobs: Blobs) -> None:
    whole = bytes(range(256)) * 8
    blobs.put(ALICE, [whole])
    with blobs.open(ALICE) as source:
        assert source.size == len(whole)
        for offset, length in [(0, 1), (0, 0), (5, 100), (2000, 48), (2000, 49), (2047, 1), (2048, 1), (3000, 10), (0, 10_000)]:
            assert source.read_at(offset, length) == whole[offset : offset + length]


def test_threads_may_read_one_open_blob(blobs: Blobs) -> None:
    whole = Random(1).randbytes(300_000)
    blobs.put(ALICE, [whole])
    wrong: list[int] = []

    def read(seed: int) -> None:
        dice = Random(seed)
        for _ in range(30):
            offset, length = dice.randrange(300_000), dice.randrange(70_000)
            if source.read_at(offset, length) != whole[offset : offset + length]:
                wrong.append(offset)

    with blobs.open(ALICE) as source:
        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_what_is_missing_is_told(blobs: Blobs) -> None:
    blobs.put(ALICE, [b"x"])
    with pytest.raises(Missing) as caught, blobs.open(BOB):
        pass
    assert caught.value.code is Code.NOT_FOUND
    assert not blobs.exists(BOB)


def test_deleting_is_harmless_twice(blobs: Blobs) -> None:
    blobs.put(ALICE, [b"x"])
    blobs.put(MANIFEST, [b"y"])
    for _ in range(2):
        blobs.delete(ALICE)
        assert not blobs.exists(ALICE)
    assert list(blobs.names()) == [MANIFEST]
    blobs.delete(MANIFEST)
    assert list(blobs.names()) == []
    blobs.delete("never/was")


def test_names_by_prefix(blobs: Blobs) -> None:
    names = {ALICE, BOB, MANIFEST, f"manifests/{BOB}", "manifests-old"}
    for name in names:
        blobs.put(name, [b"x"])
    assert set(blobs.names()) == names
    assert set(blobs.names("manifests/")) == {MANIFEST, f"manifests/{BOB}"}
    assert set(blobs.names("manifests/a1")) == {MANIFEST}
    assert set(blobs.names("manifests")) == {MANIFEST, f"manifests/{BOB}", "manifests-old"}
    assert set(blobs.names(ALICE[:5])) == {ALICE}
    assert set(blobs.names("nothing/")) == set()


@pytest.mark.parametrize("name", ["", "/", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "A", "a b", "a.part", "ä", "a\n", "x\0y"])
def test_names_that_could_lead_elsewhere_are_refused(blobs: Blobs, name: str) -> None:
    for act in (lambda: blobs.put(name, [b"x"]), lambda: blobs.exists(name), lambda: blobs.delete(name), lambda: content(blobs, name)):
        with pytest.raises(ValueError, match="not the name"):
            act()
    assert list(blobs.names()) == []


@pytest.mark.parametrize("before", [3, PART + 3])
def test_a_blob_whose_source_fails_does_not_appear(blobs: Blobs, before: int) -> None:
    def failing() -> Iterator[bytes]:
        yield bytes(before)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        blobs.put(ALICE, failing())
    assert not blobs.exists(ALICE)
    assert list(blobs.names()) == []
    blobs.put(BOB, [b"before"])
    with pytest.raises(OSError, match="Input/output error"):
        blobs.put(BOB, failing())
    assert content(blobs, BOB) == b"before"


# -- files ----------------------------------------------------------------------------------------------------------


def test_objects_are_spread_over_folders(tmp_path: Path) -> None:
    local = Local(tmp_path)
    local.put(ALICE, [b"x"])
    local.put(MANIFEST, [b"y"])
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == {f"a1/{ALICE}", MANIFEST}


def test_a_half_written_file_is_no_blob(tmp_path: Path) -> None:
    local = Local(tmp_path)
    local.put(ALICE, [b"x"])
    (tmp_path / "a1" / f".{ALICE}.0123456789abcdef.part").write_bytes(b"killed here")
    assert list(local.names()) == [ALICE]


def test_adopting_gives_files_a_second_name(tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    files = []
    for name in (ALICE, BOB, "a1" + "00" * 15):
        (new / f"{name}.envelope").write_bytes(name.encode())
        files.append((new / f"{name}.envelope", name))
    (tmp_path / "objects").mkdir()
    local = Local(tmp_path / "objects")
    for _ in range(2):
        local.adopt(files)
        for file, name in files:
            assert file.samefile(local.path(name))
    for file, _ in files:
        file.unlink()
    assert sorted(local.names()) == sorted(name for _, name in files)
    assert content(local, BOB) == BOB.encode()


def test_adopting_flushes_each_folder_once_and_new_folders_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "objects").mkdir()
    names = [ALICE, "a1" + "00" * 15, BOB]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    flushed: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("appliance.vault.blobs.fsync_dir", lambda path: flushed.append((path.name, sorted(os.listdir(path)))))  # noqa: PTH208
    Local(tmp_path / "objects").adopt((tmp_path / name, name) for name in names)
    assert flushed == [("objects", ["a1"]), ("objects", ["a1", "b0"]), ("a1", sorted(names[:2])), ("b0", [BOB])]


def test_an_open_file_stays_readable_when_deleted(tmp_path: Path) -> None:
    local = Local(tmp_path)
    local.put(ALICE, [b"sealed"])
    with local.open(ALICE) as source:
        local.delete(ALICE)
        assert source.read_at(0, 6) == b"sealed"


# -- the bucket -----------------------------------------------------------------------------------------------------


def test_a_small_blob_goes_up_in_one_request_and_a_large_one_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    ways: list[bool] = []
    put = s3.obstore.put

    def watched(*arguments: object, **options: object) -> object:
        ways.append(options.get("use_multipart", True) is True)
        return put(*arguments, **options)

    monkeypatch.setattr(s3.obstore, "put", watched)
    bucket = S3(MemoryStore())
    bucket.put(ALICE, [bytes(PART)])
    bucket.put(ALICE, [bytes(PART), b"x"])
    assert ways == [False, True]
