"""The modalities a practice names: who may send, from where, and where it is called back.

Written `AE@ADDRESS` or `AE@ADDRESS:PORT`, several with commas: `CT1@192.168.1.20:104, *@10.0.0.0/24`. `*` is any AE title; an address
may be a network. With a port, an IPv6 address stands in brackets: `MR1@[fd00::20]:104`.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from .node import Node, ae_title

ANY = "*"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Modality:
    """One entry. `port` is where it listens, if it does."""

    ae_title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    port: int | None = None

    @property
    def known(self) -> bool:
        """Whether it names one machine. Such a one has places of its own."""
        return self.ae_title != ANY and self.network.num_addresses == 1

    @property
    def node(self) -> Node | None:
        """Whom to call under this entry, if it is one machine that listens."""
        return Node(self.ae_title, str(self.network.network_address), self.port) if self.known and self.port else None

    def sends_from(self, address: Address) -> bool:
        return address in self.network

    def is_called(self, title: str) -> bool:
        return self.ae_title in (ANY, title)


def parse(text: str) -> tuple[Modality, ...]:
    """The entries of a list. Raises ValueError with the entry that makes no sense."""
    return tuple(_entry(entry.strip()) for entry in text.split(","))


def senders(modalities: Iterable[Modality], address: Address) -> list[Modality]:
    """The entries a peer may be."""
    return [modality for modality in modalities if modality.sends_from(address)]


def nodes(modalities: Iterable[Modality]) -> dict[str, Node]:
    """Those that can be called, by AE title; of several with the same title the first."""
    found: dict[str, Node] = {}
    for modality in modalities:
        if node := modality.node:
            found.setdefault(node.ae_title, node)
    return found


def address_of(host: str) -> Address:
    """The address of a peer as a socket tells it. One that came as IPv4 within IPv6 counts as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def _entry(text: str) -> Modality:
    title, at, place = text.rpartition("@")
    address, port = _split(place)
    try:
        network = ipaddress.ip_network(address)
        number = None if port is None else int(port)
    except ValueError:
        at = ""
    if not at or not (number is None or 1 <= number <= 65_535):
        raise ValueError(f"has an entry that makes no sense: {text!r}; give one like CT1@192.168.1.20:104 or *@192.168.1.0/24")
    return Modality(title if title == ANY else ae_title(title), network, number)


def _split(place: str) -> tuple[str, str | None]:
    """Address and port. Without brackets the colons of IPv6 are its own."""
    if place.startswith("[") and (place.endswith("]") or "]:" in place):
        address, _, rest = place[1:].partition("]")
        return address, rest[1:] if rest else None
    address, colon, port = place.partition(":")
    return (address, port) if colon and ":" not in port else (place, None)
