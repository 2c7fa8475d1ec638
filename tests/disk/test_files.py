"""Files are replaced whole and durably, or not at all."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.disk import files
from appliance.disk.files import fsync_dir, replace_file, write_file


def test_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "settings"
    replace_file(path, b"a long first content")
    replace_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("mode", "umask", "expected"), [(0o666, 0o022, 0o644), (0o600, 0o022, 0o600), (0o400, 0, 0o400), (0o666, 0o077, 0o600)]
)
def test_the_mode_is_right_from_the_start(tmp_path: Path, mode: int, umask: int, expected: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "key", b"x", mode=mode)
    finally:
        os.umask(before)
    assert (tmp_path / "key").stat().st_mode & 0o777 == expected


def test_the_order_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are durable before the name points at them, and the name is durable before we return."""
    path = tmp_path / "object"
    steps: list[str] = []

    def noted(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            steps.append(f"{name}: {'new' if path.exists() else 'old'}, {sum(file.stat().st_size for file in tmp_path.iterdir())} bytes")
            return real(*arguments)

        return step

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(Path, "rename", noted("rename", Path.rename))
    monkeypatch.setattr(files, "fsync_dir", noted("fsync_dir", lambda _: None))
    write_file(path, [b"sealed", b" bytes"])
    assert steps == ["fsync: old, 12 bytes", "rename: old, 12 bytes", "fsync_dir: new, 12 bytes"]


@pytest.mark.parametrize("step", ["piece", "fsync", "rename"])
def test_after_a_failure_the_old_content_is_there_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "object"
    replace_file(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def pieces() -> Iterator[bytes]:
        yield b"new"
        if step == "piece":
            fail()

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    if step == "rename":
        monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        write_file(path, pieces())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_fsync_dir_is_for_directories(tmp_path: Path) -> None:
    fsync_dir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        fsync_dir(tmp_path / "file")
