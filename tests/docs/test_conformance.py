"""docs/conformance.md says what the code does: what is accepted, refused, answered, waited for."""

import pytest
from pydicom.uid import UID, UID_dictionary
from test_operations import TOP

from appliance import __version__
from appliance.config import SETTINGS
from appliance.deeds.committing import GIVE_UP, PATIENCE
from appliance.deeds.proving import ARRIVAL, SAFETY
from appliance.dicom.commitment import REFERENCE_LIMIT
from appliance.domain.commitment import Failure
from appliance.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from appliance.receiver.limits import Limits
from appliance.receiver.messages import ACTION_LIMIT
from appliance.receiver.statuses import Status
from appliance.receiver.syntaxes import LOSSY_SYNTAXES, REFUSED_SYNTAXES, REVERSIBLE_SYNTAXES, is_storage
from appliance.scu.association import FRAGMENT, Patience
from appliance.scu.negotiation import CONTEXTS, PDU
from appliance.scu.storage import judge

CONFORMANCE = (TOP / "docs/conformance.md").read_text()

OF_DICOM = [name for name in SETTINGS if name.startswith("dicom_") or name in {"ae_title", "modalities", "instance_limit", "disk_reserve"}]
OF_DICOM.append("storage_commitment")
FAILURES = {
    Failure.PROCESSING: "it is here, but not as it was received",
    Failure.NO_SUCH_INSTANCE: f"it is not here, and did not come within {ARRIVAL} s of the request",
    Failure.CLASS_CONFLICT: "it is here with another SOP class",
    Failure.RESOURCES: f"it is here, but {SAFETY} s after the request still not on the mirror, or its key in no backup",
}
ANSWERS = ("0000", "0001", "0107", "0116", "B000", "B006", "B007", "0110", "0122", "0124", "A700", "A900", "C000")


def table(head: str, rows: list[tuple[object, ...]]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, f"|{' --- |' * columns}", *(f"| {' | '.join(map(str, row))} |" for row in rows)]) + "\n"


def syntaxes() -> str:
    rows = [(f"`{uid}`", UID(uid).name, kind) for kind, uids in (("yes", REVERSIBLE_SYNTAXES), ("no", LOSSY_SYNTAXES)) for uid in uids]
    return table("| transfer syntax | name | reversible |", rows)


def limits() -> str:
    receiver, client = Limits(), Patience()
    rows: list[tuple[object, ...]] = [
        ("RECEIVER", "longest PDU taken, offered as maximum length", f"`dicom_pdu_limit`: {receiver.pdu} bytes"),
        ("RECEIVER", "longest association request", f"{receiver.first_pdu} bytes"),
        ("RECEIVER", "simultaneous associations", f"`dicom_connections`: {receiver.connections}"),
        ("RECEIVER", "of these from one address", f"`dicom_connections_per_peer`: {receiver.per_peer}"),
        ("RECEIVER", "of these by who is not named in `modalities`", receiver.connections - receiver.reserved),
        (
            "RECEIVER",
            "for the association request, a place, a TLS handshake, and for a peer to close",
            f"{receiver.patience.first} s",
        ),
        ("RECEIVER", "for the rest of a PDU that has begun", f"{receiver.patience.pdu} s"),
        ("RECEIVER", "between PDUs of a message", f"{receiver.patience.pdu} s"),
        ("RECEIVER", "between messages of an association", f"{receiver.patience.idle} s"),
        ("RECEIVER", f"slowest message, over {receiver.patience.pdu} s", f"{receiver.patience.rate} bytes a second"),
        ("RECEIVER", "largest instance", "`instance_limit`"),
        ("RECEIVER", "space left free on the volume", f"`disk_reserve`: {receiver.reserve} bytes"),
        ("CLIENT", "longest PDU taken, offered as maximum length", f"{PDU} bytes"),
        ("CLIENT", "longest fragment sent, to a peer that takes longer ones", f"{FRAGMENT} bytes"),
        ("CLIENT", "contexts in an association", CONTEXTS),
        ("CLIENT", "for the connection", f"{client.connect} s"),
        ("CLIENT", "for the answer to an association or release request", f"{client.negotiation} s"),
        ("CLIENT", "for a fragment to be taken", f"{client.piece} s"),
        ("CLIENT", "for the answer to a request", f"{client.answer} s"),
    ]
    return table("| application entity | what | at most |", rows)


def sop_classes() -> str:
    named = {uid: entry[0] for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class" and is_storage(uid)}
    return table("| SOP class | name |", [(f"`{uid}`", named[uid]) for uid in sorted(named, key=lambda uid: [*map(int, uid.split("."))])])


TABLES = {
    "implementation": table(
        "| product | version | implementation class UID | implementation version name |",
        [("Bildbrief", __version__, f"`{IMPLEMENTATION_CLASS_UID}`", f"`{IMPLEMENTATION_VERSION_NAME}`")],
    ),
    "accepted": syntaxes(),
    "refused": table("| transfer syntax | name | why |", [(f"`{uid}`", UID(uid).name, why) for uid, why in REFUSED_SYNTAXES.items()]),
    "statuses": table("| status | Error Comment (0000,0902) |", [(f"{each.code:04X}H", each.comment or "–") for each in Status]),
    "answers": table("| status | taken as |", [(f"{code}H", judge(int(code, 16), "").result) for code in ANSWERS]),
    "failures": table("| Failure Reason (0008,1197) | when |", [(f"{each:04X}H", FAILURES[each]) for each in Failure]),
    "limits": limits(),
    "settings": table(
        "| setting | default | meaning |",
        [(f"`{name}`", f"`{SETTINGS[name].default}`" if SETTINGS[name].default else "–", SETTINGS[name].meaning) for name in OF_DICOM],
    ),
    "sop-classes": sop_classes(),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_code(name: str) -> None:
    shown = CONFORMANCE.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert shown == TABLES[name], f"docs/conformance.md should say:\n{TABLES[name]}"


def test_every_table_is_shown() -> None:
    assert [name for name in TABLES if f"<!-- /{name} -->" not in CONFORMANCE] == []


def test_numbers_in_sentences() -> None:
    assert f"at most {ACTION_LIMIT:,} bytes\nand {REFERENCE_LIMIT:,} references" in CONFORMANCE
    assert (PATIENCE, GIVE_UP) == ((10, 30, 60, 300, 900, 3600), 86_400), "as the page says"
