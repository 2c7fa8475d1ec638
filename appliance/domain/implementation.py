"""Who we say we are on the network and in files (PS3.7 D.3.3.2, PS3.10 7.1)."""

from typing import Final

from .. import __version__

IMPLEMENTATION_CLASS_UID: Final = "2.25.144960046991242092885127754387306770433"
"""Ours for good, made from a UUID (PS3.5 B.2): it names the implementation, not a release."""
IMPLEMENTATION_VERSION_NAME: Final = f"BILDBRIEF_{__version__}"[:16]
