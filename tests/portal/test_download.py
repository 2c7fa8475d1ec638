"""Downloads: of exact length, in ranges, resumable; broken off visibly rather than finished wrongly; nothing left behind."""

import http.client
import io
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from programs import which
from rooms import ORIGIN, House, Reader, Rooms, de, serving
from stack import Stack
from werkzeug.test import TestResponse

from appliance.deeds.sharing import Secrets
from appliance.domain.audit import Action
from appliance.domain.errors import Problem
from appliance.domain.share import ShareRecord
from appliance.portal.downloads import AT_ONCE, AT_ONCE_PER_TICKET
from appliance.vault.sealed import Kind


@pytest.fixture
def made(stack: Stack, house: House) -> tuple[ShareRecord, Secrets]:
    study = stack.put_study(series=(("CT", "Thorax", 2),))
    house.add_report(study, pages=1)
    return stack.share(study, stack.put_study(StudyDescription="MR Knie", series=(("MR", "Knie", 1),)))


@pytest.fixture
def alice(house: House, made: tuple[ShareRecord, Secrets]) -> Reader:
    return house.enter(made[1])


def ticket(reader: Reader, path: str = "/download") -> str:
    answer = reader.get(path)
    assert answer.status_code == 302
    return str(answer.location)


def noted(stack: Stack, *actions: Action) -> list[dict[str, object]]:
    return [event.detail for event in stack.keyholder("clock").events(0, 500) if event.action in actions]


# -- what is in it -------------------------------------------------------------------------------------------------------


def test_everything_or_one_study(stack: Stack, alice: Reader, made: tuple[ShareRecord, Secrets], tmp_path: Path) -> None:
    everything, one = ticket(alice), ticket(alice, f"/download/{made[0].studies[1]}")
    sizes = []
    for place, images in ((everything, 4), (one, 1)):  # three images and the report; one image
        answer = alice.get(place)
        assert answer.mimetype == "application/zip"
        assert answer.headers["Content-Disposition"] == "attachment"
        assert place.endswith("/bilder.zip")
        assert int(answer.headers["Content-Length"]) == len(answer.data)
        (archive := tmp_path / "images.zip").write_bytes(answer.data)
        subprocess.run([which("unzip"), "-tqq", archive], check=True)
        names = zipfile.ZipFile(io.BytesIO(answer.data)).namelist()
        assert {"DICOMDIR", "README.TXT", "INDEX.HTM"} <= set(names)
        assert len([name for name in names if name.startswith("DICOM/")]) == images
        sizes.append(len(answer.data))
    assert sizes[0] > sizes[1]
    started, ended = noted(stack, Action.DOWNLOAD_STARTED), noted(stack, Action.DOWNLOAD_ENDED)
    assert [detail["of"] for detail in started] == [detail["sent"] for detail in ended] == sizes


def test_a_file_is_called_in_the_readers_language(alice: Reader) -> None:
    alice.get("/worklist?lang=en")
    assert ticket(alice).endswith("/images.zip")


@pytest.mark.parametrize("name", ["x.zip", 'a".exe', "a%0d%0aSet-Cookie:%20x", "ü"])
def test_the_name_in_the_address_reaches_no_header(alice: Reader, name: str) -> None:
    answer = alice.get(ticket(alice).rpartition("/")[0] + f"/{name}")
    assert (answer.status_code, answer.headers["Content-Disposition"]) == (200, "attachment")
    assert "Set-Cookie" not in answer.headers


# -- ranges (RFC 9110, 14) -----------------------------------------------------------------------------------------------


@dataclass
class Whole:
    """A download, all of it, and a reader who may fetch it."""

    reader: Reader
    place: str
    content: bytes
    etag: str


@pytest.fixture(scope="module")
def whole(rooms: Rooms) -> Whole:
    visit = rooms.alice()
    answer = visit.reader.get(visit.places["ticket"])
    return Whole(visit.reader, visit.places["ticket"], answer.data, answer.headers["ETag"])


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [("0-0", 0, 1), ("100-", 100, None), ("7-4096", 7, 4097), ("-500", -500, None), ("-999999999", 0, None), ("0-999999999", 0, None)],
)
def test_a_range_is_that_part(whole: Whole, wanted: str, start: int, stop: int | None) -> None:
    answer = whole.reader.get(whole.place, Range=f"bytes={wanted}")
    part, size = whole.content[start:stop], len(whole.content)
    first = range(size)[start]
    assert (answer.status_code, answer.data == part) == (206, True)
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{size}"
    assert int(answer.headers["Content-Length"]) == len(part)


