"""Each process's own beginning: what it builds, what it serves, how it says that it is ready, how it is told to stop."""

import ctypes
import os
import resource
import signal
import threading
from collections.abc import Callable

from . import log as logging
from .app import Appliance
from .config import Config
from .log import log
from .supervisor import READY_FD

_PR_SET_PDEATHSIG = 1

Entry = Callable[[Appliance, threading.Event, threading.Event], None]
"""Serves until the second event is set; sets the first when it is ready."""


def run_process(name: str, config: Config) -> None:
    """Run one process until SIGTERM or SIGINT, or until its supervisor is gone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold keys and images
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.umask(os.umask(0o077) | 0o002)
    logging.set_up(name)
    ready, stop = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_tell_ready, args=(ready,), daemon=True).start()
    app = Appliance(config, name)
    PROCESS_ENTRIES[name](app, ready, stop)
    log.info("stopped")


def _tell_ready(ready: threading.Event) -> None:
    ready.wait()
    log.info("ready")
    if descriptor := os.environ.pop(READY_FD, None):
        os.write(int(descriptor), b"1")
        os.close(int(descriptor))
