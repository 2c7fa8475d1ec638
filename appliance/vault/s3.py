"""The mirror: the same blobs in an S3-compatible bucket, or below another directory. Only where data stays in the EU.

What a bucket answers proves nothing: the deed that mirrors reads back and compares.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from ..domain.errors import Code, Problem
from .blobs import Blobs, Local, Missing, checked
from .sealed import ReadAt

# Regions of AWS in the EU. London (eu-west-2) and Zurich (eu-central-2) are not in it, whatever their names begin with.
AWS_REGIONS: Final = frozenset({"eu-central-1", "eu-west-1", "eu-west-3", "eu-north-1", "eu-south-1", "eu-south-2", "eusc-de-east-1"})

# Endpoints of providers that name an EU location in the address itself.
ENDPOINTS: Final = (
    ".s3.eu-central-1.amazonaws.com",
    "s3.eu-central-1.ionoscloud.com",
    "s3.eu-central-2.ionoscloud.com",
    "s3.eu-central-3.ionoscloud.com",
    "s3-eu-central-1.ionoscloud.com",
    "s3-eu-central-2.ionoscloud.com",
    "s3-eu-south-2.ionoscloud.com",
    "s3.fr-par.scw.cloud",
    "s3.nl-ams.scw.cloud",
    "s3.pl-waw.scw.cloud",
    "s3.gra.io.cloud.ovh.net",
    "s3.sbg.io.cloud.ovh.net",
    "s3.rbx.io.cloud.ovh.net",
    "s3.de.io.cloud.ovh.net",
    "s3.waw.io.cloud.ovh.net",
    "obs.eu-de.otc.t-systems.com",
    "obs.eu-nl.otc.t-systems.com",
    "fsn1.your-objectstorage.com",
    "nbg1.your-objectstorage.com",
    "hel1.your-objectstorage.com",
    "object.storage.eu01.onstackit.cloud",
    "sos-de-fra-1.exo.io",
    "sos-de-muc-1.exo.io",
    "sos-at-vie-1.exo.io",
    "sos-at-vie-2.exo.io",
    "sos-bg-sof-1.exo.io",
)


def is_in_eu(endpoint: str | None, region: str | None) -> bool:
    """Whether we know that an endpoint keeps data in the EU. The practice's own machine, by a loopback address, counts."""
    if endpoint is None:
        return region in AWS_REGIONS
    host = urlsplit(endpoint).hostname or ""
    if any(host == known.removeprefix(".") or host.endswith("." + known.removeprefix(".")) for known in ENDPOINTS):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_mirror(
    url: str | None, *, endpoint: str | None, region: str | None, access_key: str | None, secret_key: str | None, declared_eu: bool
) -> Blobs | None:
    """The mirror of a `mirror_url`; None when there is none. Problem INVALID for one outside the EU that nobody has vouched for."""
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Local(Path(parts.path))
    if not declared_eu and not is_in_eu(endpoint, region):
        raise Problem(
            Code.INVALID,
            "The mirror is not at an address that we know to be in the EU. Choose another, or declare it with"
            " BILDBRIEF_MIRROR_DECLARED_EU=yes if you have made sure of it.",
        )
    if access_key is None or secret_key is None:
        raise Problem(Code.INVALID, "The mirror needs BILDBRIEF_MIRROR_ACCESS_KEY and BILDBRIEF_MIRROR_SECRET_KEY.")
    return S3(parts.netloc, endpoint=endpoint, region=region, access_key=access_key, secret_key=secret_key)


class S3:
    """Blobs in a bucket. No retries of its own: the outbox remembers what has to be tried again."""

    def __init__(self, bucket: str, *, endpoint: str | None, region: str | None, access_key: str, secret_key: str) -> None:
        place: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
        self._store = S3Store(
            bucket,
            **place,
            region=region or "eu-central-1",
            access_key_id=access_key,
            secret_access_key=secret_key,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http:")), "timeout": "60s", "connect_timeout": "5s"},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=60)},
        )

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        with _told():
            obstore.put(self._store, checked(name), pieces)

    @contextmanager
    def open(self, name: str) -> Iterator[ReadAt]:
        with _told():
            size = obstore.head(self._store, checked(name))["size"]
        yield _Remote(self._store, name, size)

    def exists(self, name: str) -> bool:
        try:
            with self.open(name):
                return True
        except Missing:
            return False

    def delete(self, name: str) -> None:
        try:
            with _told():
                obstore.delete(self._store, checked(name))
        except Missing:
            return

    def names(self, prefix: str = "") -> Iterator[str]:
        # The store lists by whole folders; the rest of the prefix is ours to compare.
        folder = prefix.rpartition("/")[0] or None
        with _told():
            for page in obstore.list(self._store, folder, chunk_size=1000):
                yield from (entry["path"] for entry in page if entry["path"].startswith(prefix))


class _Remote:
    """A blob of the bucket, read by ranges."""

    def __init__(self, store: Any, name: str, size: int) -> None:
        self._store = store
        self._name = name
        self.size = size

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        with _told():
            return bytes(obstore.get_range(self._store, self._name, start=offset, length=length))


@contextmanager
def _told() -> Iterator[None]:
    """The store's errors as ours; its own words may quote addresses and keys."""
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise Missing from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise Problem(Code.FORBIDDEN, "The mirror refuses our access key. Check the key and the rights of the bucket.") from None
    except (BaseError, OSError):
        raise Problem(Code.UNAVAILABLE, "The mirror does not answer. It is tried again by itself.") from None