@pytest.mark.parametrize("wanted", ["999999999-", "999999999-9999999999", "-0"])
def test_a_range_behind_the_end_cannot_be_had(whole: Whole, wanted: str) -> None:
    answer = whole.reader.get(whole.place, Range=f"bytes={wanted}")
    assert (answer.status_code, answer.headers["Content-Range"], answer.data) == (416, f"bytes */{len(whole.content)}", b"")


@pytest.mark.parametrize(
    "wanted", ["bytes=5-2", "bytes=0-1,5-6", "bytes=-", "bytes=a-b", "lines=0-1", "bytes", "bytes=" + "9" * 5000 + "-"]
)
def test_what_is_no_range_is_ignored(whole: Whole, wanted: str) -> None:
    answer = whole.reader.get(whole.place, Range=wanted)
    assert (answer.status_code, answer.data == whole.content) == (200, True)


def test_a_part_of_another_version_is_not_added_to_this_one(whole: Whole) -> None:
    same = whole.reader.get(whole.place, Range="bytes=10-19", If_Range=whole.etag)
    other = whole.reader.get(whole.place, Range="bytes=10-19", If_Range='"another"')
    weak = whole.reader.get(whole.place, Range="bytes=10-19", If_Range=f"W/{whole.etag}")
    assert [answer.status_code for answer in (same, other, weak)] == [206, 200, 200]


def test_each_answer_says_how_to_go_on(whole: Whole) -> None:
    answer = whole.reader.get(whole.place)
    assert (answer.headers["ETag"], answer.headers["Accept-Ranges"]) == (whole.etag, "bytes")
    assert whole.etag.startswith('"')


def test_head_tells_without_sending(rooms: Rooms, whole: Whole) -> None:
    before = len(noted(rooms.stack, Action.DOWNLOAD_STARTED))
    answer = whole.reader.head(whole.place)
    assert (answer.status_code, answer.data) == (200, b"")
    assert (int(answer.headers["Content-Length"]), answer.headers["ETag"]) == (len(whole.content), whole.etag)
    assert len(noted(rooms.stack, Action.DOWNLOAD_STARTED)) == before


def test_a_report_comes_in_ranges_too(rooms: Rooms, whole: Whole) -> None:
    place = f"/report/{rooms.places['report']}/pdf"
    pdf = whole.reader.get(place).data
    answer = whole.reader.get(place, Range="bytes=5-")
    assert (answer.status_code, answer.data) == (206, pdf[5:])


# -- how it ends ---------------------------------------------------------------------------------------------------------


def begun(reader: Reader, place: str) -> tuple[TestResponse, Iterator[bytes]]:
    """A download of which the first piece has arrived, and the others."""
    answer = reader.client.get(place, base_url=ORIGIN)
    assert answer.status_code == 200
    pieces = iter(answer.response)
    assert next(pieces)  # type: ignore[call-overload]
    return answer, pieces  # type: ignore[return-value]


def test_a_reader_who_goes_leaves_nothing_behind(stack: Stack, alice: Reader) -> None:
    place = ticket(alice)
    under_way = [begun(alice, place)[0] for _ in range(AT_ONCE_PER_TICKET)]
    assert alice.get(place).status_code == 503
    for answer in under_way:
        answer.close()
    sent = [detail["sent"] for detail in noted(stack, Action.DOWNLOAD_ENDED)]
    assert len(sent) == AT_ONCE_PER_TICKET
    assert max(map(int, sent)) < len(alice.get(place).data)  # type: ignore[call-overload]


