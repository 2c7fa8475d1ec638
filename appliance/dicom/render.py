"""Makes the pictures a person first sees of an instance, and those of a PDF's pages. Runs in the cage."""

import io
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pypdfium2
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGExtended12Bit

from .facts import Pictures
from .frames import FRAME_LIMIT
from .reasons import Reason
from .walk import NATIVE

THUMB: Final = 256
LARGE: Final = 1280
"""Pixels along the longer side."""
PAGE_LIMIT: Final = 50
_PAGE_SCALE: Final = 110 / 72  # dots per inch, over PDF's own unit
_PAGE_PIXELS: Final = 3_000_000
_WRONG_PASSWORD: Final = 4  # FPDF_ERR_PASSWORD

Array = NDArray[Any]
Bytes = NDArray[np.uint8]


class CannotRender(Exception):  # noqa: N818
    """There is no picture, for a reason that can be told."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason


def render(header: bytes, frame: bytes, *, keyword: str = "PixelData", index: int = 0) -> Pictures:
    """Pictures of one frame. `header`: the file up to its pixel data; `frame`: the frame's bytes as stored, without item headers.

    `index` counts from 0 and says which frame's functional groups (PS3.3 C.7.6.16) hold. Raises CannotRender, or what the decoders raise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = dcmread(io.BytesIO(header))
        _flatten(ds, index)
        pixels, photometric = _decode(ds, frame, keyword)
        image = Image.fromarray(_shade(ds, pixels, photometric))
    image = _fit(image, LARGE, _aspect(ds))
    return Pictures(_webp(_fit(image, THUMB), 80), _webp(image, 88), image.width, image.height)


def pages(pdf: bytes) -> list[bytes]:
    """The first 50 pages of a PDF as WebP, about 110 dots per inch. Raises CannotRender. Scripts do not run: this PDFium has no engine."""
    try:
        document = pypdfium2.PdfDocument(pdf)
        document.init_forms()
        return [_webp(_page(document[number]), 85) for number in range(min(len(document), PAGE_LIMIT))]
    except pypdfium2.PdfiumError as error:
        raise CannotRender(Reason.LOCKED if error.err_code == _WRONG_PASSWORD else Reason.UNREADABLE) from error


def _page(page: Any) -> Image.Image:
    width, height = page.get_size()
    scale = min(_PAGE_SCALE, (_PAGE_PIXELS / max(1.0, width * height)) ** 0.5, 8000 / max(width, height, 1.0))
    image: Image.Image = page.render(scale=scale).to_pil()
    return image


# Decoding


def _flatten(ds: Dataset, index: int) -> None:
    """Enhanced multi-frame: bring the frame's functional group values to the top, the frame's own over the shared ones."""
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    own = ds.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*shared[:1], *own[index : index + 1]):
        for keyword in ("PixelMeasuresSequence", "PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in (group.get(keyword) or [])[:1]:
                for element in item:
                    ds[element.tag] = element


def _decode(ds: Dataset, frame: bytes, keyword: str) -> tuple[Array, str]:
    """The frame as an array (rows, columns[, samples]) and its photometric interpretation, colours as RGB."""
    syntax = ds.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise CannotRender(Reason.NO_DECODER) from error
    if syntax not in NATIVE and not decoder.available_plugins:
        raise CannotRender(Reason.NO_DECODER)
    if ds.Rows * ds.Columns * ds.get("SamplesPerPixel", 1) * ds.get("BitsAllocated", 8) > FRAME_LIMIT * 8:
        raise CannotRender(Reason.ABSURD_SIZE)
    ds.NumberOfFrames = 1
    setattr(ds, keyword, frame if syntax in NATIVE else encapsulate([frame]))
    # Pillow's JPEG 2000 knows no signed and no 16-bit samples.
    plugin = "pylibjpeg" if syntax in JPEG2000TransferSyntaxes else ""
    try:
        array, meta = decoder.as_array(ds, index=0, decoding_plugin=plugin)
    except MemoryError:
        raise
    except Exception as error:
        # Extended JPEG of 8 bits can be read, of 12 bits not.
        raise CannotRender(Reason.NO_DECODER if syntax == JPEGExtended12Bit else Reason.UNREADABLE) from error
    return array, str(meta["photometric_interpretation"])


# From values to shades


def _shade(ds: Dataset, pixels: Array, photometric: str) -> Bytes:
    """8-bit grey (rows, columns) or colour (rows, columns, 3)."""
    if photometric == "PALETTE COLOR":
        return _to_bytes(_palette(ds, pixels))
    if pixels.ndim == 3:
        if pixels.itemsize > 1:
            pixels = pixels >> max(0, int(ds.get("BitsStored", 16)) - 8)
        return _to_bytes(pixels)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, posinf=0, neginf=0)
    shades = _grey(ds, pixels)
    return 255 - shades if photometric == "MONOCHROME1" else shades


def _grey(ds: Dataset, pixels: Array) -> Bytes:
    """Modality transformation, then the file's first window, or one that suits the pixels where it has none or a useless one."""
    sample = _modality(ds, _sample(ds, pixels))
    window = _file_window(ds)
    if window is None or (np.ptp(window(sample)) == 0 < np.ptp(sample)):
        window = _robust_window(sample)
    if pixels.dtype.kind == "f" or pixels.itemsize > 2:
        return _in_strips(pixels, lambda strip: window(_modality(ds, strip)))
    low, high = int(pixels.min()), int(pixels.max())
    table = window(_modality(ds, np.arange(low, high + 1)))
    return _in_strips(pixels, lambda strip: table[strip.astype(np.int32) - low])


