"""`docs/format.md` and the code say the same."""

import re
from pathlib import Path

from appliance.vault import keys, sealed
from appliance.vault.blobs import Bytes
from appliance.vault.sealed import Kind, Reader

HOUSE = Path(__file__).parents[2]
FORMAT = (HOUSE / "docs/format.md").read_text()


def labels(text: str) -> set[str]:
    return set(re.findall(r"bildbrief/v1/[a-z-]+|bildbrief\.sealed-object\.v1", text))


def examples() -> list[bytes]:
    return [bytes.fromhex(block) for block in re.findall(r"```\n((?:[0-9a-f]+\n)+)```", FORMAT)]


def test_every_label_of_the_code_is_specified_and_no_other() -> None:
    code = "\n".join(path.read_text() for path in HOUSE.glob("appliance/**/*.py"))
    assert labels(code) == labels(FORMAT)


def test_no_label_is_used_for_two_wraps_or_two_derivations() -> None:
    wraps = re.findall(r"^.*Wrap\(\w+, +[\w ]+, +\"(bildbrief/v1/[a-z-]+)\"", FORMAT[: FORMAT.index("### Wraps")], re.MULTILINE)
    assert len(wraps) == len(set(wraps)) == 9


def test_the_examples_are_right() -> None:
    example, wrapped = examples()
    reader = Reader(Bytes(example), object_id=bytes(range(16)), key=bytes(range(0x20, 0x40)), kind=Kind.DICOM)
    assert reader.read_all(100) == b"Alice's report"
    assert keys.unwrap_object_key(b"k" * 32, wrapped, "0a" * 16, "1c" * 16, 4) == bytes(range(32))


def test_the_numbers_are_right() -> None:
    kinds = re.search(r"\| kind \| \|\n.*\n((?:\| \d .*\n)+)", FORMAT)
    assert kinds
    assert re.findall(r"^\| (\d) ", kinds[1], re.MULTILINE) == [str(int(kind)) for kind in Kind]
    assert sealed.MAGIC.hex(" ").upper() in FORMAT
    for constant in (sealed.HEADER, sealed.CHUNK, sealed.STEP):
        assert str(constant) in FORMAT
    assert f"2^{(sealed.LIMIT // sealed.CHUNK).bit_length() - 1} chunks" in FORMAT
    assert f"envelope({keys.ENVELOPE})" in FORMAT
