"""The list of modalities as an IT person writes it."""

from ipaddress import ip_address

import pytest

from appliance.domain.modalities import Modality, address_of, parse, senders


def test_entries_in_all_their_forms() -> None:
    ct, mr, mammo, ward = parse("CT1@192.168.1.20:104, MR 1@192.168.1.21 ,MG@[fd00::20]:11112,*@10.0.0.0/24")
    assert [entry.ae_title for entry in (ct, mr, mammo, ward)] == ["CT1", "MR 1", "MG", "*"]
    assert [entry.port for entry in (ct, mr, mammo, ward)] == [104, None, 11112, None]
    assert [entry.known for entry in (ct, mr, mammo, ward)] == [True, True, True, False]
    assert str(mammo.network) == "fd00::20/128"
    assert mammo.sends_from(ip_address("fd00::20"))
    assert not mammo.sends_from(ip_address("10.0.0.1"))


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "CT1", "CT1@", "@10.0.0.1", "CT1@10.0.0.300", "CT1@10.0.0.1:0", "CT1@10.0.0.1:65536", "CT1@10.0.0.1:x", "CT1@host"),
        *("A\\B@10.0.0.1", "A" * 17 + "@10.0.0.1", "CT1@10.0.0.5/24", "CT1@[10.0.0.1", "CT1@fd00::20", "CT1@10.0.0.1,,MR@10.0.0.2"),
    ],
)
def test_what_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        parse(text)


def test_a_network_is_known_by_its_title_and_still_not_one_machine() -> None:
    (entry,) = parse("CT1@10.0.0.0/24")
    assert not entry.known
    assert entry.is_called("CT1")
    assert not entry.is_called("CT2")


def test_ipv4_within_ipv6_is_ipv4_and_a_zone_is_left_out() -> None:
    modalities: tuple[Modality, ...] = parse("CT1@10.0.0.5,MR@[fe80::1]")
    assert [entry.ae_title for entry in senders(modalities, address_of("::ffff:10.0.0.5"))] == ["CT1"]
    assert [entry.ae_title for entry in senders(modalities, address_of("fe80::1%eth0"))] == ["MR"]
    assert senders(modalities, address_of("10.0.0.6")) == []
