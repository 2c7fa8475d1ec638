"""Another DICOM application entity on the network, as people write it: AE@HOST:PORT."""

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Node:
    """Whom we call. `host` is a name or an address, IPv6 without brackets."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"


def ae_title(text: str) -> str:
    """An AE title: at most 16 characters of the default repertoire, no backslash or control characters (PS3.5 6.2). Raises ValueError."""
    if not 1 <= len(text) <= 16 or not text.isascii() or not text.isprintable() or "\\" in text or text != text.strip():
        raise ValueError("is no AE title; give 1 to 16 ASCII characters without a backslash")
    return text


def endpoint(text: str) -> tuple[str, int]:
    """HOST:PORT. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or not port or parts.netloc != text or parts.username is not None:
        raise ValueError("is no address with a port; give one like 192.168.1.20:8443")
    return parts.hostname, port


def node(text: str) -> Node:
    """AE@HOST:PORT. Raises ValueError. An AE title may hold an @; the last one counts."""
    title, at, address = text.rpartition("@")
    if not at:
        raise ValueError("is no DICOM node; give one like PACS@192.168.1.20:104")
    return Node(ae_title(title), *endpoint(address))
