"""A report is kept as it came, as an Encapsulated PDF and as pictures; what is no report is refused in plain words."""

import io
import os
import zlib
from collections.abc import Iterator

import pytest
from pdfs import a_pdf, locked_pdf
from pydicom import dcmread
from stack import Stack

from appliance.deeds import sealing
from appliance.deeds.reports import Reports
from appliance.dicom.cage import Cage
from appliance.domain.audit import Action
from appliance.domain.errors import Code, Problem
from appliance.registry import StudyRow
from appliance.vault.blobs import Local

LIMIT = 1 << 20


@pytest.fixture(scope="module")
def cage() -> Iterator[Cage]:
    with Cage(workers=1, seconds=20) as made:
        yield made


@pytest.fixture
def reports(stack: Stack, cage: Cage) -> Reports:
    return Reports(stack.registry, stack.objects, stack.keyholder("desk"), cage, stack.manifests, stack.now, LIMIT)


@pytest.fixture
def alice(stack: Stack) -> str:
    return stack.put_study("Muster^Alice")


def content(stack: Stack, object_id: str) -> bytes:
    row = stack.registry.object(object_id)
    assert row is not None
    key = stack.keyholder("desk").study_keys([row.study_id])[row.study_id]
    assert key is not None
    with sealing.opened(stack.objects, row, key) as reader:
        return reader.read_all(1 << 24)


def objects(stack: Stack) -> set[str]:
    return set(stack.objects.names())


def test_a_report_is_kept_three_times(stack: Stack, reports: Reports, alice: str) -> None:
    pdf = a_pdf("Befund", pages=3)
    report_id = reports.add("alma", alice, "  Befund\n CT  Thorax ", pdf)
    (row,) = stack.registry.reports(alice)
    assert row.report_id == report_id
    assert content(stack, row.object_id) == pdf
    assert row.crc32 == zlib.crc32(pdf)
    instance = content(stack, row.instance_id)
    assert row.instance_crc32 == zlib.crc32(instance)
    dataset = dcmread(io.BytesIO(instance))
    assert dataset.EncapsulatedDocument[: len(pdf)] == pdf
    assert (str(dataset.PatientName), dataset.DocumentTitle) == ("Muster^Alice", "Befund CT Thorax")
    pages = stack.registry.report_pages(report_id)
    assert [page.number for page in pages] == [1, 2, 3]
    assert all(content(stack, page.object_id)[8:12] == b"WEBP" for page in pages)
    facts, again = reports.read("alma", report_id)
    assert (facts.title, facts.pages, again) == ("Befund CT Thorax", 3, pdf)


def test_it_is_noted_and_mirrored(stack: Stack, reports: Reports, alice: str) -> None:
    before = {row.name for row in stack.registry.outbox_of(alice)}
    report_id = reports.add("alma", alice, "", a_pdf())
    (row,) = stack.registry.reports(alice)
    names = {entry.name for entry in stack.registry.outbox_of(alice)} - before
    assert {row.object_id, row.instance_id, stack.registry.report_pages(report_id)[0].object_id} <= names
    assert any(name.startswith("manifests/") for name in names), "a complete study gets a new manifest"
    added = next(entry for entry in stack.registry.audit(study_id=alice) if entry.action == Action.REPORT_ADDED)
    assert (added.actor, added.object_id) == ("alma", report_id)
    reports.read("bert", report_id)
    assert [entry.actor for entry in stack.registry.audit(study_id=alice) if entry.action == Action.REPORT_READ] == ["bert"]


def test_a_study_still_receiving_gets_its_manifest_when_it_is_complete(stack: Stack, reports: Reports) -> None:
    study_id = stack.put_study("Muster^Alice", complete=False)
    reports.add("alma", study_id, "", a_pdf())
    assert not any(entry.name.startswith("manifests/") for entry in stack.registry.outbox_of(study_id))


def test_nothing_of_it_is_readable_on_disk(stack: Stack, reports: Reports, alice: str) -> None:
    reports.add("alma", alice, "Kanarienbefund", a_pdf("KANARIE"))
    for path in stack.places.data.rglob("*"):
        if path.is_file():
            found = path.read_bytes()
            assert not any(word in found for word in (b"%PDF", b"anarie", b"KANARIE", b"WEBP")), path


@pytest.mark.parametrize(
    ("pdf", "code", "sentence"),
    [
        (b"", Code.INVALID, "is not a PDF"),
        (b"PDF-1.7", Code.INVALID, "is not a PDF"),
        (b"\xff\xd8\xff\xe0" + bytes(999), Code.INVALID, "is not a PDF"),
        (b"%PDF-", Code.INVALID, "is damaged"),
        (b"%PDF-1.7\n" + os.urandom(5000), Code.INVALID, "is damaged"),
        (a_pdf()[:-200], Code.INVALID, None),
        (locked_pdf(), Code.INVALID, "is protected by a password"),
        (a_pdf(padding=LIMIT), Code.TOO_LARGE, "is larger than 1 MB"),
    ],
    ids=["nothing", "nearly", "jpeg", "head only", "noise", "cut", "locked", "too large"],
)
def test_what_is_no_report_leaves_nothing_behind(
    stack: Stack, reports: Reports, alice: str, pdf: bytes, code: Code, sentence: str | None
) -> None:
    before, seq = objects(stack), stack.registry.last_change()
    if sentence is None:  # a PDF without its end is mended by its reader, or refused: both are right
        try:
            reports.add("alma", alice, "", pdf)
        except Problem as problem:
            assert problem.code is code
        return
    with pytest.raises(Problem, match=sentence) as caught:
        reports.add("alma", alice, "", pdf)
    assert caught.value.code is code
    assert (objects(stack), stack.registry.last_change()) == (before, seq)


def test_a_study_that_is_gone_takes_no_report(stack: Stack, reports: Reports, alice: str) -> None:
    before = objects(stack)
    stack.keyholder("clock").forget_study(alice)
    with pytest.raises(Problem) as caught:
        reports.add("alma", alice, "", a_pdf())
    assert caught.value.code is Code.NOT_FOUND
    assert objects(stack) == before
    with pytest.raises(Problem) as caught:
        reports.add("alma", "0" * 32, "", a_pdf())
    assert caught.value.code is Code.NOT_FOUND


def test_a_study_given_up_meanwhile_leaves_no_objects(stack: Stack, reports: Reports, alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention may forget a study while its report is being read: after the objects, before the rows."""
    before = objects(stack)
    put = Local.put

    def put_and_forget(self: Local, name: str, pieces: list[bytes]) -> None:
        put(self, name, pieces)
        with stack.registry.change(stack.now(), "clock") as change:
            change.update(StudyRow, alice, state="forgotten")
            change.note(Action.STUDY_FORGOTTEN, study_id=alice)

    monkeypatch.setattr(Local, "put", put_and_forget)
    with pytest.raises(Problem) as caught:
        reports.add("alma", alice, "", a_pdf())
    assert caught.value.code is Code.NOT_FOUND
    assert objects(stack) == before
    assert stack.registry.reports(alice) == []


def test_a_report_that_is_not_there_is_not_read(reports: Reports) -> None:
    with pytest.raises(Problem) as caught:
        reports.read("alma", "0" * 32)
    assert caught.value.code is Code.NOT_FOUND
