"""The pictures: right in shade, colour and shape, and honest when there can be none."""

import io
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest
from corpus import image, paths, read, written
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from reportlab.pdfgen.canvas import Canvas

from appliance.dicom.facts import Pictures
from appliance.dicom.reasons import Reason
from appliance.dicom.render import CannotRender, pages, render
from appliance.dicom.scan import scan

Array = NDArray[Any]
RAMP = np.tile(np.arange(64, dtype=np.uint16), (64, 1))  # dark on the left, bright on the right


def pictures(data: bytes, frame: int | None = None) -> Pictures:
    found = scan([data])
    assert found.pixels
    assert not found.reason
    index = found.pixels.frames // 2 if frame is None else frame
    return render(found.header, b"".join(data[a:b] for a, b in found.frame(index)), keyword=found.pixels.keyword, index=index)


def decoded(webp: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(webp)).convert("RGB")).astype(int)


def shades(data: bytes, frame: int | None = None) -> Array:
    """The large picture's grey values."""
    return decoded(pictures(data, frame).large)[..., 1]


def grey(pixels: Array, **keywords: Any) -> bytes:
    """A file of grey pixels, 16 bits unless they are bytes."""
    bits = pixels.itemsize * 8
    keywords = {
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    } | keywords
    return written(image(pixels.tobytes(), **keywords))


def close(found: Array, expected: Array, tolerance: float = 3) -> bool:
    """WebP is lossy: on average within 3 of 255."""
    return found.shape == expected.shape and float(np.abs(found - expected).mean()) <= tolerance


FULL = RAMP / 63 * 255


@pytest.mark.parametrize(
    ("pixels", "keywords", "expected"),
    [
        (RAMP, {"WindowCenter": 32, "WindowWidth": 64}, FULL),
        (RAMP, {"WindowCenter": "32\\5", "WindowWidth": "64\\2"}, FULL),  # the first of several
        (RAMP, {"WindowCenter": 32, "WindowWidth": 64, "PhotometricInterpretation": "MONOCHROME1"}, 255 - FULL),
        (RAMP, {"WindowCenter": 132, "WindowWidth": 64, "RescaleSlope": 1, "RescaleIntercept": 100}, FULL),
        (RAMP, {"WindowCenter": 64, "WindowWidth": 128, "RescaleSlope": 2, "RescaleIntercept": 0}, FULL),
        (RAMP, {"WindowCenter": 16, "WindowWidth": 32}, np.clip(RAMP / 31 * 255, 0, 255)),
        (RAMP, {"WindowCenter": 32, "WindowWidth": 1}, (RAMP > 31) * 255),
        (RAMP, {"WindowCenter": 31.5, "WindowWidth": 63, "VOILUTFunction": "LINEAR_EXACT"}, FULL),
        (RAMP, {"WindowCenter": 32, "WindowWidth": 20, "VOILUTFunction": "SIGMOID"}, 255 / (1 + np.exp(-4 * (RAMP - 32.0) / 20))),
        (RAMP.astype(np.int16) - 32, {"WindowCenter": 0, "WindowWidth": 64}, FULL),
        (RAMP.astype(np.uint8), {"WindowCenter": 32, "WindowWidth": 64}, FULL),
        (RAMP.astype(np.uint32) * 1_000_000, {}, FULL),
        (RAMP, {}, FULL),  # no window: one that suits
        (RAMP, {"WindowCenter": 5000, "WindowWidth": 10}, FULL),  # shows nothing
        (RAMP, {"WindowCenter": 32, "WindowWidth": -64}, FULL),  # is none
        (np.where(RAMP == 5, 60_000, RAMP).astype(np.uint16), {"PixelPaddingValue": 60_000}, np.where(RAMP == 5, 255, FULL)),
        (np.full((64, 64), 7, np.uint16), {}, np.zeros((64, 64))),
    ],
)
def test_shades(pixels: Array, keywords: dict[str, Any], expected: Array) -> None:
    assert close(shades(grey(pixels, **keywords)), expected)


def lut(descriptor: list[int], values: Array) -> list[Dataset]:
    item = Dataset()
    item.add_new(0x00283002, "US", descriptor)
    item.add_new(0x00283006, "OW", values.astype("<u2").tobytes())
    return [item]


def test_a_modality_look_up_table_and_a_window() -> None:
    table = lut([64, 0, 16], np.arange(64)[::-1] * 10)
    assert close(shades(grey(RAMP, ModalityLUTSequence=table, WindowCenter=320, WindowWidth=640)), 255 - FULL)


