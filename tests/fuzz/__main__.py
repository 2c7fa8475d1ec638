"""Try many inputs on one target.  usage: python tests/fuzz TARGET SEED INPUTS    TARGET: associations or prescans

Memory is limited, so that what asks for more than any input may fails, and so is the time for all: a hang ends with a trace.
"""

import faulthandler
import logging
import resource
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = map(str, (HERE, HERE.parent / "receiver", HERE.parent / "dicom", HERE.parents[1]))

from associations import Associations  # noqa: E402
from fuzzer import Found, Fuzzer, Target  # noqa: E402
from prescans import Prescans  # noqa: E402

ROOM = 256 << 20  # bytes of address space more than there are at the beginning
PATIENCE = 1  # seconds for each input on average: a hundred times what one takes
SEEDS = HERE / "seeds"


def made(name: str, directory: Path) -> Target:
    return Associations(directory) if name == "associations" else Prescans()


def main(name: str, seed: int, inputs: int) -> None:
    warnings.simplefilter("ignore")  # pydicom-data's odd files, while the seeds are read
    logging.disable()
    with tempfile.TemporaryDirectory() as directory:
        target = made(name, Path(directory))
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, now + ROOM))
        faulthandler.dump_traceback_later(60 + PATIENCE * inputs, exit=True)
        fuzzer = Fuzzer(target, seed, Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-")))
        warnings.simplefilter("error")
        for path in sorted((SEEDS / name).iterdir()):
            fuzzer.attempt(path.read_bytes())
        fuzzer.run(inputs)
    print(f"{name}: seed {seed}, {inputs} inputs, {len(fuzzer.coverage.seen)} steps seen, {len(fuzzer.corpus)} inputs kept")


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    except Found as found:
        sys.exit(f"{found.__cause__!r}\nkept in {found}; to repeat: python tests/fuzz {' '.join(sys.argv[1:])}")
