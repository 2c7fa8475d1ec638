"""The cage: everything real is read in it, nothing gets out of it, and its deaths are nobody else's."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from corpus import image, paths, read, written
from pydicom.encaps import encapsulate
from reportlab.pdfgen.canvas import Canvas

from appliance.dicom import cage as cages
from appliance.dicom.cage import Cage, Failed
from appliance.dicom.facts import Pictures
from appliance.dicom.pipe import Closed, Garbled, Late, Pipe
from appliance.dicom.reasons import Reason
from appliance.dicom.scan import Verdict, scan
from appliance.dicom.worker import DESCRIBE, DONE, FAILED
from appliance.domain.errors import Code, Problem
from appliance.domain.study import Described

# All bundled images that pass the pre-scan give pictures but these. JPEG Lossless needs GDCM; 12-bit JPEG nobody has.
LOSSLESS_JPEG = {"JPEG-LL.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "SC_rgb_jpeg_gdcm.dcm"}
NO_PICTURE = {
    Reason.NO_DECODER: {"JPEG-lossy.dcm", "JPGExtended.dcm", *(() if find_spec("gdcm") else LOSSLESS_JPEG)},
    Reason.UNREADABLE: {"JPEG2000-embedded-sequence-delimiter.dcm"},
}
EXPECTED = {name: reason for reason, names in NO_PICTURE.items() for name in names}


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(workers=2, memory=1 << 30, seconds=30) as made:
        yield made


def workers(cage: Cage) -> list[int]:
    """The process ids of the idle workers."""
    return [worker._process.pid for worker in cage._idle.queue if worker]


def test_every_real_file_in_the_cage(cage: Cage) -> None:
    """Also shows that whatever a worker needs was loaded before it was locked in."""
    seen: set[str] = set()
    for path in paths().values():
        data = path.read_bytes()
        found = scan([data])
        if found.verdict is not Verdict.OK:
            continue
        assert isinstance(cage.describe(found.header), Described), path.name
        answer = cage.picture(found, lambda start, stop, data=data: (data[start:stop],))  # type: ignore[misc]
        if found.pixels is None:
            assert answer == Failed(Reason.NO_PICTURE)
        elif path.name in EXPECTED:
            assert answer == Failed(EXPECTED[path.name]), path.name
        else:
            assert isinstance(answer, Pictures), (path.name, answer)
            seen.add(found.transfer_syntax)
    status = cage.status()
    assert (status["died"], status["late"]) == (0, 0)
    native, jpeg = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1"}, "1.2.840.10008.1.2.4."
    assert seen >= native | {jpeg + "50", jpeg + "80", jpeg + "90", jpeg + "91", "1.2.840.10008.1.2.5"}


def test_a_whole_file_at_once(cage: Cage) -> None:
    data = read("CT_small.dcm")
    in_pieces = cage.render(data[at : at + 1000] for at in range(0, len(data), 1000))
    assert isinstance(in_pieces, Pictures)
    assert cage.render(data) == in_pieces
    assert cage.render(b"no DICOM") == Failed(Reason.NOT_DICOM)
    assert cage.render(read("test-SR.dcm")) == Failed(Reason.NO_PICTURE)
    assert cage.render(read("color3d_jpeg_baseline.dcm"), frame=120) == Failed(Reason.NO_DECODER)


def test_pages(cage: Cage) -> None:
    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.drawString(100, 100, "Befund")  # Helvetica is not embedded: PDFium's own must do
    canvas.save()
    found = cage.pages(out.getvalue())
    assert isinstance(found, list)
    assert len(found) == 1
    assert cage.pages(b"%PDF-1.4 nonsense") == Failed(Reason.UNREADABLE)


# What holds


def test_all_limits_hold(cage: Cage) -> None:
    cage.describe(scan([read("CT_small.dcm")]).header)
    held = cage.status()["held"]
    assert held == dict.fromkeys(
        ("network", "user", "memory", "files", "writing", "core", "processes", "privileges", "calls"),
        True,
    )
    for pid in workers(cage):
        process = Path(f"/proc/{pid}")
        assert len(list((process / "task").iterdir())) == 1
        if os.geteuid() == 0:
            assert b"HOME" not in (process / "environ").read_bytes()
            open_files = sorted(str(link.readlink()).split(":")[0] for link in (process / "fd").iterdir())
            assert open_files == ["/dev/null", "/dev/null", "/dev/null", "pipe", "pipe"]
        else:  # not even who started it may look inside
            with pytest.raises(PermissionError):
                (process / "environ").read_bytes()
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert status["Uid"].split()[0] != "0"
        assert int(status["CapEff"], 16) == 0


ATTEMPTS = {
    "open a file": "open('/etc/passwd')",
    "list a directory": "os.listdir('/')",
    "write a file": "open('/tmp/x', 'w')",
    "make a socket": "socket.socket()",
    "make a Unix socket": "socket.socket(socket.AF_UNIX)",
    "start a process": "os.fork()",
    "start a thread": "_thread.start_new_thread(print, ())",
    "run a program": "os.execv('/bin/true', ['true'])",
    "signal its parent": "os.kill(os.getppid(), 0)",
    "raise its limits": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_gets_out(attempt: str) -> None:
    """The same locking, then the attempt: refused by the system, not by us."""
    program = f"""
        import _thread, os, resource, socket, sys
        from appliance.dicom import confine
        confine.lock(1 << 28)
        try:
            {ATTEMPTS[attempt]}
        except (OSError, RuntimeError, ValueError):
            os.write(1, b"refused")
        else:
            os.write(1, b"done")
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=False)
    assert done.stdout == b"refused", done.stderr