def test_a_voi_look_up_table_comes_before_a_window() -> None:
    table = lut([32, 16, 12], np.arange(32) * 4095 // 31)
    assert close(shades(grey(RAMP, VOILUTSequence=table, WindowCenter=1, WindowWidth=2)), np.clip((RAMP - 16.0) / 31 * 255, 0, 255))


def test_one_bit() -> None:
    bits = (RAMP > 31).astype(np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    data = written(image(packed, Rows=64, Columns=64, BitsAllocated=1, BitsStored=1, HighBit=0))
    assert close(shades(data), bits * 255)


def test_float_pixels() -> None:
    ds = image(Rows=64, Columns=64, BitsAllocated=32)
    del ds.PixelData
    pixels = RAMP.astype("<f4") / 63
    pixels[0, 0] = np.nan
    ds.FloatPixelData = pixels.tobytes()
    assert close(shades(written(ds)), FULL)


COLOURS = np.stack([RAMP * 4, RAMP.T * 4, np.full_like(RAMP, 40)], axis=-1).astype(np.uint8)
RGB = {"Rows": 64, "Columns": 64, "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}


@pytest.mark.parametrize(
    ("pixels", "keywords"),
    [
        (COLOURS, {}),
        (COLOURS.transpose(2, 0, 1), {"PlanarConfiguration": 1}),
        (COLOURS.astype("<u2") * 257, {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}),
        (COLOURS.astype("<u2") * 16, {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}),
        (np.asarray(Image.fromarray(COLOURS).convert("YCbCr")), {"PhotometricInterpretation": "YBR_FULL"}),
    ],
)
def test_colours(pixels: Array, keywords: dict[str, Any]) -> None:
    found = decoded(pictures(written(image(pixels.tobytes(), **RGB | keywords))).large)
    assert close(found, COLOURS, 6)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette(bits: int) -> None:
    ds = image(RAMP.astype(np.uint8).tobytes(), Rows=64, Columns=64, PhotometricInterpretation="PALETTE COLOR")
    for colour, values in (("Red", np.arange(64) * 4), ("Green", np.arange(64)[::-1] * 4), ("Blue", np.zeros(64))):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [64, 0, bits])
        entries = values.astype("u1") if bits == 8 else (values * 257).astype("<u2")
        setattr(ds, f"{colour}PaletteColorLookupTableData", entries.tobytes())
    found = decoded(pictures(written(ds)).large)
    assert close(found, np.stack([RAMP * 4, (63 - RAMP) * 4, RAMP * 0], axis=-1), 6)


# Shape


@pytest.mark.parametrize(
    ("rows", "columns", "keywords", "width", "height"),
    [
        (64, 64, {}, 64, 64),
        (64, 64, {"PixelSpacing": [2, 1]}, 64, 128),  # rows lie twice as far apart
        (64, 64, {"PixelSpacing": [1, 2]}, 128, 64),
        (64, 64, {"ImagerPixelSpacing": [1, 2]}, 128, 64),
        (64, 64, {"PixelAspectRatio": [2, 1]}, 64, 128),
        (64, 64, {"PixelSpacing": [0, 0]}, 64, 64),
        (64, 64, {"PixelSpacing": [1000, 1]}, 64, 64),
        (2000, 1000, {}, 640, 1280),
        (1, 5000, {}, 1280, 1),
        (3, 3, {}, 3, 3),
    ],
)
def test_sizes(rows: int, columns: int, keywords: dict[str, Any], width: int, height: int) -> None:
    found = pictures(grey(np.zeros((rows, columns), np.uint8), **keywords))
    assert (found.width, found.height) == (width, height)
    large, thumb = Image.open(io.BytesIO(found.large)), Image.open(io.BytesIO(found.thumb))
    assert large.format == thumb.format == "WEBP"
    assert large.size == (width, height)
    assert max(thumb.size) == min(256, max(width, height))


# Frames


def test_the_middle_frame_and_any_other() -> None:
    frames = np.stack([np.full((16, 16), value, np.uint8) for value in (10, 100, 200)])
    data = grey(frames, NumberOfFrames=3, WindowCenter=128, WindowWidth=256)
    assert [round(shades(data, frame).mean() / 10) for frame in (None, 0, 1, 2)] == [10, 1, 10, 20]


def test_functional_groups_of_the_frame() -> None:
    """Enhanced multi-frame: each frame has its own window, all share the rescale."""

    def window(center: float) -> Dataset:
        voi, group = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 64
        group.FrameVOILUTSequence = [voi]
        return group

    rescale, shared = Dataset(), Dataset()
    rescale.RescaleSlope, rescale.RescaleIntercept = 1, 100
    shared.PixelValueTransformationSequence = [rescale]
    data = grey(
        np.stack([RAMP, RAMP]),
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[window(132), window(100)],
    )
    assert close(shades(data, 0), FULL)
    assert close(shades(data, 1), np.clip((RAMP + 0.5) / 63 + 0.5, 0, 1) * 255)


# Against an independent decoder


INDEPENDENT = ("MR_small.dcm", "MR_small_implicit.dcm", "MR_small_RLE.dcm", "MR2_UNCI.dcm", "vlut_04.dcm", "693_UNCI.dcm")
INDEPENDENT_COLOUR = (
    *("examples_rgb_color.dcm", "examples_palette.dcm", "SC_rgb_rle_2frame.dcm", "SC_ybr_full_422_uncompressed.dcm"),
    *("examples_ybr_color.dcm", "SC_rgb_jpeg_dcmtk.dcm", "color-px.dcm", "color-pl.dcm", "OBXXXX1A.dcm"),
)


@pytest.mark.parametrize("name", INDEPENDENT + INDEPENDENT_COLOUR)
def test_dcmtk_sees_the_same(name: str, tmp_path: Path) -> None:
    path = next(path for path in paths().values() if path.name == name)
    found = scan([data := path.read_bytes()])
    assert found.pixels
    middle = found.pixels.frames // 2
    call = ["dcmj2pnm", "+on", "+F", str(middle + 1), *(["+Sxv", "256"] if name.startswith("color-p") else [])]  # stretched pixels
    voi = [] if name in INDEPENDENT_COLOUR else ["+Wl", "1"] if name == "vlut_04.dcm" else ["+Wi", "1"]
    subprocess.run([*call, *voi, path, tmp_path / "out.png"], check=True, capture_output=True)
    expected = np.asarray(Image.open(tmp_path / "out.png").convert("RGB")).astype(int)
    assert close(decoded(pictures(data).large), expected, 4)


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "SC_rgb_jls_lossy_line.dcm"])
def test_near_lossless_jpeg_ls(name: str) -> None:
    """The pre-scan refuses these files, because they say no study, but nothing is wrong with their pixels."""
    found = scan([data := read(name)])
    assert found.pixels
    picture = render(found.header, b"".join(data[a:b] for a, b in found.pixels.frame()))
    assert (picture.width, picture.height) == (found.pixels.columns, found.pixels.rows)


