"""Long answers: of known length, in ranges, a piece at a time, and broken off rather than finished wrongly."""

import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final

from werkzeug import Request, Response

from ..log import log

_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes whose number is known before the first is read. `read(start, stop)` yields that half-open range; `etag` is unquoted."""

    size: int
    etag: str
    read: Callable[[int, int], Iterator[bytes]]
    mimetype: str


class Transfer:
    """The body of a long answer: an iterator that is told when it is over, however it ends.

    `proceed` is asked before each piece and may raise, which breaks the connection: the reader sees that something is missing.
    """

    def __init__(self, pieces: Iterator[bytes], proceed: Callable[[], None], ended: Callable[[int], None]) -> None:
        self._pieces = pieces
        self._proceed = proceed
        self._ended: Callable[[int], None] | None = ended
        self._sent = 0
        try:
            # Before the headers go out: what cannot be opened at all is still told properly.
            self._first = next(pieces, b"")
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> "Transfer":
        return self

    def __next__(self) -> bytes:
        try:
            self._proceed()
            piece, self._first = self._first or next(self._pieces), b""
        except StopIteration:
            raise
        except Exception:
            log.exception("transfer broken off", sent=self._sent)
            raise
        self._sent += len(piece)
        return piece

    def close(self) -> None:
        """Called by the web server when all is sent and when the reader has gone."""
        ended, self._ended = self._ended, None
        if ended:
            if isinstance(self._pieces, Generator):
                self._pieces.close()
            ended(self._sent)


def answer(
    request: Request,
    content: Content,
    *,
    disposition: str,
    started: Callable[[int, int], None] = lambda _start, _stop: None,
    proceed: Callable[[], None] = lambda: None,
    ended: Callable[[int], None] = lambda _sent: None,
) -> Response:
    """All of it, or the one range asked for (RFC 9110, 14): 200, 206 or 416. For HEAD the same without a body.

    `started` may refuse by raising; once it has returned, `ended` is called exactly once, with the number of bytes sent.
    """
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{content.etag}"',
        "Content-Disposition": disposition,
        "Content-Type": content.mimetype,
    }
    wanted = _range(request, content)
    if wanted is None:
        start, stop, status = 0, content.size, 200
    else:
        start, stop = wanted
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
    if status == 206 and start == stop:
        return Response(status=416, headers={"Content-Range": f"bytes */{content.size}", "Accept-Ranges": "bytes"})
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status=status, headers=headers)
    started(start, stop)
    return Response(Transfer(content.read(start, stop), proceed, ended), status, headers, direct_passthrough=True)


def _range(request: Request, content: Content) -> tuple[int, int] | None:
    """The half-open range asked for, empty if there is nothing there; None for all of it.

    Several ranges, other units and what is no range are ignored, as RFC 9110, 14.2 allows; so is a range of another version.
    """
    if request.method != "GET" or request.headers.get("If-Range", f'"{content.etag}"') != f'"{content.etag}"':
        return None
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None:
        return None
    first, last = (int(digits) if digits else None for digits in found.groups())
    if first is None:
        return None if last is None else (max(0, content.size - last), content.size)
    if last is None:
        return min(first, content.size), content.size
    return None if last < first else (min(first, content.size), min(last + 1, content.size))
