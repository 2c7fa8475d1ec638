"""`python -m appliance.dicom.worker MEMORY SECONDS`: reads files for the cage, one job at a time, until the pipe closes.

It gets its jobs on standard input and answers on standard output, has no environment, and can do nothing else once it is locked in.
"""

import codecs
import io
import json
import os
import sys
from typing import Final

DESCRIBE: Final = 1
RENDER: Final = 2
PAGES: Final = 3
READY: Final = 4
DONE: Final = 5
FAILED: Final = 6
COMMITMENT: Final = 7

_RESERVE: Final = 1 << 20  # given back when memory runs out, so that there is some to say so


def main() -> None:
    """Lock this process in, then serve."""
    memory, seconds = (int(argument) for argument in sys.argv[1:3])
    os.environ.update(
        OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1"
    )  # one thread, or the namespaces cannot be left and the filter does not hold for all
    from . import confine
    from .pipe import Closed, Pipe

    # Whatever a library prints goes nowhere.
    pipe = Pipe(os.dup(0), os.dup(1))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    _load()
    held = confine.lock(memory)
    try:
        pipe.send(READY, [json.dumps(held).encode()])
        while True:
            kind, parts = pipe.receive(limit=memory)
            confine.allow_seconds(seconds)
            pipe.send(*_answer(kind, parts))
    except Closed:
        return


def _answer(kind: int, parts: list[bytes]) -> tuple[int, list[bytes]]:
    from . import commitment
    from .describe import describe
    from .facts import to_json
    from .reasons import Reason
    from .render import CannotRender, pages, render

    reserve = bytearray(_RESERVE)
    try:
        if kind == DESCRIBE:
            return DONE, [to_json(describe(parts[0]))]
        if kind == PAGES:
            return DONE, pages(parts[0])
        if kind == COMMITMENT:
            return DONE, [commitment.read(parts[0])]
        pictures = render(parts[1], parts[2], **json.loads(parts[0]))
        return DONE, [json.dumps([pictures.width, pictures.height]).encode(), pictures.thumb, pictures.large]
    except CannotRender as refusal:
        reason = refusal.reason
    except MemoryError:
        del reserve
        reason = Reason.TOO_LARGE
    except Exception:  # noqa: BLE001  (files break libraries in more ways than anybody can list)
        reason = Reason.UNREADABLE
    return FAILED, [reason.name.encode()]


def _load() -> None:
    """Have every module loaded that any file may need: afterwards none can be."""
    import numpy.ma  # noqa: F401
    import pypdfium2
    from PIL import Image
    from pydicom.charset import python_encoding
    from pydicom.pixels.decoders.base import _PIXEL_DATA_DECODERS

    from . import commitment, describe, render  # noqa: F401

    Image.init()
    for name in (*python_encoding.values(), "cp1252", "utf-16-le"):
        try:
            codecs.lookup(name)
        except LookupError:
            continue
    for decoder in _PIXEL_DATA_DECODERS.values():
        decoder[0].available_plugins  # noqa: B018
    document = pypdfium2.PdfDocument.new()
    document.new_page(72, 72)
    out = io.BytesIO()
    document.save(out)
    render.pages(out.getvalue())


if __name__ == "__main__":
    main()
