"""Where the mirror may be, and what it says when it is not."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.domain.errors import Code, Problem
from appliance.domain.residency import HOSTS, is_in_eu
from appliance.vault.blobs import Blobs, Local
from appliance.vault.s3 import S3, open_mirror

ALICE = "a1" * 16


def mirror(
    url: str | None, *, endpoint: str | None = None, region: str | None = None, keys: str | None = "key", declared_eu: bool = False
) -> Blobs | None:
    return open_mirror(url, endpoint=endpoint, region=region, access_key=keys, secret_key=keys, declared_eu=declared_eu)


def test_no_mirror_and_a_directory(tmp_path: Path) -> None:
    assert mirror(None) is None
    found = mirror(tmp_path.as_uri(), keys=None)
    assert isinstance(found, Local)
    found.put(ALICE, [b"x"])
    assert (tmp_path / "a1" / ALICE).read_bytes() == b"x"


@pytest.mark.parametrize("host", [host for hosts in HOSTS.values() for host in hosts])
def test_known_hosts_with_and_without_the_bucket_in_front(host: str) -> None:
    assert is_in_eu(f"https://{host}")
    assert is_in_eu(f"https://practice-mirror.{host}:443")
    assert isinstance(mirror("s3://practice-mirror", endpoint=f"https://{host}"), S3)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.eu-west-2.amazonaws.com",  # London
        "https://s3.eu-central-2.amazonaws.com",  # Zurich
        "https://s3.us-east-1.amazonaws.com",
        "https://s3.amazonaws.com",
        "https://s3.uk.io.cloud.ovh.net",
        "https://s3.bhs.io.cloud.ovh.net",
        "https://s3.us-central-1.ionoscloud.com",
        "https://obs.eu-ch2.sc.otc.t-systems.com",
        "https://sos-ch-gva-2.exo.io",
        "https://fsn1.your-objectstorage.com.example.org",
        "https://evilfsn1.your-objectstorage.com",
        "https://s3.fr-par.scw.cloud@example.org",
        "https://example.org/s3.fr-par.scw.cloud",
        "https://localhost",  # a name can mean any machine
        "http://10.0.0.5:9000",
        "https://",
    ],
)
def test_everything_else_must_be_declared(endpoint: str) -> None:
    assert not is_in_eu(endpoint)
    with pytest.raises(Problem, match="BILDBRIEF_MIRROR_DECLARED_EU") as caught:
        mirror("s3://practice-mirror", endpoint=endpoint)
    assert caught.value.code is Code.INVALID
    assert isinstance(mirror("s3://practice-mirror", endpoint=endpoint, declared_eu=True), S3)


@pytest.mark.parametrize(("region", "allowed"), [(None, True), ("eu-north-1", True), ("eu-west-2", False), ("us-east-1", False)])
def test_aws_is_known_by_its_region(region: str | None, allowed: bool) -> None:
    if allowed:
        assert isinstance(mirror("s3://practice-mirror", region=region), S3)
        return
    with pytest.raises(Problem):
        mirror("s3://practice-mirror", region=region)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9000", "http://127.1.2.3", "http://[::1]:9000"])
def test_the_practices_own_machine_needs_no_declaration(endpoint: str) -> None:
    assert isinstance(mirror("s3://practice-mirror", endpoint=endpoint), S3)


def test_a_bucket_needs_keys() -> None:
    with pytest.raises(Problem, match="ACCESS_KEY"):
        mirror("s3://practice-mirror", keys=None)


# -- a bucket that refuses or is away -------------------------------------------------------------------------------


@contextmanager
def answering(status: int, seen: list[str]) -> Iterator[str]:
    """A web server on loopback that answers everything with one status; its address."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def failures(bucket: Blobs) -> Iterator[Problem]:
    for act in (lambda: bucket.put(ALICE, [b"x"]), lambda: bucket.exists(ALICE), lambda: bucket.delete(ALICE)):
        with pytest.raises(Problem) as caught:
            act()
        yield caught.value


@pytest.mark.parametrize(
    ("status", "code"), [(403, Code.FORBIDDEN), (401, Code.FORBIDDEN), (500, Code.UNAVAILABLE), (503, Code.UNAVAILABLE)]
)
def test_refusals_are_told_without_addresses_and_keys_and_not_retried(status: int, code: Code) -> None:
    seen: list[str] = []
    with answering(status, seen) as endpoint:
        bucket = mirror("s3://practice-mirror", endpoint=endpoint, keys="SECRETKEY")
        assert bucket is not None
        for problem in failures(bucket):
            assert problem.code is code
            assert "SECRETKEY" not in str(problem)
            assert "127.0.0.1" not in str(problem)
            assert problem.__suppress_context__
    assert len(seen) == 3


def test_a_bucket_that_is_not_there_is_no_missing_blob() -> None:
    """Else what was never stored would count as gone, and what was never deleted as deleted."""
    with answering(404, []) as endpoint:
        bucket = mirror("s3://practice-mirror", endpoint=endpoint)
        assert bucket is not None
        with pytest.raises(Problem, match="no such bucket") as caught:
            bucket.put(ALICE, [b"x"])
        assert caught.value.code is Code.INVALID
        with pytest.raises(Problem) as caught:
            bucket.delete(ALICE)
        assert caught.value.code is Code.UNAVAILABLE


def test_a_mirror_that_is_away() -> None:
    with answering(200, []) as endpoint:
        pass
    bucket = mirror("s3://practice-mirror", endpoint=endpoint)
    assert bucket is not None
    assert {problem.code for problem in failures(bucket)} == {Code.UNAVAILABLE}


def test_the_checked_address_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in the environment, as other tools like to set it, must not lead the mirror elsewhere."""
    seen: list[str] = []
    elsewhere: list[str] = []
    with answering(500, seen) as endpoint, answering(500, elsewhere) as other:
        for name in ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            monkeypatch.setenv(name, other)
        bucket = mirror("s3://practice-mirror/folder/of/ours/", endpoint=endpoint)
        assert bucket is not None
        with pytest.raises(Problem):
            bucket.put(ALICE, [b"x"])
    assert seen == [f"PUT /practice-mirror/folder/of/ours/{ALICE}"]
    assert elsewhere == []