def test_logging_out_lets_a_running_download_finish(stack: Stack, alice: Reader) -> None:
    place = ticket(alice)
    _, pieces = begun(alice, place)
    alice.end()
    assert sum(map(len, pieces)) > 0
    stack.now.pass_by(29 * 60)
    assert alice.get(place, Range="bytes=100-").status_code == 206, "and be resumed"


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_download_breaks_off_when_the_letter_ends(stack: Stack, alice: Reader, made: tuple[ShareRecord, Secrets], end: str) -> None:
    place = ticket(alice)
    _, pieces = begun(alice, place)
    if end == "revoked":
        stack.sharing.revoke("desk", made[0].share_id)
    stack.now.pass_by(1 if end == "revoked" else made[0].expires_at - stack.now())
    with pytest.raises(Problem, match="This letter has ended"):
        list(pieces)
    told = "The practice has closed this letter" if end == "revoked" else "This letter has expired"
    answer = alice.get(place, Range="bytes=100-")
    assert (answer.status_code, de(told) in answer.text) == (403, True)


def test_so_many_at_once_and_no_more(stack: Stack, house: House, made: tuple[ShareRecord, Secrets]) -> None:
    readers = [house.enter(made[1]) for _ in range(AT_ONCE // AT_ONCE_PER_TICKET)]
    under_way = [begun(reader, ticket(reader))[0] for reader in readers for _ in range(AT_ONCE_PER_TICKET)]
    late = house.enter(made[1])
    answer = late.get(ticket(late))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert de("Your images are safe. Please try again in a few minutes.") in answer.text
    assert late.get("/worklist").status_code == 200
    under_way[0].close()
    assert late.get(ticket(late)).status_code == 200
    for answer in under_way[1:]:
        answer.close()


def test_nothing_starts_that_cannot_be_noted(stack: Stack, alice: Reader) -> None:
    place = ticket(alice)
    stack.stop_keyholder()
    for _ in range(AT_ONCE_PER_TICKET + 1):
        assert alice.get(place).status_code == 503
    stack.start_keyholder()
    assert alice.get(place).status_code == 200, "the places were given back"


def test_an_end_that_cannot_be_noted_is_an_end_all_the_same(stack: Stack, alice: Reader) -> None:
    place = ticket(alice)
    under_way = [begun(alice, place)[0] for _ in range(AT_ONCE_PER_TICKET)]
    stack.stop_keyholder()
    for answer in under_way:
        answer.close()
    stack.start_keyholder()
    assert alice.get(place).status_code == 200


# -- over a socket -------------------------------------------------------------------------------------------------------


def damage(stack: Stack, kind: Kind, at: int) -> None:
    """Flip a bit of each stored object of a kind."""
    for row in (row for study in stack.registry.studies() for row in stack.registry.objects(study.study_id) if row.kind == kind):
        path = stack.objects.path(row.object_id)
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)


def fetch(address: str, path: str, cookie: str = "") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
    connection.request("GET", path, headers={"Cookie": cookie, "Connection": "close"})
    return connection.getresponse()


def test_a_damaged_object_breaks_the_download_visibly(stack: Stack, house: House, made: tuple[ShareRecord, Secrets]) -> None:
    """Nobody gets a file that looks whole: the connection ends before the length that was promised."""
    place = ticket(house.enter(made[1]))
    damage(stack, Kind.DICOM, -1)
    with serving(house) as address, fetch(address, place) as answer:
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    assert len(noted(stack, Action.DOWNLOAD_ENDED)) == 1


@pytest.mark.parametrize(("kind", "path"), [(Kind.PICTURE, "/study/{study}/{series}/large.webp"), (Kind.REPORT, "/report/{report}/pdf")])
def test_a_damaged_picture_or_report_is_told(stack: Stack, house: House, kind: Kind, path: str) -> None:
    study = stack.put_study()
    report = house.add_report(study, pages=1) if kind is Kind.REPORT else ""
    (series,) = stack.registry.series(study)
    alice = house.enter(stack.share(study)[1])
    damage(stack, kind, 200)
    answer = alice.get(path.format(study=study, series=series.series_id, report=report))
    assert answer.status_code == 500
    assert de("Something went wrong here") in answer.text


def test_the_real_server_sends_the_same_bytes(stack: Stack, house: House, made: tuple[ShareRecord, Secrets]) -> None:
    alice = house.enter(made[1])
    place = ticket(alice)
    expected = alice.get(place).data
    with serving(house) as address, fetch(address, place) as answer:
        assert int(answer.headers["Content-Length"]) == len(expected)
        assert answer.read() == expected
