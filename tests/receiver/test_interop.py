"""Every sender, in every transfer syntax, without TLS and with each version of it: what arrives is what was in the file, byte for byte."""

import ssl
from collections.abc import Callable, Iterator

import pytest
from mutual import Mutual, make_mutual
from receiving import Running, Sample
from senders import CALLED, CALLING, SENDERS, Send, Sender

from appliance.receiver.limits import Limits
from appliance.receiver.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

VERSIONS = (None, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
CASES = [(name, version) for name, sender in SENDERS.items() for version in VERSIONS if sender.tls or version is None]


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Mutual:
    return make_mutual(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def sender(
    request: pytest.FixtureRequest, specimens: list[Sample], mutual: Mutual, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Sender, Send]]:
    chosen = SENDERS[request.param]
    with chosen.begin(tmp_path_factory.mktemp("sender"), specimens, mutual) as send:
        yield chosen, send


@pytest.mark.parametrize(("sender", "version"), CASES, indirect=["sender"], ids=lambda case: getattr(case, "name", case) or "plain")
def test_what_arrives_is_what_was_in_the_file(
    start: Callable[..., Running], sender: tuple[Sender, Send], specimens: list[Sample], mutual: Mutual, version: ssl.TLSVersion | None
) -> None:
    who, send = sender
    receiver = start(Limits(reserve=0), tls=mutual.accepting(version) if version else None)
    send(receiver.port, version is not None)
    stored = receiver.stored()
    assert set(stored) == {specimen.sop_instance for specimen in specimens if specimen.transfer_syntax not in who.unable}
    assert receiver.left_over() == []
    for specimen in specimens:
        if specimen.transfer_syntax in who.unable:
            continue
        arrived = stored[specimen.sop_instance]
        assert {element.keyword: element.value for element in arrived.meta if element.keyword != "FileMetaInformationGroupLength"} == {
            "FileMetaInformationVersion": b"\0\1",
            "MediaStorageSOPClassUID": specimen.sop_class,
            "MediaStorageSOPInstanceUID": specimen.sop_instance,
            "TransferSyntaxUID": who.recodes.get(specimen.transfer_syntax, specimen.transfer_syntax),
            "ImplementationClassUID": IMPLEMENTATION_CLASS_UID,
            "ImplementationVersionName": IMPLEMENTATION_VERSION_NAME,
            "SourceApplicationEntityTitle": CALLING,
            "SendingApplicationEntityTitle": CALLING,
            "ReceivingApplicationEntityTitle": CALLED,
        }
        if specimen.transfer_syntax not in who.recodes:
            assert arrived.dataset == specimen.dataset