# No picture


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.100",  # MPEG-2
        "1.2.840.10008.1.2.4.102",  # H.264
        "1.2.840.10008.1.2.4.92",  # JPEG 2000 part 2
    ],
)
def test_no_decoder(syntax: str) -> None:
    data = written(image(encapsulate([b"\0\0\1\xb3" + bytes(100)])), syntax)
    found = scan([data])
    with pytest.raises(CannotRender) as caught:
        render(found.header, bytes(100))
    assert caught.value.reason is Reason.NO_DECODER


def test_twelve_bit_jpeg() -> None:
    with pytest.raises(CannotRender) as caught:
        pictures(read("JPEG-lossy.dcm"))
    assert caught.value.reason is Reason.NO_DECODER


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"])
def test_damaged_pixels(syntax: str) -> None:
    found = scan([written(image(encapsulate([bytes(100)])), syntax)])
    with pytest.raises(CannotRender) as caught:
        render(found.header, b"\xff\xd8\xff" + bytes(100))
    assert caught.value.reason is Reason.UNREADABLE


# PDF


def pdf(count: int, *, size: tuple[float, float] = (595, 842), **keywords: Any) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=size, **keywords)
    for number in range(count):
        canvas.drawString(100, 700, f"Befund, Seite {number + 1}")
        canvas.rect(0, 0, size[0] / 2, size[1] / 2, fill=1)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def test_pages() -> None:
    found = pages(pdf(3))
    assert len(found) == 3
    page = decoded(found[0])
    assert page.shape == (1287, 910, 3)  # A4 at 110 dots per inch
    assert page[-10, 10].max() < 10  # the black quarter below left
    assert page[10, -10].min() > 245


def test_fifty_pages_at_most() -> None:
    assert len(pages(pdf(55, size=(50, 50)))) == 50


@pytest.mark.parametrize("size", [(14_400, 14_400), (1, 1), (14_400, 1)])
def test_pages_of_strange_sizes(size: tuple[float, float]) -> None:
    (page,) = pages(pdf(1, size=size))
    assert decoded(page).size < 12_000_000


def test_a_locked_pdf() -> None:
    with pytest.raises(CannotRender) as caught:
        pages(pdf(1, encrypt="secret"))
    assert caught.value.reason is Reason.LOCKED


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"<html></html>", b"%PDF-1.7\n" + bytes(1000)])
def test_no_pdf(data: bytes) -> None:
    with pytest.raises(CannotRender) as caught:
        pages(data)
    assert caught.value.reason is Reason.UNREADABLE


def test_this_pdfium_runs_no_scripts() -> None:
    assert not {"V8", "XFA"} & set(pypdfium2.version.PDFIUM_INFO.flags)


def test_a_webp_is_as_long_as_it_says() -> None:
    """What the cage checks of the workers' answers."""
    (page,) = pages(pdf(1))
    assert struct.unpack_from("<I", page, 4)[0] + 8 == len(page)
