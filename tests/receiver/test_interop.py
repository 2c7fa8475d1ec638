"""Every sender, in every transfer syntax, without TLS and with each version of it: what arrives is what was in the file, byte for byte."""

import ssl
from collections.abc import Callable
from functools import partial

import pytest
from mutual import Mutual, make_mutual
from receiving import Running, Sample
from senders import CALLED, CALLING, SENDERS, Sender

from appliance.receiver.limits import Limits
from appliance.receiver.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

GROUP_LENGTH = 0x00020000
VERSIONS = (None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Mutual:
    return make_mutual(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("name", SENDERS)
def test_what_arrives_is_what_was_in_the_file(
    start: Callable[..., Running], specimens: list[Sample], mutual: Mutual, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    sender = SENDERS[name]
    with sender.begin(tmp_path_factory.mktemp("sender"), specimens, mutual) as send:
        for version in VERSIONS if sender.tls else VERSIONS[:1]:
            receiver = start(Limits(reserve=0), tls=version and partial(mutual.accepting, version))
            send(receiver.tls_port, version is not None)
            check(receiver, sender, specimens)


def check(receiver: Running, sender: Sender, specimens: list[Sample]) -> None:
    stored = receiver.stored()
    able = [specimen for specimen in specimens if specimen.transfer_syntax not in sender.unable]
    assert set(stored) == {specimen.sop_instance for specimen in able}
    assert receiver.left_over() == []
    for specimen in able:
        meta = stored[specimen.sop_instance].meta
        assert {element.keyword: element.value for element in meta if element.tag != GROUP_LENGTH} == {
            "FileMetaInformationVersion": b"\0\1",
            "MediaStorageSOPClassUID": specimen.sop_class,
            "MediaStorageSOPInstanceUID": specimen.sop_instance,
            "TransferSyntaxUID": sender.recodes.get(specimen.transfer_syntax, specimen.transfer_syntax),
            "ImplementationClassUID": IMPLEMENTATION_CLASS_UID,
            "ImplementationVersionName": IMPLEMENTATION_VERSION_NAME,
            "SourceApplicationEntityTitle": CALLING,
            "SendingApplicationEntityTitle": CALLING,
            "ReceivingApplicationEntityTitle": CALLED,
        }
    altered = {specimen.transfer_syntax for specimen in able if stored[specimen.sop_instance].dataset != specimen.dataset}
    assert altered == set(sender.recodes)
