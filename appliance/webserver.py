"""The web server of both doors: waitress, told to keep every byte in memory and to refuse what could smuggle a second request.

waitress would put large request and response bodies into temporary files, where they would lie readable. Here requests have a
limit that fits into memory, and responses wait for their reader instead of piling up.
"""

from collections.abc import Callable, Mapping
from threading import Event
from typing import Any
from wsgiref.types import WSGIApplication

from waitress import create_server, wasyncore
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, TransferEncodingNotImplemented
from waitress.receiver import FixedStreamReceiver

NEVER = 1 << 50  # bytes: an overflow into a temporary file that cannot happen
HEADER_LIMIT = 32 << 10
WAITING = 1 << 20  # bytes of a response that may wait for a slow reader

BodyLimit = Callable[[Mapping[str, str]], int]
"""How many bytes of body a request may bring, from its headers (upper case, with underscores): asked before any is kept."""


class WebServer:
    """Listens as soon as it is made (`port` 0: any free one); `run` answers until told to stop."""

    def __init__(
        self, app: WSGIApplication, *, host: str, port: int, threads: int, body_limit: BodyLimit, trusted_proxy: str | None = None
    ) -> None:
        proxy: dict[str, Any] = {}
        if trusted_proxy is not None:
            headers = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"}
            proxy = {"trusted_proxy": trusted_proxy, "trusted_proxy_headers": headers}
        self._map: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._map,
            listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            threads=threads,
            ident=None,
            channel_request_lookahead=0,
            clear_untrusted_proxy_headers=True,
            connection_limit=500,
            channel_timeout=60,
            max_request_header_size=HEADER_LIMIT,
            max_request_body_size=NEVER,
            inbuf_overflow=NEVER,
            outbuf_overflow=NEVER,
            outbuf_high_watermark=WAITING,
            **proxy,
        )
        self._server.channel_class = type("Channel", (HTTPChannel,), {"parser_class": _parser(body_limit)})
        self.port = int(self._server.effective_port)

    def run(self, stop: Event) -> None:
        """Answer requests until `stop` is set; then finish those under way (up to 5 s)."""
        while not stop.is_set():
            wasyncore.loop(timeout=0.5, use_poll=True, map=self._map, count=1)
        self._server.task_dispatcher.shutdown()
        wasyncore.close_all(self._map)


class _Nowhere(OverflowableBuffer):  # type: ignore[misc]
    """Takes a body that nobody wants: read to its end, so that the sender listens to the refusal, and not kept."""

    def append(self, s: bytes) -> None:
        pass


def _parser(body_limit: BodyLimit) -> type:
    class Parser(HTTPRequestParser):  # type: ignore[misc]
        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            # Browsers always say how much they send; the other way of framing is where proxies and servers disagree (RFC 9112, 11.2).
            if self.chunked or "TRANSFER_ENCODING" in self.headers:
                raise TransferEncodingNotImplemented("Send a Content-Length instead.")
            if self.content_length > body_limit(self.headers):
                self.body_rcv = FixedStreamReceiver(self.content_length, _Nowhere(NEVER))

    return Parser
