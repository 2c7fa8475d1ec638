"""Where sender and receiver meet: the loopback interface, or two network namespaces with an Ethernet cable between them. Linux.

A namespace lives as long as a descriptor of it is open or a process is in it, so nothing is left behind, however this ends.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

_CLONE_NEWNET: Final = 0x40000000  # linux/sched.h
_OURS: Final = "/proc/thread-self/ns/net"
RECEIVER, _SENDER = "10.11.12.1", "10.11.12.2"
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Network:
    """`host`: the receiver's address. `environment`: of programs on both sides. The ends: descriptors of namespaces, or None: ours."""

    what: str
    host: str
    environment: dict[str, str]
    receiver: int | None = None
    sender: int | None = None


# DCMTK leaves Nagle's algorithm on (since 3.6.2) and writes each answer in two pieces. Against a sender that acknowledges late, as Linux
# does, it and all that is built on it would stand still for 40 ms an instance, and nothing else would be measured.
LOOPBACK: Final = Network("loopback, Nagle's algorithm off", "127.0.0.1", {"TCP_NODELAY": "1"})
_AS_IT_COMES: Final = {"TCP_NODELAY": "0"}


@contextmanager
def inside(namespace: int | None) -> Iterator[None]:
    """This thread, and the processes and sockets that it makes meanwhile, are in that network."""
    if namespace is None:
        yield
        return
    with _coming_back():
        _check(_libc.setns(namespace, _CLONE_NEWNET))
        yield


@contextmanager
def cable() -> Iterator[Network]:
    """Two namespaces and a cable with the MTU of an Ethernet; loopback, and it says so, where they cannot be made."""
    with ExitStack() as stack:
        try:
            ends = [_namespace(stack) for _ in range(2)]
            _connect(*ends)
            made = Network("cable between two network namespaces, MTU 1,500, Nagle's algorithm left on", RECEIVER, _AS_IT_COMES, *ends)
        except (PermissionError, FileNotFoundError):
            made = Network("loopback (a cable takes root and iproute2), Nagle's algorithm left on", LOOPBACK.host, _AS_IT_COMES)
        yield made


def _connect(receiver: int, sender: int) -> None:
    with inside(receiver):
        _ip(f"link add cable mtu 1500 type veth peer name cable mtu 1500 netns /proc/{os.getpid()}/fd/{sender}")
    for end, address in ((receiver, RECEIVER), (sender, _SENDER)):
        with inside(end):
            _ip("link set lo up")
            _ip(f"address add {address}/30 dev cable")
            _ip("link set cable up")


def _namespace(stack: ExitStack) -> int:
    """A new one, closed with `stack`. Raises PermissionError."""
    with _coming_back():
        _check(_libc.unshare(_CLONE_NEWNET))
        made = os.open(_OURS, os.O_RDONLY)
    stack.callback(os.close, made)
    return made


@contextmanager
def _coming_back() -> Iterator[None]:
    """Afterwards this thread is in the network where it was."""
    before = os.open(_OURS, os.O_RDONLY)
    try:
        yield
    finally:
        _check(_libc.setns(before, _CLONE_NEWNET))
        os.close(before)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))  # a PermissionError where it is one


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True)
