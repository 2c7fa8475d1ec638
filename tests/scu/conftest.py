"""What there is to send, and certificates."""

from pathlib import Path

import pytest
import tls_pair
from pydicom.data import get_testdata_file


@pytest.fixture
def files() -> list[Path]:
    """Real files that a PACS takes: Explicit and Implicit VR, JPEG, JPEG 2000, RLE, a structured report."""
    names = ("CT_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm", "SC_rgb_rle.dcm", "test-SR.dcm")
    return [Path(str(get_testdata_file(name))) for name in names]


@pytest.fixture
def pair(tmp_path: Path) -> tls_pair.Pair:
    return tls_pair.make(tmp_path)
