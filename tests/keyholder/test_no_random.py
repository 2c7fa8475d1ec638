"""Without randomness there are no keys: what needs some is refused, and nothing weaker is written in its place."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from keyhouse import NOON, House

from appliance.domain.errors import Code, Problem
from appliance.domain.share import ShareRecord
from appliance.keyholder.client import Keyholder, Opened
from appliance.keyholder.ring import Ring
from appliance.vault.keys import new_id


@contextmanager
def no_random(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def failing(_: int) -> bytes:
        raise OSError("no entropy")

    with monkeypatch.context() as broken:
        broken.setattr(os, "urandom", failing)
        broken.setattr("random._urandom", failing)  # where `secrets` takes its bytes
        yield


def rows(house: House) -> list[int]:
    tables = ("epochs", "studies", "shares", "share_studies", "intake_keys", "secrets")
    return [int(house.ring.here().execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in tables]


CALLS: dict[str, Callable[[House, ShareRecord], object]] = {
    "a study's key": lambda house, _: house.ingester.create_study_key("ab" * 16),
    "a share": lambda house, record: house.desk.share_create(replace(record, share_id="cd" * 16).canonical()),
    "a password": lambda house, record: house.desk.share_password(record.share_id),
    "an intake pair": lambda house, _: _tomorrow(house).intake_public(),
}


def _tomorrow(house: House) -> Keyholder:
    house.clock.after(86_400)
    return house.ingester


@pytest.mark.parametrize("what", CALLS)
def test_nothing_is_made(house: House, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    record, given = house.share()
    house.ingester.intake_public()
    before = rows(house)
    if what == "an intake pair":
        monkeypatch.setattr("appliance.keyholder.intake.new_pair", lambda: os.urandom(32))  # X25519 takes its bytes from OpenSSL itself
    with no_random(monkeypatch), pytest.raises(Problem) as caught:
        CALLS[what](house, record)
    assert caught.value.code is Code.UNAVAILABLE
    assert rows(house) == before
    assert isinstance(house.portal.open_share(given.code, given.password, "192.0.2.0/24", None), Opened)


def test_no_master_key_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    with no_random(monkeypatch), pytest.raises(OSError, match="no entropy"), Ring.opened(tmp_path, lambda: NOON):
        pass
    assert "master.key" not in [path.name for path in tmp_path.iterdir()]
    with Ring.opened(tmp_path, lambda: NOON) as ring:
        assert len(ring.secret("pepper")) == 32
    assert new_id() != new_id()
