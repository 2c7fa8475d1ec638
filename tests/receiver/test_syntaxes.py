"""What is accepted, against the lists of pydicom and pynetdicom: a new version's news must be decided on, not missed."""

import pydicom
import pytest
from pydicom.uid import UID, UID_dictionary
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, sop_class

from appliance.receiver.syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    LOSSY_SYNTAXES,
    REFUSED_SYNTAXES,
    REVERSIBLE_SYNTAXES,
    TRANSFER_SYNTAXES,
    choose,
    is_storage,
)

BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEG, LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"


def test_every_transfer_syntax_is_decided_on() -> None:
    known = {*ALL_TRANSFER_SYNTAXES, *pydicom.uid.AllTransferSyntaxes}
    assert {*TRANSFER_SYNTAXES, *REFUSED_SYNTAXES} == known
    assert not {*TRANSFER_SYNTAXES} & {*REFUSED_SYNTAXES}
    assert not {*REVERSIBLE_SYNTAXES} & {*LOSSY_SYNTAXES}


def test_none_is_big_endian_or_deflated() -> None:
    for syntax in map(UID, TRANSFER_SYNTAXES):
        if syntax in pydicom.uid.AllTransferSyntaxes:  # JPEG XL is new to pydicom
            assert syntax.is_little_endian
            assert not syntax.is_deflated


def test_lossless_is_what_its_name_says() -> None:
    named = {syntax for syntax in TRANSFER_SYNTAXES if "Lossless" in UID(syntax).name and "Lossy" not in UID(syntax).name}
    recompression = "1.2.840.10008.1.2.4.111"  # JPEG XL: a JPEG file packed tighter, and back again bit by bit
    assert {*REVERSIBLE_SYNTAXES} == named | {EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, recompression}


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([], None),
        ([BIG_ENDIAN, DEFLATED, "1.2.3"], None),
        ([IMPLICIT_VR_LITTLE_ENDIAN], IMPLICIT_VR_LITTLE_ENDIAN),
        ([IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, DEFLATED, BIG_ENDIAN], EXPLICIT_VR_LITTLE_ENDIAN),  # pynetdicom
        ([EXPLICIT_VR_LITTLE_ENDIAN, BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN], EXPLICIT_VR_LITTLE_ENDIAN),  # dcmsend
        ([BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN], IMPLICIT_VR_LITTLE_ENDIAN),  # storescu, its second context
        ([LOSSLESS, EXPLICIT_VR_LITTLE_ENDIAN, BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN], LOSSLESS),  # dcmsend with a compressed file
        ([IMPLICIT_VR_LITTLE_ENDIAN, LOSSLESS], IMPLICIT_VR_LITTLE_ENDIAN),
        ([JPEG], JPEG),
        ([JPEG, EXPLICIT_VR_LITTLE_ENDIAN, BIG_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN], EXPLICIT_VR_LITTLE_ENDIAN),  # storescu +C -xy
        ([JPEG, JPEG_LS, LOSSLESS], JPEG_LS),
    ],
)
def test_choice(proposed: list[str], chosen: str | None) -> None:
    assert choose(proposed) == chosen


def test_all_storage_classes_are_stored() -> None:
    assert all(is_storage(str(context.abstract_syntax)) for context in AllStoragePresentationContexts)


def test_what_is_no_storage_class_of_patients_is_not() -> None:
    taken = {uid for uid, (name, kind, *_) in UID_dictionary.items() if is_storage(uid) and kind == "SOP Class" and "Storage" not in name}
    assert {UID_dictionary[uid][0] for uid in taken} == {""}  # two retired numbers that lost their names
    for uid in (
        sop_class.Verification,
        sop_class.ModalityWorklistInformationFind,
        sop_class.StudyRootQueryRetrieveInformationModelMove,
        sop_class.StorageCommitmentPushModel,
        sop_class.RepositoryQuery,
        sop_class.HangingProtocolStorage,
        "1.2.840.10008.1.3.10",  # Media Storage Directory
        "",
    ):
        assert not is_storage(str(uid))


def test_private_classes_are_stored() -> None:
    assert is_storage("1.3.12.2.1107.5.9.1")
    assert not is_storage("1.2.840.10008.9.9.9")
