"""A large instance passes through; it does not pile up. Measured on a receiver in a process of its own."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pynetdicom import AE, _config, build_context
from receiving import NOW
from wire import CT, EXPLICIT

from appliance.receiver import part10
from appliance.vault import intake, keys
from appliance.vault.sealed import sealed_length

SIZE = 200_000_000
RECEIVER = """
    import sys, threading
    from pathlib import Path
    from appliance.receiver.limits import Limits
    from appliance.receiver.server import Address, Receiver
    from appliance.receiver.service import Site

    directory, now = Path(sys.argv[1]), int(sys.argv[2])
    site = Site(directory, "BILDBRIEF", Limits(reserve=0), (), lambda: now, None)
    receiver = Receiver([Address("127.0.0.1", 0)], site)
    print(*receiver.ports, flush=True)
    receiver.serve(threading.Event())
"""


def peak(process: "subprocess.Popen[bytes]") -> int:
    """Bytes of memory a process has had at most (proc(5), VmHWM)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_two_hundred_megabytes_in_sixty_four(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    sent = tmp_path / "large.dcm"
    with sent.open("wb") as file:
        file.write(part10.head(CT, "1.2.3", EXPLICIT, calling="ALICE", called="BILDBRIEF"))
        file.write(b"\x08\0\x16\0UI\x1a\0" + CT.encode() + b"\0" + b"\x08\0\x18\0UI\x06\0" + b"1.2.3\0")
        file.write(b"\xe0\x7f\x10\0OW\0\0" + SIZE.to_bytes(4, "little"))
        file.truncate(file.tell() + SIZE)
    directory = tmp_path / "intake"
    (directory / "tmp").mkdir(parents=True)
    (directory / "new").mkdir()
    intake.write_public(directory, intake.PublicKey("00c0ffee", keys.new_pair()[1]))
    command = [sys.executable, "-c", textwrap.dedent(RECEIVER), directory, str(NOW)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            association = AE("ALICE").associate("127.0.0.1", port, contexts=[build_context(CT, EXPLICIT)], ae_title="BILDBRIEF")
            before = peak(process)
            assert association.send_c_store(sent).Status == 0
            grown = peak(process) - before
            association.release()
        finally:
            process.kill()
    (arrived,) = intake.waiting(directory)
    assert arrived.path.stat().st_size == sealed_length(sent.stat().st_size)
    assert grown < 64 << 20
