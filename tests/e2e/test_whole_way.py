"""The whole way once, with real processes and other people's clients: from the scanner to the patient's browser, and until it is gone.

The patient's name, a pattern in the pixels, access code and password are canaries: they must lie readable nowhere on any disk.
"""

import datetime as dt
import re
import subprocess
import sys
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import zxingcpp
from canary import hits, spellings
from clients import PROPOSE, run, storescu
from modality import dataset_bytes
from PIL import Image
from playwright.sync_api import Browser, Page, Response, expect
from programs import which
from pydicom.data.data_manager import DATA_ROOT
from pydicom.fileset import FileSet
from reader import Reader
from running import Running, free_port, listens, running, until
from s3_server import S3Server, s3_server

from appliance.vault.blobs import Blobs
from appliance.vault.s3 import open_mirror

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1200),
]

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

PATTERN = bytes(range(7, 71))  # in the pixels of the X-ray
NAME = "Kanarienvogel^Alwine"
NUMBER = "KANARI-4711"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def demo_studies(directory: Path) -> tuple[list[Path], Path]:
    """The demo's CT, MR, X-ray and report, of a patient with a name that is easy to find again."""
    import samples
    from sample_report import report

    today = dt.datetime.now(dt.UTC).date()
    patient = samples.Patient(NAME, NUMBER, "19391224")
    files = []
    for study in (samples.ct, samples.mr, samples.xray):
        for number, dataset in enumerate(study(today, patient=patient), start=1):
            if study is samples.xray:
                dataset.PixelData = PATTERN * 100 + dataset.PixelData[len(PATTERN) * 100 :]
            files.append(directory / f"{study.__name__}-{number:04}.dcm")
            dataset.save_as(files[-1], enforce_file_format=True)
    pdf = directory / "befund.pdf"
    pdf.write_bytes(report(today, patient.name, patient.birth_date, patient.patient_id))
    return files, pdf


def bundled_files() -> list[Path]:
    """pydicom's own test files that DCMTK can read and send: one association for each transfer syntax that we take."""
    found = []
    with warnings.catch_warnings(action="ignore"):
        for file in sorted((Path(DATA_ROOT) / "test_files").glob("*.dcm")):
            dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
            taken = syntax in PROPOSE and not (syntax.is_deflated or not syntax.is_little_endian)
            if taken and "SOPInstanceUID" in dataset and "MediaStorageSOPInstanceUID" in dataset.file_meta and _dcmtk_reads(file):
                found.append(file)
    return found


def _dcmtk_reads(file: Path) -> bool:
    """Some of the files are broken on purpose, and DCMTK does not send what it cannot read."""
    done = subprocess.run([which("dcmdump"), "+E", "+P", "SOPInstanceUID", str(file)], capture_output=True, check=False)
    return done.returncode == 0 and not done.stderr and bool(done.stdout)


