"""A real S3 server for tests: Ceph's object gateway from Debian's packages, on loopback, with all its data in memory.

It signs and refuses as servers in the field do, answers ranges and lists in pages. `with s3_server() as s3:` gives a fresh one
with one user and one empty bucket in about fifteen seconds; nothing of it is left afterwards.
"""

import hashlib
import hmac
import http.client
import secrets
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from programs import need

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph-authtool", "monmaptool")
PATIENCE = 90  # seconds, for any one step on a busy machine
REGION = "eu-central-1"


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where the server is, and who may use it."""

    port: int
    bucket: str
    access_key: str
    secret_key: str
    region: str = REGION

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str = "") -> tuple[int, bytes]:
        """Send one request without a body for `/BUCKET/path`, signed (AWS Signature Version 4): status and answer."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        empty = hashlib.sha256(b"").hexdigest()
        headers = {"host": f"127.0.0.1:{self.port}", "x-amz-content-sha256": empty, "x-amz-date": moment}
        names = ";".join(headers)
        target = f"/{self.bucket}" + (f"/{path}" if path else "")
        canonical = "\n".join([method, target, "", *(f"{key}:{value}" for key, value in headers.items()), "", names, empty])
        scope = f"{moment[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = b"AWS4" + self.secret_key.encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One server for all tests that ask. Without its packages: a failure for root, who could have them, else a skip with the reason."""
    need(*PROGRAMS)
    with s3_server() as server:
        yield server


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Bring a server up in a temporary directory, and take all of it away again. RuntimeError with the end of its log if it fails."""
    with tempfile.TemporaryDirectory(prefix="bildbrief-s3-", ignore_cleanup_errors=True) as name, ExitStack() as running:
        cluster = _Cluster(Path(name), running)
        server = S3Server(cluster.start(), "bildbrief-test", secrets.token_hex(10).upper(), secrets.token_hex(20))
        cluster.call(
            "radosgw-admin", "user", "create", "--uid=appliance", "--display-name=appliance",
            f"--access-key={server.access_key}", f"--secret-key={server.secret_key}",
        )  # fmt: skip
        status, answer = server.request("PUT")
        if status != 200:
            raise RuntimeError(f"The S3 server did not make the bucket: {status} {answer[:300]!r}")
        yield server


class _Cluster:
    """The smallest Ceph cluster that works: one monitor, one store in memory, one gateway, all children of this process."""

    def __init__(self, home: Path, running: ExitStack) -> None:
        self.home = home
        self.running = running
        self.conf = home / "ceph.conf"

    def call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [program, "-c", self.conf, *arguments], capture_output=True, text=True, timeout=PATIENCE, cwd=self.home, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout[-500:]} {done.stderr[-1500:]}")

    def _run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        log = self.running.enter_context((self.home / f"{program}.out").open("wb"))
        process = subprocess.Popen([program, "-c", self.conf, "-f", *arguments], stdout=log, stderr=log, cwd=self.home)
        self.running.callback(_stop, process)
        return process

    def start(self) -> int:
        """Start all three; the gateway's port once it answers."""
        monitor, old_monitor, gateway = _free_ports(3)
        cluster, store = uuid.uuid4(), uuid.uuid4()
        for name in ("mon", "osd", "rgw"):
            (self.home / name).mkdir()
        addresses = f"[v2:127.0.0.1:{monitor},v1:127.0.0.1:{old_monitor}]"
        self.conf.write_text(_CONF.format(cluster=cluster, addresses=addresses, home=self.home, gateway=gateway))
        keyring = str(self.home / "keyring")
        for who, powers in _POWERS.items():
            create = [] if Path(keyring).exists() else ["--create-keyring"]
            caps = [word for kind, power in powers.items() for word in ("--cap", kind, power)]
            self.call("ceph-authtool", *create, keyring, "--gen-key", "-n", who, *caps)
        monmap = str(self.home / "monmap")
        self.call("monmaptool", "--create", "--fsid", str(cluster), "--addv", "m", addresses, monmap)
        self.call("ceph-mon", "--mkfs", "-i", "m", "--monmap", monmap, "-k", keyring)
        self._run("ceph-mon", "-i", "m")
        self.call("ceph", "--connect-timeout", str(PATIENCE), "osd", "new", str(store))
        self.call("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", str(store))
        self._run("ceph-osd", "-i", "0")
        self._wait(self._run("radosgw", "-n", "client.rgw"), gateway)
        return gateway

    def _wait(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        logs = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-600:]}" for path in sorted(self.home.glob("*.out")))
        raise RuntimeError(f"The S3 server did not come up.\n{logs}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


_POWERS = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *"},
    "client.rgw": {"mon": "allow rw", "osd": "allow rwx"},
}

# One of everything, no copies, few placement groups: what makes a cluster start fast and need little memory.
_CONF = """[global]
fsid = {cluster}
mon_host = {addresses}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {home}/keyring
run_dir = {home}
admin_socket =
log_file = {home}/$name.log
pid_file =
mon_data = {home}/mon
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_crush_chooseleaf_type = 0
[osd]
osd_data = {home}/osd
osd_objectstore = memstore
memstore_device_bytes = 2147483648
[client.rgw]
rgw_data = {home}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
"""
