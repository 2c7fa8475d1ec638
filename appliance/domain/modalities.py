"""The systems that send to us, as the setting `modalities` names them: AE@ADDRESS[:PORT], separated by commas.

ADDRESS is an address or a network (192.168.1.0/24), IPv6 in brackets if a port follows; AE may be * for any.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from .node import Node, ae_title

ANY = "*"


@dataclass(frozen=True, slots=True)
class Modality:
    """A sender. `port`: where it can be called itself; None if it cannot."""

    ae_title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    port: int | None = None

    @property
    def node(self) -> Node | None:
        """The one that can be called under this entry, if it is one."""
        if self.port is None or self.ae_title == ANY or self.network.num_addresses != 1:
            return None
        return Node(self.ae_title, str(self.network.network_address), self.port)


def modalities(text: str) -> tuple[Modality, ...]:
    """The value of the setting. Raises ValueError."""
    return tuple(_modality(part.strip()) for part in text.split(",") if part.strip())


def nodes(entries: Iterable[Modality]) -> dict[str, Node]:
    """Those that can be called, by AE title; of several with the same title the first."""
    found: dict[str, Node] = {}
    for entry in entries:
        if node := entry.node:
            found.setdefault(node.ae_title, node)
    return found


def _modality(text: str) -> Modality:
    title, at, place = text.rpartition("@")
    address, port = _split(place)
    try:
        network = ipaddress.ip_network(address)
        number = None if port is None else int(port)
    except ValueError:
        at = ""
    if not at or not (number is None or 1 <= number <= 65_535):
        raise ValueError(f"has “{text}”, which is no sender; give AE@ADDRESS or AE@ADDRESS:PORT, for example CT1@192.168.1.30:104")
    return Modality(title if title == ANY else ae_title(title), network, number)


def _split(place: str) -> tuple[str, str | None]:
    """Address and port. Without brackets the colons of IPv6 are its own."""
    if place.startswith("[") and (place.endswith("]") or "]:" in place):
        address, _, rest = place[1:].partition("]")
        return address, rest[1:] if rest else None
    address, colon, port = place.partition(":")
    return (address, port) if colon and ":" not in port else (place, None)