def test_as_an_ordinary_user() -> None:
    """Whoever runs this: the cage comes up for somebody without privileges, and the filter of system calls holds."""
    program = """
        import json, sys
        from appliance.dicom.cage import Cage
        with Cage(workers=1) as cage:
            found = cage.render(sys.stdin.buffer.read())
            print(json.dumps([type(found).__name__, cage.status()["held"]]))
    """
    # Root's interpreter may lie where nobody else can read: that one right is kept.
    call = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    call = [*(call if os.geteuid() == 0 else ()), sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(call, input=read("CT_small.dcm"), capture_output=True, check=True, cwd="/")
    kind, held = json.loads(done.stdout)
    assert kind == "Pictures"
    assert held["calls"]
    assert held["memory"]


# Deaths


def header() -> bytes:
    return scan([read("CT_small.dcm")]).header


def test_a_killed_worker_is_replaced() -> None:
    with Cage(workers=1) as cage:
        assert isinstance(cage.describe(header()), Described)
        (pid,) = workers(cage)
        os.kill(pid, signal.SIGKILL)
        assert isinstance(cage.describe(header()), Described)  # by a fresh one
        assert cage.status()["died"] == 1
        assert cage.status()["started"] == 2


def test_a_worker_that_hangs_is_ended() -> None:
    with Cage(workers=1, seconds=1) as cage:
        cage.describe(header())
        (pid,) = workers(cage)
        os.kill(pid, signal.SIGSTOP)
        begin = time.monotonic()
        assert cage.describe(header()) == Failed(Reason.TOO_LONG)
        assert time.monotonic() - begin < 3
        assert not Path(f"/proc/{pid}").exists()
        assert cage.status()["late"] == 1
        assert isinstance(cage.describe(header()), Described)


def test_a_hanging_worker_does_not_even_read() -> None:
    """More is sent than the pipe holds."""
    out = io.BytesIO()
    Canvas(out).save()
    with Cage(workers=1, seconds=1) as cage:
        cage.describe(header())
        os.kill(workers(cage)[0], signal.SIGSTOP)
        assert cage.pages(out.getvalue() + bytes(10_000_000)) == Failed(Reason.TOO_LONG)


def test_memory_is_limited() -> None:
    """A JPEG 2000 codestream that claims 20,000 × 20,000 pixels in a few bytes."""
    codestream = bytearray(scan_frame("693_J2KI.dcm"))
    size = codestream.index(b"\xff\x51")
    for at in (8, 12, 24, 28):  # image and tile size (ISO/IEC 15444-1, A.5.1)
        codestream[size + at - 2 : size + at + 2] = (20_000).to_bytes(4)
    ds = image(encapsulate([bytes(codestream)]), Rows=20_000, Columns=20_000, BitsAllocated=16, BitsStored=14, HighBit=13)
    ds.PixelRepresentation = 1
    with Cage(workers=1, memory=200 << 20) as cage:
        answer = cage.render(written(ds, "1.2.840.10008.1.2.4.91"))
        assert isinstance(answer, Failed)
        assert answer.reason in (Reason.TOO_LARGE, Reason.DIED, Reason.UNREADABLE)
        assert isinstance(cage.describe(header()), Described)


def scan_frame(name: str) -> bytes:
    data = read(name)
    return b"".join(data[start:stop] for start, stop in scan([data]).frame())


def test_too_large_to_try() -> None:
    data = written(image(bytes(30_000_000), Rows=5000, Columns=6000))
    with Cage(workers=1, memory=64 << 20) as cage:
        assert cage.render(data) == Failed(Reason.TOO_LARGE)
        assert cage.pages(bytes(20 << 20)) == Failed(Reason.TOO_LARGE)
        assert cage.status()["jobs"] == 0


def test_absurd_pictures_of_compressed_nothing() -> None:
    """RLE segments for 30,000 × 30,000 pixels, a thousand bytes long."""
    ds = image(encapsulate([(1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(1056)]), Rows=30_000, Columns=30_000)
    with Cage(workers=1, memory=512 << 20) as cage:
        answer = cage.render(written(ds, "1.2.840.10008.1.2.5"))
        assert isinstance(answer, Failed)
        assert answer.reason in (Reason.TOO_LARGE, Reason.DIED, Reason.UNREADABLE)
        assert isinstance(cage.describe(header()), Described)


def test_no_worker_comes_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is nothing the file can be blamed for."""
    for program in ("/nowhere/python", "/bin/false", "/bin/cat"):
        monkeypatch.setattr(sys, "executable", program)
        with Cage(workers=1) as cage, pytest.raises(Problem) as caught:
            cage.describe(header())
        assert caught.value.code is Code.UNAVAILABLE


def test_workers_are_replaced_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cages, "_JOBS", 2)
    with Cage(workers=1) as cage:
        for _ in range(5):
            cage.describe(header())
        assert cage.status()["started"] == 3


# Many hands


def test_from_several_threads(cage: Cage) -> None:
    names = ["CT_small.dcm", "MR_small.dcm", "test-SR.dcm", "examples_rgb_color.dcm"] * 10
    expected = {name: cage.describe(scan([read(name)]).header) for name in set(names)}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: cage.describe(scan([read(name)]).header), names))
    assert answers == [expected[name] for name in names]
    assert len(workers(cage)) <= 2


def test_rest_and_close() -> None:
    cage = Cage(workers=2)
    cage.describe(header())
    (pid,) = workers(cage)
    cage.rest()
    assert not Path(f"/proc/{pid}").exists()
    assert isinstance(cage.describe(header()), Described)
    cage.close()
    assert workers(cage) == []


# The pipe


def pipe() -> tuple[Pipe, int, int]:
    """A pipe whose other ends the test holds: where it writes, where it reads."""
    reads, test_writes = os.pipe()
    test_reads, writes = os.pipe()
    os.set_blocking(reads, False)
    os.set_blocking(writes, False)
    return Pipe(reads, writes), test_writes, test_reads


def soon() -> float:
    return time.monotonic() + 0.2


def test_messages() -> None:
    (a_reads, b_writes), (b_reads, a_writes) = os.pipe(), os.pipe()
    here, there = Pipe(a_reads, a_writes), Pipe(b_reads, b_writes)
    for descriptor in (a_reads, a_writes):
        os.set_blocking(descriptor, False)
    parts = [b"", b"header", bytes(3_000_000)]
    echo = threading.Thread(target=lambda: there.send(*there.receive(limit=1 << 22)))
    echo.start()
    here.send(DESCRIBE, parts, deadline=time.monotonic() + 10)
    assert here.receive(limit=1 << 22, deadline=time.monotonic() + 10) == (DESCRIBE, parts)
    echo.join()


@pytest.mark.parametrize(
    "answer",
    [
        bytes([DONE, 255]),  # too many parts
        bytes([DONE, 1]) + (1 << 31).to_bytes(4),  # too much
        bytes([DONE, 2]) + (600).to_bytes(4) * 2,  # too much together
    ],
)
def test_answers_that_are_too_large(answer: bytes) -> None:
    here, writes, _ = pipe()
    os.write(writes, answer)
    with pytest.raises(Garbled):
        here.receive(limit=1000, deadline=soon())


def test_answers_that_end_early_or_come_late() -> None:
    here, writes, _ = pipe()
    os.write(writes, bytes([FAILED, 1]) + (100).to_bytes(4) + b"half")
    with pytest.raises(Late):
        here.receive(limit=1000, deadline=soon())
    os.close(writes)
    with pytest.raises(Closed):
        here.receive(limit=1000, deadline=soon())


def test_nobody_reads() -> None:
    here, _, reads = pipe()
    with pytest.raises(Late):
        here.send(DESCRIBE, [bytes(1_000_000)], deadline=soon())
    os.close(reads)
    with pytest.raises(Closed):
        here.send(DESCRIBE, [b""], deadline=soon())


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [b"[1,1]"],
        [b"[1,1]", b"RIFF", b"RIFF"],
        [b"[1,1]", b"<html>" + bytes(100), b"<html>" + bytes(100)],
        [b"[99999,1]", *[b"RIFF\x18\0\0\0WEBP" + bytes(20)] * 2],
        [b'["1",1]', *[b"RIFF\x18\0\0\0WEBP" + bytes(20)] * 2],
        [b"{}", *[b"RIFF\x18\0\0\0WEBP" + bytes(20)] * 2],
    ],
)
def test_no_pictures(answer: list[bytes]) -> None:
    assert cages._pictures(answer) is None
    assert cages._pictures([b"[1,1]", *[b"RIFF\x18\0\0\0WEBP" + bytes(20)] * 2])
