"""The setting `modalities`: who sends to us, and who of them can be called."""

from ipaddress import ip_network

import pytest

from appliance.domain.modalities import Modality, modalities, nodes
from appliance.domain.node import Node


def test_the_forms() -> None:
    text = "CT1@192.168.1.30:104, *@192.168.1.0/24,MR@fd00::5,US@[fd00::6]:11112, A@B@10.0.0.1, *@10.0.0.2:104"
    assert modalities(text) == (
        Modality("CT1", ip_network("192.168.1.30"), 104),
        Modality("*", ip_network("192.168.1.0/24")),
        Modality("MR", ip_network("fd00::5")),
        Modality("US", ip_network("fd00::6"), 11112),
        Modality("A@B", ip_network("10.0.0.1")),
        Modality("*", ip_network("10.0.0.2"), 104),
    )


def test_who_can_be_called() -> None:
    found = modalities("CT1@192.168.1.30:104,CT1@192.168.1.31:104,MR@192.168.1.0/24:104,*@10.0.0.2:104,US@10.0.0.3,XA@[fd00::6]:104")
    assert nodes(found) == {"CT1": Node("CT1", "192.168.1.30", 104), "XA": Node("XA", "fd00::6", 104)}


@pytest.mark.parametrize(
    "text",
    ["CT1", "CT1@", "@10.0.0.1", "CT1@host:104", "CT1@10.0.0.1:", "CT1@10.0.0.1:0", "CT1@10.0.0.1:70000", "CT1@10.0.0.1/8",
     "CT1@[fd00::6]104", "CT1@[fd00::6", "SEVENTEEN-LETTERS@10.0.0.1"],
)  # fmt: skip
def test_no_modalities(text: str) -> None:
    with pytest.raises(ValueError, match="give"):
        modalities(text)