class Desk:
    """Alwine's practice at the desk, in a browser."""

    def __init__(self, appliance: Running, page: Page) -> None:
        self.url = f"http://127.0.0.1:{appliance.desk}"
        self.page = page

    def set_up(self, link: str) -> None:
        self.page.goto(link)
        self.page.fill("[name=login]", "anna")
        self.page.fill("[name=name]", "Anna Empfang")
        self.page.fill("[name=password]", "ein langes passwort")
        self.page.keyboard.press("Enter")
        expect(self.page.locator("[name=words]")).to_be_visible()

    def open_study(self, what: str) -> None:
        self.page.goto(self.url)
        self.page.locator("tr", has_text=what).locator("a").click()

    def make_letter(self) -> tuple[str, str, bytes, bytes]:
        """Code, password, letter and slip of the study that is open."""
        self.page.click("form[action$='/shares'] button")
        code = self.page.inner_text("#code").replace(" ", "")
        password = self.page.inner_text("#password")
        return code, password, self._pdf("letter"), self._pdf("slip")

    def _pdf(self, what: str) -> bytes:
        """What the print button opens. Fetched without a tab: headless browsers show no PDF."""
        form = self.page.locator(f"form[action$='/{what}']").first
        token = form.locator("input[type=hidden]").first
        name, value = token.get_attribute("name"), token.input_value()
        assert name
        answer = self.page.context.request.post(
            f"{self.url}{form.get_attribute('action')}", form={name: value}, headers={"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        )
        assert answer.ok, answer.status
        assert answer.body().startswith(b"%PDF-")
        return answer.body()


def picture_of(pdf: bytes, directory: Path, name: str) -> Image.Image:
    source = directory / f"{name}.pdf"
    source.write_bytes(pdf)
    run("pdftoppm", "-r", "100", "-png", "-singlefile", source, directory / name)
    with Image.open(directory / f"{name}.png") as drawn:
        return drawn.convert("RGB")


def test_the_whole_way(tmp_path: Path, s3: S3Server, chromium: Browser, pictures: Path) -> None:
    sent, pdf = demo_studies(tmp_path)
    bundled = bundled_files()
    with warnings.catch_warnings(action="ignore"):
        syntaxes = {pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID for file in bundled}
    assert len(bundled) >= 40
    assert len(syntaxes) >= 8, syntaxes

    with running(
        tmp_path / "box",
        mirror_url=f"s3://{s3.bucket}",
        mirror_endpoint=s3.endpoint,
        mirror_region=s3.region,
        mirror_access_key=s3.access_key,
        mirror_secret_key=s3.secret_key,
    ) as box:
        box.cli("practice", "set", "--name", "Radiologie am Musterplatz", "--street", "Musterplatz 1", "--city", "12345 Musterstadt",
                "--phone", "030 1234567", "--email", "praxis@example.org")  # fmt: skip

        # In: a scanner sends, as scanners do.
        storescu(box.dicom, sent)
        storescu(box.dicom, bundled)
        studies = box.wait_complete(4)
        assert {"Kanarienvogel, Alwine"} <= {study["patient"] for study in studies}

        # Shared: the practice makes a letter at the desk.
        found = re.search(r"http://\S+/setup/\S+", box.log.read_text())
        assert found, "no set-up link was printed"
        context = chromium.new_context(viewport={"width": 1280, "height": 860}, locale="de-DE")
        complaints = listen(context.new_page())
        desk = Desk(box, context.pages[0])
        desk.set_up(found[0])
        assert Reader(box.desk).get(found[0].removeprefix(desk.url)).status != 200, "the set-up link works once"
        desk.page.fill("[name=words]", "kanarien")
        desk.page.keyboard.press("Enter")
        expect(desk.page.locator("tbody tr")).to_have_count(3)
        desk.page.screenshot(path=pictures / "desk.png")
        desk.open_study("CT Thorax")
        desk.page.set_input_files("[name=pdf]", pdf)
        desk.page.fill("[name=title]", "Befund CT Thorax")
        desk.page.click("form[enctype] button")
        expect(desk.page.locator("ul.reports li")).to_have_count(1)
        code, password, letter, slip = desk.make_letter()
        link = f"http://127.0.0.1:{box.portal}/s/{code}"
        drawn = picture_of(letter, tmp_path, "letter")
        assert [seen.text for seen in zxingcpp.read_barcodes(drawn)] == [link]
        drawn.save(pictures / "letter.png")
        run("pdftotext", tmp_path / "letter.pdf", tmp_path / "letter.txt")
        text = (tmp_path / "letter.txt").read_text()
        assert password not in text
        assert "Kanarienvogel" not in text
        picture_of(slip, tmp_path, "slip")
        run("pdftotext", tmp_path / "slip.pdf", tmp_path / "slip.txt")
        told = re.sub("[^0-9A-Z]", "", (tmp_path / "slip.txt").read_text())
        assert password.replace("-", "") in told
        assert code not in told

        # Opened and viewed: the patient, on a phone.
        phone = chromium.new_context(viewport={"width": 390, "height": 844}, locale="de-DE", accept_downloads=True)
        page = phone.new_page()
        complaints += listen(page)
        page.goto(link)
        page.fill("[name=password]", "falsch falsch")
        page.keyboard.press("Enter")
        expect(page.locator("#trouble")).to_be_visible()
        page.fill("[name=password]", password.lower().replace("-", " "))
        page.keyboard.press("Enter")
        page.wait_for_url("**/worklist")
        expect(page.locator("article.study")).to_have_count(1)
        page.click("a.look")
        picture = page.locator("#picture img")
        expect(picture).to_be_visible()
        until(lambda: picture.evaluate("image => image.naturalWidth") > 300, "the picture is there", 10)
        page.screenshot(path=pictures / "portal.png")
        page.go_back()
        page.click("section.reports a")
        expect(page.locator(".sheets img").first).to_be_visible()
        page.go_back()
        with page.expect_download() as download:
            page.click("section.download a.button")
        archive = tmp_path / "images.zip"
        download.value.save_as(archive)
        ct_files = [file for file in sent if file.name.startswith("ct-")]
        look_at(archive, tmp_path / "unpacked", ct_files, pdf)

        # Everything that was sent comes out as it came in: as another receiver, DCMTK's, has got it.
        shares = [box.cli("share", "create", study["study"], "--for", "referrer") for study in studies]
        received = {
            dataset_bytes(file)
            for number, share in enumerate(shares)
            for file in Reader(box.portal, share["code"], share["password"]).download(tmp_path / f"all-{number}")
        }
        assert {dataset_bytes(file) for file in sent} <= received
        by_uid: dict[str, set[bytes]] = defaultdict(set)
        for file in kept_by_dcmtk(tmp_path / "dcmtk", bundled):
            by_uid[str(pydicom.dcmread(file, stop_before_pixels=True, force=True).SOPInstanceUID)].add(dataset_bytes(file))
        # Some of pydicom's files share a UID: of those only the latest is handed out.
        lost = [uid for uid, contents in by_uid.items() if not contents & received]
        aside = box.cli("status")["quarantined"]
        assert len(lost) <= aside, f"{len(lost)} instances missing, {aside} set aside"
        assert aside < 8

        # Nothing lies readable: not here, not in the bucket.
        until(lambda: box.cli("status")["mirror"]["waiting"] == 0, "the mirror has everything", 120, every=1)
        mirror = bucket(s3)
        names = list(mirror.names())
        assert len(names) > len(sent)
        fetched = tmp_path / "bucket"
        fetched.mkdir()
        for name in names:
            with mirror.open(name) as blob:
                (fetched / name.replace("/", "_")).write_bytes(blob.read_at(0, blob.size))
        canaries = {
            "name": spellings(NAME) | spellings("Kanarienvogel"),
            "number": spellings(NUMBER),
            "pixels": {PATTERN},
            "code": spellings(code) | spellings(f"{code[:3]} {code[3:6]} {code[6:9]}"),
            "password": spellings(password),
            "report": {b"%PDF-"},
        }
        found_in = hits([box.directory, fetched], canaries)
        assert found_in == [], found_in
        assert box.cli("check")["problems"] == []
        assert complaints == []

        # Ended by hand: at once, for a reader who is in.
        box.cli("share", "revoke", shares[0]["share"])
        revoked = Reader(box.portal).open(shares[0]["code"], shares[0]["password"])
        assert revoked.status == 403

    # Gone: 91 days later the reader is told, 105 days later nothing is left.
    box.set(rehearse_days=91)
    with box.on():
        told = Reader(box.portal).open(code, password)
        assert told.status == 403
        wrong = Reader(box.portal).open(code, "FALSCH")
        assert told.body != wrong.body
    box.set(rehearse_days=105)
    with box.on():
        until(lambda: not list((box.data / "records/objects").rglob("*/*")), "no object is left here", 60)
        until(lambda: not list(bucket(s3).names()), "no object is left in the bucket", 60)
        assert box.studies() == []
        gone = Reader(box.portal).open(code, password)
        unknown = Reader(box.portal).open("0" * 18, password)
        assert (gone.status, len(gone.body)) == (unknown.status, len(unknown.body))
        status = box.cli("status")["keyholder"]
        assert (status["studies"], status["shares"]) == (0, 0)
        assert box.cli("check")["problems"] == []


def listen(page: Page) -> list[str]:
    """What the browser complains about, and every request to anywhere else."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if _is_trouble(message.type, message.text) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda answer: complaints.append(answer.url) if _is_elsewhere(answer) else None)
    return complaints


def _is_trouble(kind: str, text: str) -> bool:
    # A refused password is answered 403, and Chromium tells so in the console.
    return kind in ("error", "warning") and "status of 403" not in text


def _is_elsewhere(answer: Response) -> bool:
    return not answer.url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))


def look_at(archive: Path, directory: Path, sent: list[Path], pdf: Path) -> None:
    """The download as its readers see it: unzip, DCMTK, pydicom, and the bytes themselves."""
    run("unzip", "-tqq", archive)
    with zipfile.ZipFile(archive) as content:
        content.extractall(directory)
    run("dcmdump", directory / "DICOMDIR")
    run("dcmdump", "+sd", "+r", directory / "DICOM")
    catalogued = listed(directory / "DICOMDIR")
    assert len(catalogued) == len(sent) + 1, "the images and the report"
    assert set(catalogued) >= {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in sent}
    images = [file for file in (directory / "DICOM").rglob("IM*") if "MIMETypeOfEncapsulatedDocument" not in pydicom.dcmread(file)]
    assert sorted(map(dataset_bytes, images)) == sorted(map(dataset_bytes, sent))
    assert (directory / "IHE_PDI/REPORTS/REP00001.PDF").read_bytes() == pdf.read_bytes()
    assert {"README.TXT", "INDEX.HTM"} <= {file.name for file in directory.iterdir()}


def listed(dicomdir: Path) -> list[str]:
    """The SOP Instance UIDs in a DICOMDIR, as pydicom reads it."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # it makes a temporary directory, forgets it, makes another
        catalogue = FileSet(dicomdir)
    catalogue._stage["t"].cleanup()  # else left to the garbage collector, at some other test's time
    return [str(instance.SOPInstanceUID) for instance in catalogue]


def kept_by_dcmtk(directory: Path, files: list[Path]) -> list[Path]:
    """The same files, sent to DCMTK's storescp, which writes what it receives bit by bit. (Its storescu rewrites some as it reads.)"""
    directory.mkdir()
    port = free_port()
    with subprocess.Popen(
        [which("storescp"), "+xa", "-pm", "+B", "+uf", "-od", directory, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as peer:
        try:
            until(lambda: listens(port), "storescp listens", 10)
            storescu(port, files)
        finally:
            peer.terminate()
    kept = sorted(directory.iterdir())
    assert len(kept) == len(files)
    return kept


def bucket(s3: S3Server) -> Blobs:
    found = open_mirror(
        f"s3://{s3.bucket}",
        endpoint=s3.endpoint,
        region=s3.region,
        access_key=s3.access_key,
        secret_key=s3.secret_key,
        declared_eu=False,
    )
    assert found is not None
    return found