def _in_strips(pixels: Array, shade: Callable[[Array], Bytes]) -> Bytes:
    """Strip by strip, since the steps between need many times the memory of the result."""
    shades = np.empty(pixels.shape, np.uint8)
    step = max(1, (1 << 19) // pixels.shape[1])
    for top in range(0, len(pixels), step):
        shades[top : top + step] = shade(pixels[top : top + step])
    return shades


def _sample(ds: Dataset, pixels: Array) -> Array:
    """Some 250,000 of the pixels, without padding (PS3.3 C.7.5.1.1.2)."""
    step = max(1, int((pixels.size / 250_000) ** 0.5))
    sample = pixels[::step, ::step].ravel()
    padding = _number(ds, "PixelPaddingValue")
    if padding is not None:
        limit = _number(ds, "PixelPaddingRangeLimit")
        ends = sorted((padding, padding if limit is None else limit))
        kept = sample[(sample < ends[0]) | (sample > ends[1])]
        sample = kept if kept.size else sample
    return sample


def _modality(ds: Dataset, values: Array) -> Array:
    """PS3.3 C.11.1."""
    if item := _first_item(ds, "ModalityLUTSequence"):
        first, table, _ = _lut(item, "LUTDescriptor", "LUTData")
        return _look_up(values, first, table)
    slope, intercept = _number(ds, "RescaleSlope"), _number(ds, "RescaleIntercept")
    return values * (slope or 1.0) + (intercept or 0.0)


def _file_window(ds: Dataset) -> Callable[[Array], Bytes] | None:
    """PS3.3 C.11.2: the first VOI LUT, else the first window."""
    if item := _first_item(ds, "VOILUTSequence"):
        first, table, bits = _lut(item, "LUTDescriptor", "LUTData")
        shades = _to_bytes(table * (255 / (2**bits - 1)))
        return lambda values: _look_up(values, first, shades)
    center, width = _number(ds, "WindowCenter"), _number(ds, "WindowWidth")
    if center is None or width is None or width <= 0:
        return None
    match str(ds.get("VOILUTFunction", "LINEAR")).upper():
        case "SIGMOID":
            return lambda values: _to_bytes(255 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
        case "LINEAR_EXACT":
            return lambda values: _to_bytes(((values - center) / width + 0.5) * 255)
        case _:
            return lambda values: _to_bytes(((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5) * 255)


def _robust_window(values: Array) -> Callable[[Array], Bytes]:
    """From the darkest half percent to the brightest half percent."""
    low, high = np.percentile(values, (0.5, 99.5))
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return lambda v: _to_bytes((v - low) * (255 / (high - low) if high > low else 0))


def _palette(ds: Dataset, pixels: Array) -> Array:
    """PS3.3 C.7.9."""
    if "RedPaletteColorLookupTableData" not in ds:
        colours: Array = apply_color_lut(pixels, ds)[..., :3]  # segmented
        return colours >> 8 if colours.itemsize > 1 else colours
    channels = []
    for colour in ("Red", "Green", "Blue"):
        first, table, _ = _lut(ds, f"{colour}PaletteColorLookupTableDescriptor", f"{colour}PaletteColorLookupTableData")
        channels.append(_look_up(pixels, first, table >> 8 if table.max() > 255 else table))
    return np.stack(channels, axis=-1)


def _lut(ds: Dataset, descriptor: str, data: str) -> tuple[int, Array, int]:
    """A look-up table as first mapped value, entries, bits of an entry (PS3.3 C.11.1.1, C.7.6.3.1.5)."""
    entries, first, bits = (int(value) for value in ds[descriptor].value)
    entries = entries or 1 << 16
    values = ds[data].value
    if isinstance(values, bytes):
        values = np.frombuffer(values, np.uint8 if len(values) <= entries + 1 else "<u2")
    table = np.atleast_1d(np.asarray(values)).astype(np.uint16)[:entries]
    if not table.size or not 1 <= bits <= 16:
        raise CannotRender(Reason.UNREADABLE)
    return first, table, bits


def _look_up(values: Array, first: int, table: Array) -> Array:
    """Values before the first get the first entry, values after the last the last."""
    return table[np.clip(np.asarray(values, np.int64) - first, 0, len(table) - 1)]


def _to_bytes(values: Array) -> Bytes:
    return np.clip(values, 0, 255).astype(np.uint8)


def _first_item(ds: Dataset, keyword: str) -> Dataset | None:
    items = ds.get(keyword)
    item: Dataset | None = items[0] if items else None
    return item if item is not None and "LUTData" in item and "LUTDescriptor" in item else None


def _number(ds: Dataset, keyword: str) -> float | None:
    """The first of a value's numbers, if it is one."""
    numbers = _numbers(ds, keyword)
    return numbers[0] if numbers else None


def _numbers(ds: Dataset, keyword: str) -> list[float]:
    try:
        value = ds.get(keyword)
        numbers = [float(n) for n in ([value] if isinstance(value, str | int | float) else value or [])]
    except (ValueError, TypeError):
        return []
    return numbers if np.isfinite(numbers).all() else []


# From shades to pictures


def _aspect(ds: Dataset) -> float:
    """How much taller than wide a pixel is; 1 if unknown or absurd (PS3.3 10.7, C.7.6.3.1.7)."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        spacing = _numbers(ds, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            aspect = spacing[0] / spacing[1]
            return aspect if 0.05 < aspect < 20 and abs(aspect - 1) > 0.01 else 1.0
    return 1.0


def _fit(image: Image.Image, side: int, aspect: float = 1.0) -> Image.Image:
    """With square pixels and the longer side at most `side`. Never enlarged, but for the pixels that need stretching."""
    width, height = image.width / min(1.0, aspect), image.height * max(1.0, aspect)
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _webp(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()
