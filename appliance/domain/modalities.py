"""The modalities a practice names: who may send, from where, and where it is called back.

Written `AE@ADDRESS` or `AE@ADDRESS:PORT`, several with commas: `CT1@192.168.1.20:104, *@10.0.0.0/24`. `*` is any AE title; an address
may be a network. An IPv6 address stands in brackets: `MR1@[fd00::20]:104`.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

_FORM = re.compile(r"(?P<title>[^@]+)@(?:\[(?P<six>[^\]]+)\]|(?P<four>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Modality:
    """One entry. `port` is where it listens, if it does."""

    ae_title: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    port: int | None

    @property
    def known(self) -> bool:
        """Whether it names one machine. Such a one has places of its own."""
        return self.ae_title != "*" and self.network.num_addresses == 1

    def sends_from(self, address: Address) -> bool:
        return address in self.network

    def is_called(self, ae_title: str) -> bool:
        return self.ae_title in ("*", ae_title)


def parse(text: str) -> tuple[Modality, ...]:
    """The entries of a list. Raises ValueError with the entry that makes no sense."""
    return tuple(_entry(entry.strip()) for entry in text.split(","))


def address_of(host: str) -> Address:
    """The address of a peer as a socket tells it. One that came as IPv4 within IPv6 counts as IPv4."""
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def is_ae_title(text: str) -> bool:
    """PS3.5 6.2, AE: at most 16 characters of the default repertoire, no backslash, no control characters, not only spaces."""
    return 1 <= len(text) <= 16 and text.isascii() and text.isprintable() and "\\" not in text and text == text.strip()


def _entry(text: str) -> Modality:
    match = _FORM.fullmatch(text)
    network = _network(match["six"] or match["four"]) if match else None
    port = int(match["port"]) if match and match["port"] else None
    if match is None or network is None or not is_ae_title(match["title"]) or (port is not None and not 1 <= port <= 65_535):
        raise ValueError(f"has an entry that makes no sense: {text!r}; give one like CT1@192.168.1.20 or *@192.168.1.0/24")
    return Modality(match["title"], network, port)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def senders(modalities: Iterable[Modality], address: Address) -> list[Modality]:
    """The entries a peer may be."""
    return [modality for modality in modalities if modality.sends_from(address)]
