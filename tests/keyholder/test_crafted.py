"""Whoever can write into the ring but has no key: every row made up or moved is one wrong password more, and costs the same."""

import hashlib
import os
import random
import sqlite3
from typing import Any

import pytest
from keyhouse import MEMORY, PREFIX, House

from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY
from appliance.keyholder import budgets, slots
from appliance.keyholder.client import Opened, Wrong
from appliance.keyholder.opening import Opening
from appliance.keyholder.rotation import UNDER_MASTER
from appliance.vault.keys import INTAKE_INFO, seal_to

SLOT = ("salt", "memory_kib", "passes", "lanes", "verifier", "slot_key")
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 31, 32, 63, 64, 255, -1, -(2**63), 2**21 + 1, 2**32, 2**63 - 1)


@pytest.fixture(autouse=True)
def _unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets are another test's matter; here many tries follow each other."""
    monkeypatch.setattr(budgets, "seconds_to_wait", lambda *_: 0)
    monkeypatch.setattr(budgets, "LIFETIME", 1 << 40)


@pytest.fixture
def costs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """Memory, passes and lanes of every derivation that is made; the derivation itself is left out, so that 10,000 take no hour."""
    made: list[tuple[int, int, int]] = []

    def counted(material: bytes, *, salt: bytes, memory_kib: int, passes: int, lanes: int, **_: Any) -> bytes:
        made.append((memory_kib, passes, lanes))
        return hashlib.sha256(material + salt).digest()

    monkeypatch.setattr(slots, "argon2id", counted)
    return made


def test_ten_thousand_crafted_slots(house: House, costs: list[tuple[int, int, int]]) -> None:
    """The answer is always the same, and so is the work: one derivation, of what we allow, and two writes."""
    dice = random.Random(20261124)
    record, given = house.share()
    opening = Opening(house.ring, MEMORY)
    house.ring.here().execute("PRAGMA synchronous=OFF")  # durability is not what is tried here
    sane = {"salt": os.urandom(16), "memory_kib": MEMORY, "passes": 3, "lanes": 4, "verifier": bytes(32), "slot_key": bytes(72)}
    costs.clear()
    for _ in range(10_000):
        crafted = dict(sane)
        for name in dice.sample(SLOT, dice.randint(1, len(SLOT))):
            crafted[name] = (
                dice.choice(NUMBERS) if isinstance(sane[name], int) else dice.randbytes(dice.choice((0, 1, 15, 16, 17, 32, 72, 99)))
            )
        with house.ring.write() as db:
            db.execute(f"UPDATE shares SET {', '.join(f'{name} = ?' for name in SLOT)} WHERE share_id = ?",
                       [*(crafted[name] for name in SLOT), record.share_id])  # fmt: skip
        assert opening.open_share(given.code, given.password, PREFIX, None) == {"refused": "wrong"}, crafted
    assert len(costs) == 10_000
    assert all(passes <= 16 and lanes <= 16 and 8 * lanes <= memory <= 1 << 21 for memory, passes, lanes in costs)


def test_a_slot_that_is_not_ours_costs_what_others_do(house: House, costs: list[tuple[int, int, int]]) -> None:
    record, given = house.share()
    costs.clear()
    assert house.portal.open_share(given.code, "WRONG", PREFIX, None) == Wrong()
    for change in ("memory_kib = 2147483647", "lanes = 0", "passes = 0", "salt = x'00'", "verifier = x''"):
        edit(house, f"UPDATE shares SET {change} WHERE share_id = ?", record.share_id)
        assert house.portal.open_share(given.code, given.password, PREFIX, None) == Wrong()
    assert set(costs) == {(MEMORY, 3, 4)}


@pytest.mark.parametrize("column", ["slot_key", "share_key", "code", "record", "salt, verifier, slot_key", "salt, verifier"])
def test_what_is_copied_from_one_share_to_another_opens_nothing(house: House, column: str) -> None:
    """Charlie has a letter of his own and may write into the ring: Alice's studies do not open with his code and password."""
    (alice, _), (charlie, his) = house.share(), house.share()
    before = house.portal.open_share(his.code, his.password, PREFIX, None)
    assert isinstance(before, Opened)
    columns = [f"{name} = (SELECT {name} FROM shares WHERE share_id = ?)" for name in column.split(", ")]
    edit(house, f"UPDATE shares SET {', '.join(columns)} WHERE share_id = ?", *[alice.share_id] * len(columns), charlie.share_id)
    after = house.portal.open_share(his.code, his.password, PREFIX, None)
    # Share key and code under the master key are not used to open: there his own studies may still open, Alice's never.
    assert after == Wrong() or (isinstance(after, Opened) and set(after.study_keys) == set(charlie.studies))


def test_a_share_key_of_another_share_is_noticed_when_the_desk_uses_it(house: House) -> None:
    (alice, _), (charlie, _) = house.share(), house.share()
    copied = "UPDATE shares SET share_key = (SELECT share_key FROM shares WHERE share_id = ?) WHERE share_id = ?"
    edit(house, copied, alice.share_id, charlie.share_id)
    with pytest.raises(Problem) as caught:
        house.desk.share_change(charlie.canonical())
    assert caught.value.code is Code.DAMAGED


def test_his_slot_under_her_code_opens_nothing(house: House) -> None:
    (alice, hers), (charlie, his) = house.share(), house.share()
    names = ("salt", "memory_kib", "passes", "lanes", "verifier", "slot_key")
    columns = ", ".join(f"{name} = (SELECT {name} FROM shares WHERE share_id = ?)" for name in names)
    edit(house, f"UPDATE shares SET {columns} WHERE share_id = ?", *[charlie.share_id] * len(names), alice.share_id)
    assert house.portal.open_share(hers.code, his.password, PREFIX, None) == Wrong()


def test_rows_of_studies_that_are_swapped_do_not_open(house: House) -> None:
    one, two = house.study(), house.study()
    edit(house, "UPDATE studies SET wrapped = (SELECT wrapped FROM studies WHERE study_id = ?) WHERE study_id = ?", one, two)
    with pytest.raises(Problem) as caught:
        house.desk.study_keys([two])
    assert caught.value.code is Code.DAMAGED
    assert house.desk.study_keys([one])[one] is not None


@pytest.mark.parametrize("table", ["secrets", "epochs", "intake_keys"])
def test_what_lies_under_the_master_key_opens_in_its_own_row_only(house: House, table: str) -> None:
    """The wraps of two rows are swapped: a pepper for the key of staff names, last month's key for this one's, a pair for another."""
    old = house.ingester.intake_public()
    study = house.study()
    house.clock.after(40 * DAY)
    house.study()
    house.ingester.intake_public()
    name, column = next((name, column) for of, name, column, _ in UNDER_MASTER if of == table)
    (one, first), (two, second) = house.ring.here().execute(f"SELECT {name}, {column} FROM {table} ORDER BY {name} LIMIT 2").fetchall()
    for row, wrapped in ((one, second), (two, first)):
        edit(house, f"UPDATE {table} SET {column} = ? WHERE {name} = ?", wrapped, row)
    with pytest.raises(Problem) as caught:
        if table == "secrets":
            house.restart()
        elif table == "epochs":
            house.desk.study_keys([study])
        else:
            house.ingester.open_envelope(old.key_id, seal_to(old.public, bytes(32), INTAKE_INFO))
    assert caught.value.code in (Code.DAMAGED, Code.CONFLICT)


def edit(house: House, sql: str, *values: object) -> None:
    """As somebody would who has the file and SQLite."""
    db = sqlite3.connect(house.key_dir / "ring.sqlite3")
    with db:
        db.execute(sql, values)
    db.close()
