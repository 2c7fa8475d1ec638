"""Other DICOM nodes on loopback ports of their own, to send to: DCMTK's, Orthanc, pynetdicom's, and one that does what a test wants."""

import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from programs import which
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from appliance.domain.node import Node

TITLE = "PACS"
Answer = Callable[[Event], Dataset | int]


def dataset_of(file: bytes) -> bytes:
    """What stands behind the file meta information, whose length is its first element's value (PS3.10 7.1)."""
    return file[144 + struct.unpack("<I", file[140:144])[0] :]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def storescp(directory: Path, *options: str) -> Iterator[Node]:
    """DCMTK's receiver, told to keep what comes bit for bit, one file for each SOP Instance UID."""
    directory.mkdir(exist_ok=True)
    port = free_port()
    process = subprocess.Popen([which("storescp"), "+B", "-aet", TITLE, *options, "-od", directory, str(port)])
    try:
        _wait_for(port)
        yield Node(TITLE, "127.0.0.1", port)
    finally:
        process.terminate()
        process.wait()


class Orthanc:
    """A small PACS with its REST interface."""

    def __init__(self, node: Node, http_port: int) -> None:
        self.node = node
        self._url = f"http://127.0.0.1:{http_port}"

    def get(self, path: str) -> Any:
        return json.loads(self.bytes(path))

    def bytes(self, path: str) -> bytes:
        with urlopen(self._url + path) as response:  # noqa: S310 (loopback)
            return bytes(response.read())


@contextmanager
def orthanc(directory: Path) -> Iterator[Orthanc]:
    directory.mkdir()
    dicom, http = free_port(), free_port()
    configuration = directory / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(directory),
                "IndexDirectory": str(directory),
                "DicomAet": TITLE,
                "DicomPort": dicom,
                "HttpPort": http,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomAlwaysAllowStore": True,
                "Plugins": [],
            }
        )
    )
    process = subprocess.Popen([which("Orthanc"), configuration], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(dicom, http)
        yield Orthanc(Node(TITLE, "127.0.0.1", dicom), http)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory)


class Archive:
    """pynetdicom's Storage SCP. `answer` decides on each instance; `kept` are the datasets as they came, by SOP Instance UID."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.kept: dict[str, bytes] = {}
        self.associations = 0
        self.released = 0
        self.callers: set[str] = set()
        self.longest = 0  # P-DATA-TF that came, in bytes without its head

    def came(self, event: Event) -> None:
        if event.data[0] == 4:
            self.longest = max(self.longest, len(event.data) - 6)

    def requested(self, event: Event) -> None:
        with self._lock:
            self.associations += 1
            self.callers.add(event.assoc.requestor.primitive.calling_ae_title)

    def ended(self, _: Event) -> None:
        with self._lock:
            self.released += 1

    def store(self, event: Event) -> Dataset | int:
        with self._lock:
            self.kept[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return self._answer(event)


@contextmanager
def archive(
    contexts: list[tuple[str, list[str]]],
    answer: Answer = lambda _: 0,
    *,
    tls: ssl.SSLContext | None = None,
    node: Callable[[Node], Node] = lambda node: node,
    **settings: Any,
) -> Iterator[tuple[Node, Archive]]:
    """`settings` are attributes of pynetdicom's AE. `node`: how it is called, if not rightly."""
    entity = AE(TITLE)
    for abstract, syntaxes in contexts:
        entity.add_supported_context(abstract, syntaxes)
    for name, value in settings.items():
        setattr(entity, name, value)
    made = Archive(answer)
    handlers = [
        (evt.EVT_C_STORE, made.store),
        (evt.EVT_REQUESTED, made.requested),
        (evt.EVT_RELEASED, made.ended),
        (evt.EVT_DATA_RECV, made.came),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
    try:
        yield node(Node(TITLE, "127.0.0.1", server.server_address[1])), made
    finally:
        server.shutdown()


@contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[Node]:
    """A node that takes one connection and does with it what the script says, then closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                script(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Node(TITLE, "127.0.0.1", listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def read_pdu(connection: socket.socket) -> bytes:
    head = _exactly(connection, 6)
    return head + _exactly(connection, struct.unpack(">xxL", head)[0])


def accept(connection: socket.socket, syntax: str | None = None) -> None:
    """Accept everything that is proposed, or, against all rules, something else in its place."""
    request = A_ASSOCIATE_RQ()
    request.decode(read_pdu(connection))
    wish = request.to_primitive()
    for context in wish.presentation_context_definition_list:
        context.result = 0
        context.transfer_syntax = [syntax] if syntax else context.transfer_syntax
    wish.result = 0
    wish.presentation_context_definition_results_list = wish.presentation_context_definition_list
    connection.sendall(A_ASSOCIATE_AC(wish).encode())


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data


def _wait_for(*ports: int) -> None:
    patience = time.monotonic() + 20
    for port in ports:
        while time.monotonic() < patience:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
