"""The clients of the end-to-end tests: programs that other people wrote, because they know nothing of ours."""

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from playwright.sync_api import Browser, sync_playwright
from programs import which
from pydicom import uid

# What DCMTK's storescu proposes, by the transfer syntax of the files: by default only the uncompressed ones.
PROPOSE = {
    uid.ImplicitVRLittleEndian: "-xi",
    uid.ExplicitVRLittleEndian: "-xe",
    uid.ExplicitVRBigEndian: "-xb",
    uid.DeflatedExplicitVRLittleEndian: "-xd",
    uid.JPEGBaseline8Bit: "-xy",
    uid.JPEGExtended12Bit: "-xx",
    uid.JPEGLosslessSV1: "-xs",
    uid.JPEGLSLossless: "-xt",
    uid.JPEGLSNearLossless: "-xu",
    uid.JPEG2000Lossless: "-xv",
    uid.JPEG2000: "-xw",
    uid.RLELossless: "-xr",
    uid.MPEG2MPML: "-xm",
    uid.MPEG2MPHL: "-xh",
    uid.MPEG4HP41: "-xn",
    uid.MPEG4HP41BD: "-xl",
}


def run(*command: str | Path, seconds: int = 120, cwd: Path | None = None) -> str:
    """What a program says, on both channels, when it succeeds. AssertionError with the same when it does not."""
    done = subprocess.run(
        [which(str(command[0])), *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, cwd=cwd, check=False
    )
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{command[0]} gave up with {done.returncode}:\n{said[-4000:]}"
    return said


def storescu(port: int, files: Iterable[Path], *, called: str = "BILDBRIEF", calling: str = "SCANNER") -> None:
    """Send DICOM files to loopback as a modality does: DCMTK's storescu, one association for each transfer syntax, files as they are.

    Errors: AssertionError if one was not acknowledged with success; KeyError if DCMTK does not know a transfer syntax.
    """
    by_syntax: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        by_syntax[
            pydicom.dcmread(file, force=True, specific_tags=[]).file_meta.get("TransferSyntaxUID", uid.ImplicitVRLittleEndian)
        ].append(file)
    for syntax, group in by_syntax.items():
        # --required: only the contexts these files need; all of them would not fit into one association.
        run("storescu", "--required", PROPOSE[uid.UID(syntax)], "-aec", called, "-aet", calling, "127.0.0.1", str(port), *group)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright, that speaks to nobody but the pages under test."""
    binary = which("chromium")
    arguments = [
        "--no-sandbox",  # it starts as root in continuous integration
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
