"""The ingester: takes what the receiver published, one batch after the other. It serves nobody."""

import threading

from ..deeds.committing import Committing
from ..deeds.completing import Completing
from ..deeds.ingest import Ingest
from ..domain.errors import Problem
from ..log import log

IDLE = 0.2  # seconds between looks at an empty intake
TROUBLE = 2.0  # seconds until the next try when something we need does not answer
COMMITMENT_ROUND = 1.0  # seconds between looks at what modalities asked
KEY_ROUND = 60.0  # seconds between looks at the intake keys


def serve(
    ingest: Ingest, completing: Completing, ready: threading.Event, stop: threading.Event, committing: Committing | None = None
) -> None:
    """Run until `stop`. Nothing is lost by trouble: a file stays in the intake until its row is written."""
    beside = threading.Thread(target=_commit, args=(committing, stop)) if committing else None
    if beside:
        beside.start()
    keys_in = 0.0
    while not stop.is_set():
        try:
            if keys_in <= 0:
                ingest.publish_key()
                ingest.retire_keys()
                keys_in = KEY_ROUND
                ready.set()
            busy = bool(ingest.run_once())
            completing.run_once(ingest.waits_since())
        except Problem as problem:
            log.warning("ingest waits", reason=problem.code)
            stop.wait(TROUBLE)
            keys_in -= TROUBLE
            continue
        except Exception:  # noqa: BLE001 (whatever it was, the file is still there; the next round tries again)
            log.error("ingest failed", exc_info=True)
            stop.wait(TROUBLE)
            continue
        pause = 0.0 if busy else IDLE
        stop.wait(pause)
        keys_in -= max(pause, 0.05)
    ingest.close()
    if beside:
        beside.join()


def _commit(committing: Committing, stop: threading.Event) -> None:
    while not stop.wait(COMMITMENT_ROUND):
        try:
            committing.run_once()
        except Problem as problem:
            log.warning("commitment waits", reason=problem.code)
            stop.wait(TROUBLE)
        except Exception:  # noqa: BLE001 (the next round tries again)
            log.error("commitment failed", exc_info=True)
            stop.wait(TROUBLE)
