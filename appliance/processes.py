"""Each process's own beginning: what it imports, builds and serves, how it says that it is ready, how it is told to stop.

The imports stand inside on purpose: a process has in its memory only the code that it needs, and the keyholder no parser at all.
"""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Final

from . import config as configuration
from . import log as logging
from . import memory
from .config import Config, now_of
from .disk.places import Places
from .domain.errors import Code, Problem
from .log import log

READY_FD: Final = "APPLIANCE_READY_FD"
"""Environment variable: the number of a pipe on which a process says, with one byte, that it is ready."""

_PR_SET_PDEATHSIG: Final = 1

Event = threading.Event


def _keyholder(config: Config, ready: Event, stop: Event) -> None:
    from .keyholder.master import provider_of
    from .keyholder.server import serve

    places = Places(config.data_dir, config.key_dir, config.run_dir)
    serve(
        key_dir=config.key_dir,
        sockets=places.sockets,
        now=now_of(config),
        argon2_memory_kib=config.argon2_memory_kib,
        ready=ready,
        stop=stop,
        listen=config.keyholder_listen,
        provider=provider_of(config, config.key_dir),
    )


def _receiver(config: Config, ready: Event, stop: Event) -> None:
    import gc

    import pydicom.config

    from .certificates import end_of
    from .domain.modalities import nodes
    from .receiver import tls
    from .receiver.limits import Limits, Patience
    from .receiver.server import Address, Receiver
    from .receiver.service import Site

    places = Places(config.data_dir, config.key_dir, config.run_dir)
    addresses = [Address(config.dicom_host, config.dicom_port)] if config.dicom_plain else []
    if end_of(places.dicom) is not None:
        addresses.append(Address(config.dicom_host, config.dicom_tls_port, tls=True))
    if not addresses:
        raise Problem(
            Code.CONFLICT,
            "The receiver is to be reached by TLS only, and has no certificate. Make one with: bildbrief dicom certificate make NAME",
        )
    limits = Limits(
        instance=config.instance_limit,
        reserve=config.disk_reserve,
        connections=config.dicom_connections,
        reserved=config.dicom_connections_reserved,
        per_peer=config.dicom_connections_per_peer,
        pdu=config.dicom_pdu_limit,
        patience=Patience(
            first=config.dicom_first_seconds, pdu=config.dicom_pdu_seconds, idle=config.dicom_idle_seconds, rate=config.dicom_rate
        ),
    )
    site = Site(
        intake=places.intake,
        ae_title=config.ae_title,
        limits=limits,
        modalities=config.modalities or (),
        now=now_of(config),
        tls=partial(tls.context, places.dicom),
        committed_to=nodes(config.modalities or ()) if config.storage_commitment else None,
    )
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # of UIDs in requests, which we compare and never read
    gc.freeze()  # workers share what is here by now
    receiver = Receiver(addresses, site, processes=config.dicom_workers)
    ready.set()
    receiver.serve(stop)


def _ingester(config: Config, ready: Event, stop: Event) -> None:
    from .app import Appliance
    from .ingester import serve

    with closing(Appliance(config, "ingester")) as app:
        serve(app.ingest, app.completing, ready, stop, app.committing if config.storage_commitment else None)


def _clock(config: Config, ready: Event, stop: Event) -> None:
    from .app import Appliance
    from .clock import serve

    with closing(Appliance(config, "clock")) as app:
        rounds = {
            "reburying": app.reburying.run_once,
            "journal": app.journal.run_once,
            "retention": app.retention.run_once,
            "mirroring": app.mirroring.run_once,
            "sweeping": app.sweeping.run_once,
        }
        serve(rounds, config.clock_seconds, ready, stop)


def _desk(config: Config, ready: Event, stop: Event) -> None:
    from .app import Appliance
    from .certificates import end_of
    from .desk import DeskParts, serve

    app = Appliance(config, "desk")
    parts = DeskParts(
        worklist=app.worklist,
        inspecting=app.inspecting,
        sharing=app.sharing,
        reports=app.reports,
        staff=app.staff,
        settings=app.settings,
        now=app.now,
        desk_url=config.desk_url,
        public_url=config.public_url,
        language=config.language,
        timezone=config.timezone,
        mirrored=config.mirror_url is not None,
        wide_open=config.modalities is None,
        commits=config.storage_commitment,
        rehearse_days=config.rehearse_days,
        certificate_end=lambda: end_of(app.places.dicom),
    )
    serve(parts, host=config.desk_host, port=config.desk_port, ready=ready, stop=stop, trusted_proxy=config.trusted_proxy)


def _portal(config: Config, ready: Event, stop: Event) -> None:
    from .app import Appliance
    from .portal import THREADS, PortalParts, create_app
    from .portal.guard import BODY_LIMIT
    from .webserver import WebServer

    app = Appliance(config, "portal")
    parts = PortalParts(
        app.opening, app.delivery, app.settings, app.now, config.public_url, language=config.language, timezone=config.timezone
    )
    server = WebServer(
        create_app(parts),
        host=config.portal_host,
        port=config.portal_port,
        threads=THREADS,
        body_limit=lambda _: BODY_LIMIT,
        trusted_proxy=config.trusted_proxy,
    )
    ready.set()
    server.run(stop)


ENTRIES: Final[dict[str, Callable[[Config, Event, Event], None]]] = {
    "keyholder": _keyholder,
    "receiver": _receiver,
    "ingester": _ingester,
    "desk": _desk,
    "portal": _portal,
    "clock": _clock,
}
"""Each serves until the second event is set, and sets the first when it is ready."""


def run_process(name: str, config: Config) -> None:
    """Run one process until SIGTERM or SIGINT, or until its supervisor is gone."""
    memory.protect()  # it holds keys and images
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    logging.set_up(name)
    ready, stop = _Ready(), Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ENTRIES[name](config, ready, stop)
    log.info("stopped")


class _Ready(threading.Event):
    """Tells the supervisor when it is set."""

    def set(self) -> None:
        super().set()
        if descriptor := os.environ.pop(READY_FD, None):
            os.write(int(descriptor), b"1")
            os.close(int(descriptor))


def main() -> None:
    """`python -m appliance.processes NAME`: how the supervisor starts one."""
    try:
        run_process(sys.argv[1], configuration.read(os.environ))
    except Problem as problem:
        log.error("process cannot run", reason=problem.code)
        print(f"bildbrief: {problem}", file=sys.stderr, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
