"""What the receiver accepts in an association: SOP classes, transfer syntaxes, and which one of several proposed.

`docs/decisions/0003-transfer-syntaxes.md` tells why, with what was measured.
"""

from collections.abc import Sequence

VERIFICATION = "1.2.840.10008.1.1"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"

REVERSIBLE_SYNTAXES = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, First-Order Prediction
    "1.2.840.10008.1.2.4.80",  # JPEG-LS Lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.92",  # JPEG 2000 Part 2 Multi-component Lossless
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL JPEG Recompression
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000 Lossless
    "1.2.840.10008.1.2.4.202",  # High-Throughput JPEG 2000 with RPCL Lossless
    "1.2.840.10008.1.2.5",  # RLE Lossless
)
"""Taken as they are. Whoever recodes into one of these changes no pixel."""

LOSSY_SYNTAXES = (
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.81",  # JPEG-LS Near-Lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.93",  # JPEG 2000 Part 2 Multi-component
    "1.2.840.10008.1.2.4.100",  # MPEG2 Main Profile / Main Level
    "1.2.840.10008.1.2.4.100.1",  # the same, fragmentable; so the .1 below
    "1.2.840.10008.1.2.4.101",  # MPEG2 Main Profile / High Level
    "1.2.840.10008.1.2.4.101.1",
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC/H.264 High Profile / Level 4.1
    "1.2.840.10008.1.2.4.102.1",
    "1.2.840.10008.1.2.4.103",  # MPEG-4 AVC/H.264 BD-compatible
    "1.2.840.10008.1.2.4.103.1",
    "1.2.840.10008.1.2.4.104",  # MPEG-4 AVC/H.264 Level 4.2 for 2D video
    "1.2.840.10008.1.2.4.104.1",
    "1.2.840.10008.1.2.4.105",  # MPEG-4 AVC/H.264 Level 4.2 for 3D video
    "1.2.840.10008.1.2.4.105.1",
    "1.2.840.10008.1.2.4.106",  # MPEG-4 AVC/H.264 Stereo
    "1.2.840.10008.1.2.4.106.1",
    "1.2.840.10008.1.2.4.107",  # HEVC/H.265 Main Profile
    "1.2.840.10008.1.2.4.108",  # HEVC/H.265 Main 10 Profile
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    "1.2.840.10008.1.2.4.203",  # High-Throughput JPEG 2000
)
"""Taken as they are, and never chosen where the sender could do without: it might compress for our sake."""

TRANSFER_SYNTAXES = REVERSIBLE_SYNTAXES + LOSSY_SYNTAXES

REFUSED_SYNTAXES = {
    "1.2.840.10008.1.2.1.99": "Deflated: nobody can find an element in it without inflating all, and a small file may inflate to any size",
    "1.2.840.10008.1.2.8.1": "Deflated Image Frame: no decoder at hand",
    "1.2.840.10008.1.2.2": "Big Endian: retired in 2006; readers of the patient's copy no longer know it",
    "1.2.840.10008.1.2.4.94": "JPIP: the pixels stay on another server, where no patient gets in",
    "1.2.840.10008.1.2.4.95": "JPIP: as above",
    "1.2.840.10008.1.2.4.204": "JPIP: as above",
    "1.2.840.10008.1.2.4.205": "JPIP: as above",
    "1.2.840.10008.1.2.7.1": "SMPTE ST 2110: a live stream, not a file",
    "1.2.840.10008.1.2.7.2": "SMPTE ST 2110: as above",
    "1.2.840.10008.1.2.7.3": "SMPTE ST 2110: as above",
}
"""Known and not taken, with the reason."""

_STANDARD_ROOT = "1.2.840.10008."
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
_NO_STORAGE = {  # under the storage root, and yet services for queries
    *(f"{_STORAGE_ROOT}200.{number}" for number in (4, 5, 6)),
    *(f"{_STORAGE_ROOT}201.{number}" for number in (2, 3, 4, 5, 6)),
}
_STORAGE_ELSEWHERE = {
    "1.2.840.10008.5.1.1.27",  # Stored Print
    "1.2.840.10008.5.1.1.29",  # Hardcopy Grayscale Image
    "1.2.840.10008.5.1.1.30",  # Hardcopy Color Image
    "1.2.840.10008.5.1.4.34.1",  # RT Beams Delivery Instruction, trial
    "1.2.840.10008.5.1.4.34.7",  # RT Beams Delivery Instruction
    "1.2.840.10008.5.1.4.34.10",  # RT Brachy Application Setup Delivery Instructions
}


def is_storage(sop_class: str) -> bool:
    """Whether instances of a SOP class are stored here: all of PS3.4 Annex B, retired and future ones too, and every private class."""
    if not sop_class.startswith(_STANDARD_ROOT):
        return bool(sop_class)
    return (sop_class.startswith(_STORAGE_ROOT) and sop_class not in _NO_STORAGE) or sop_class in _STORAGE_ELSEWHERE


def choose(proposed: Sequence[str]) -> str | None:
    """The transfer syntax to accept of those proposed in one presentation context, or None.

    The sender's first one that we take, because senders put first what they have; with two exceptions, so that nothing gets
    lost when the sender has something else after all. A reversible one goes before a lossy one. And explicit goes before
    implicit VR, which forgets what private elements are.
    """
    reversible = [syntax for syntax in proposed if syntax in REVERSIBLE_SYNTAXES]
    if not reversible:
        return next((syntax for syntax in proposed if syntax in LOSSY_SYNTAXES), None)
    if reversible[0] == IMPLICIT_VR_LITTLE_ENDIAN and EXPLICIT_VR_LITTLE_ENDIAN in reversible:
        return EXPLICIT_VR_LITTLE_ENDIAN
    return reversible[0]
