"""The list of modalities as an IT person writes it: who may send, and who of them can be called."""

from ipaddress import ip_address, ip_network

import pytest

from appliance.domain.modalities import Modality, address_of, nodes, parse, senders
from appliance.domain.node import Node


def test_entries_in_all_their_forms() -> None:
    text = "CT1@192.168.1.30:104, *@192.168.1.0/24,MR 1@fd00::5 ,US@[fd00::6]:11112, A@B@10.0.0.1, *@10.0.0.2:104"
    entries = parse(text)
    assert entries == (
        Modality("CT1", ip_network("192.168.1.30"), 104),
        Modality("*", ip_network("192.168.1.0/24")),
        Modality("MR 1", ip_network("fd00::5")),
        Modality("US", ip_network("fd00::6"), 11112),
        Modality("A@B", ip_network("10.0.0.1")),
        Modality("*", ip_network("10.0.0.2"), 104),
    )
    assert [entry.known for entry in entries] == [True, False, True, True, True, False]


def test_who_can_be_called() -> None:
    found = parse("CT1@192.168.1.30:104,CT1@192.168.1.31:104,MR@192.168.1.0/24:104,*@10.0.0.2:104,US@10.0.0.3,XA@[fd00::6]:104")
    assert nodes(found) == {"CT1": Node("CT1", "192.168.1.30", 104), "XA": Node("XA", "fd00::6", 104)}


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "CT1", "CT1@", "@10.0.0.1", "CT1@10.0.0.300", "CT1@10.0.0.1:0", "CT1@10.0.0.1:65536", "CT1@10.0.0.1:x", "CT1@host:104"),
        *("A\\B@10.0.0.1", "A" * 17 + "@10.0.0.1", "CT1@10.0.0.5/24", "CT1@[10.0.0.1", "CT1@[fd00::6]104", "CT1@10.0.0.1,,MR@10.0.0.2"),
    ],
)
def test_what_makes_no_sense_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="give"):
        parse(text)


def test_a_network_is_known_by_its_title_and_still_not_one_machine() -> None:
    (entry,) = parse("CT1@10.0.0.0/24")
    assert not entry.known
    assert entry.is_called("CT1")
    assert not entry.is_called("CT2")


def test_ipv4_within_ipv6_is_ipv4_and_a_zone_is_left_out() -> None:
    modalities = parse("CT1@10.0.0.5,MR@[fe80::1]")
    assert [entry.ae_title for entry in senders(modalities, address_of("::ffff:10.0.0.5"))] == ["CT1"]
    assert [entry.ae_title for entry in senders(modalities, address_of("fe80::1%eth0"))] == ["MR"]
    assert senders(modalities, address_of("10.0.0.6")) == []
    assert modalities[1].sends_from(ip_address("fe80::1"))
