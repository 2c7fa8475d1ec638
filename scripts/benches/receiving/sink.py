"""A receiver that keeps nothing: it takes each instance, looks at nothing but lengths, and says success. So fast can the sender be.

    python -m benches.receiving.sink HOST PORT BYTES

BYTES: of the longest PDU it takes. The kernel throws the datasets away (tcp(7), MSG_TRUNC). One process for each association.
"""

import socket
import socketserver
import struct
import sys
from typing import BinaryIO, cast

from . import pdus

_STEP = 1 << 20  # bytes


class Sink(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = 0
    maximum = 0

    def handle(self) -> None:
        stream = cast(BinaryIO, self.rfile)
        _, request = pdus.receive(stream)
        self.request.sendall(pdus.accept(request, self.maximum))
        command = b""
        while head := self._exactly(6):
            kind, _, length = struct.unpack(">BBL", head)
            if kind != pdus.DATA:
                if kind == pdus.RELEASE:
                    self._exactly(length)
                    self.request.sendall(pdus.pdu(pdus.RELEASED))
                return
            _, context_id, control = struct.unpack(">LBB", self._exactly(6))
            if control & pdus.COMMAND:
                command = self._exactly(length - 6)
                continue
            self._forget(length - 6)
            if control & pdus.LAST:
                answer = pdus.store_response(command)
                self.request.sendall(pdus.fragment(context_id, pdus.COMMAND | pdus.LAST, len(answer)) + answer)

    def _exactly(self, count: int) -> bytes:
        return cast(bytes, self.request.recv(count, socket.MSG_WAITALL))

    def _forget(self, count: int) -> None:
        while count:
            count -= len(self.request.recv(min(count, _STEP), socket.MSG_TRUNC)) or count


class Server(socketserver.ForkingTCPServer):
    allow_reuse_address = True
    request_queue_size = 64


def main() -> None:
    host, port, Sink.maximum = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Server((host, port), Sink) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
