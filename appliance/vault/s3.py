"""The mirror: the same blobs in an S3-compatible bucket, or below another directory. Only where data stays in the EU.

What a bucket answers proves nothing: the deed that mirrors reads back and compares.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from ..domain.errors import Code, Problem
from ..domain.residency import REGION, aws, is_in_eu
from .blobs import Blobs, Local, Missing, checked
from .sealed import ReadAt

PART: Final = 8 << 20
"""Up to so many bytes go up in one request, more in parts of this size."""


def open_mirror(
    url: str | None, *, endpoint: str | None, region: str | None, access_key: str | None, secret_key: str | None, declared_eu: bool
) -> Blobs | None:
    """The mirror at `s3://BUCKET[/FOLDER]` or `file:///DIRECTORY`; None when there is none. Without an endpoint the bucket is AWS's.

    Problem INVALID for one that is not known to be in the EU and that nobody has vouched for.
    """
    if url is None:
        return None
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Local(Path(parts.path))
    region = region or REGION
    endpoint = endpoint or aws(region)
    if not declared_eu and not is_in_eu(endpoint):
        raise Problem(
            Code.INVALID,
            "The mirror is not at an address that we know to be in the EU. Choose another, or declare it with"
            " BILDBRIEF_MIRROR_DECLARED_EU=yes if you have made sure of it.",
        )
    if access_key is None or secret_key is None:
        raise Problem(Code.INVALID, "The mirror needs BILDBRIEF_MIRROR_ACCESS_KEY and BILDBRIEF_MIRROR_SECRET_KEY.")
    return S3(
        S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            # The one that goes before all others: no AWS_ENDPOINT… of the environment may lead elsewhere than what was checked.
            aws_endpoint_url_s3=endpoint,
            region=region,
            access_key_id=access_key,
            secret_access_key=secret_key,
            client_options={"allow_http": endpoint.startswith("http:"), "timeout": "300s", "connect_timeout": "5s"},
            retry_config={"max_retries": 0},  # the outbox remembers what has to be tried again
        )
    )


class S3:
    """Blobs in a bucket. `store` is obstore's; any of its kinds will do."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def put(self, name: str, pieces: Iterable[bytes]) -> None:
        rest = iter(pieces)
        head = bytearray()
        for piece in rest:
            head += piece
            if len(head) > PART:
                break
        try:
            with _told():
                if len(head) > PART:
                    obstore.put(self._store, checked(name), chain([bytes(head)], rest), chunk_size=PART, max_concurrency=2)
                else:
                    obstore.put(self._store, checked(name), bytes(head), use_multipart=False)
        except Missing:
            raise Problem(Code.INVALID, "The mirror has no such bucket. Create it, or correct BILDBRIEF_MIRROR_URL.") from None

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
            # Some stores say so of a missing blob, all of a missing bucket; but that cannot be listed, and has deleted nothing.
            next(self.names(), None)

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
    except FileNotFoundError:
        raise Missing from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise Problem(Code.FORBIDDEN, "The mirror refuses our access key. Check the key and the rights of the bucket.") from None
    except BaseError:
        raise Problem(Code.UNAVAILABLE, "The mirror does not answer. It is tried again by itself.") from None
