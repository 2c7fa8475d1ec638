"""The clock: looks regularly for what is due. A missed or killed round is simply found by the next one."""

import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from ..domain.errors import Problem
from ..log import log

Round = Callable[[], object]


def serve(rounds: Mapping[str, Round], every: int, ready: threading.Event, stop: threading.Event) -> None:
    """Run each round now and then every so many seconds, none twice at a time, until `stop`."""
    scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(len(rounds))})
    for name, run in rounds.items():
        scheduler.add_job(
            _told(name, run), "interval", seconds=every, id=name, max_instances=1, coalesce=True, next_run_time=datetime.now(UTC)
        )
    scheduler.start()
    ready.set()
    stop.wait()
    scheduler.shutdown(wait=True)


def _told(name: str, run: Round) -> Callable[[], None]:
    def told() -> None:
        try:
            run()
        except Problem as problem:
            log.warning("round waits", round=name, reason=problem.code)
        except Exception:  # noqa: BLE001 (the next round tries again; the clock goes on)
            log.error("round failed", round=name, exc_info=True)

    return told
