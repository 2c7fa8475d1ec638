"""The commands that give the master key a successor, a passphrase or another place: what they say, what they refuse, done twice."""

import json
from contextlib import closing

import pytest
from console import Operator
from hsm import PIN, SoftHsm

from appliance.domain.errors import Problem
from appliance.keyholder.master import Files
from appliance.keyholder.master.file import MASTER
from appliance.keyholder.ring import PROVIDER, RING, Ring, fact_of
from appliance.keyholder.rotation import move
from appliance.keyholder.server import handlers

PASSPHRASE = "vier Wörter die nicht passen"


@pytest.fixture
def stopped(operator: Operator) -> Operator:
    """With an appliance that has stopped, and a study in it."""
    operator.stack.put_study()
    operator.stack.stop_keyholder()
    return operator


def files(operator: Operator) -> list[str]:
    return sorted(path.name for path in operator.keys.iterdir() if path.is_file())


def opens(operator: Operator) -> str:
    """Everything opens with the settings as they are; what `keys` says of it."""
    target = operator.root / "verified"
    target.unlink(missing_ok=True)
    operator.types("backup", str(target))
    return operator.types("verify-backup", str(target)).decode()


# -- rotate, rotate-intake -------------------------------------------------------------------------------------------------


def test_another_master_key_while_it_serves(operator: Operator) -> None:
    stack = operator.stack
    record, given = stack.share(stack.put_study())
    keys, backup = set(), operator.root / "before"
    operator.types("backup", str(backup))
    for _ in range(2):
        keys.add((operator.keys / MASTER).read_bytes())
        told = operator.types("rotate").decode()
        assert "the old one is destroyed" in told
        assert "bildbrief keys backup FILE" in told
        assert "bildbrief keys recovery-shares" in told
        assert "WARNING" in operator.types("status").decode(), "the backup before opens nothing any more"
    assert (operator.keys / MASTER).read_bytes() not in keys
    assert stack.keyholder("desk").share_code(record.share_id) == given.code
    assert json.loads(operator.types("rotate", "--json")) == {"rotated": True}
    assert "another master key" in operator.types("verify-backup", str(backup), status=5).decode()


@pytest.mark.parametrize("word", ["rotate", "rotate-intake"])
def test_a_new_key_needs_the_keyholder(stopped: Operator, word: str) -> None:
    assert b"The keyholder does not answer." in stopped.types(word, status=75)
    assert files(stopped) == [MASTER, RING]


def test_a_second_intake_key_replaces_the_first(operator: Operator) -> None:
    told = [operator.types("rotate-intake").decode() for _ in range(2)]
    assert all("The receiver has it within a minute." in each for each in told)
    assert told[0] != told[1]
    assert operator.stack.keyholder("ingester").intake_public().key_id in told[1]


# -- passphrase ------------------------------------------------------------------------------------------------------------


def test_a_passphrase_is_set_changed_and_removed(stopped: Operator) -> None:
    plain = (stopped.keys / MASTER).read_bytes()
    steps: list[tuple[str | None, str | None]] = [(None, PASSPHRASE), (PASSPHRASE, "eine ganz andere"), ("eine ganz andere", None)]
    for now, then in steps:
        if now:
            stopped.settings["key_passphrase"] = now
        stopped.types("passphrase", *([] if then else ["--remove"]), stdin=f"{then}\n".encode() if then else b"")
        assert ("sealed; put the passphrase into a file" if then else "not sealed any more") in stopped.said
        assert then is None or then not in stopped.said
        assert ((stopped.keys / MASTER).read_bytes() == plain) is (then is None)
        stopped.settings["key_passphrase"] = then or "no longer needed"
        assert "Every key in the backup opens." in opens(stopped)
    stopped.types("passphrase", "--remove")
    assert (stopped.keys / MASTER).read_bytes() == plain, "removed twice is removed"
    assert files(stopped) == [MASTER, RING]


def test_a_passphrase_is_the_same_to_the_command_and_in_its_file(stopped: Operator) -> None:
    """Blanks around it, which a file loses when it is read, would lock everybody out."""
    stopped.types("passphrase", stdin=f"  {PASSPHRASE} \r\n".encode())
    file = stopped.root / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    stopped.settings["key_passphrase_file"] = file
    assert "Every key in the backup opens." in opens(stopped)


def test_a_passphrase_is_not_set_where_it_cannot(operator: Operator, soft: SoftHsm) -> None:
    assert b"Stop it first" in operator.types("passphrase", stdin=PASSPHRASE.encode(), status=5)
    operator.stack.stop_keyholder()
    before = (operator.keys / MASTER).read_bytes()
    for text in (b"", b"zu kurz\n", b"           x\n"):
        assert b"at least 12 characters" in operator.types("passphrase", stdin=text, status=2)
    assert (operator.keys / MASTER).read_bytes() == before

    operator.types("passphrase", stdin=PASSPHRASE.encode())
    sealed = (operator.keys / MASTER).read_bytes()
    assert b"is sealed. Put its passphrase into a file" in operator.types("passphrase", "--remove", status=75)
    operator.settings["key_passphrase"] = "eine die es nicht ist"
    assert b"does not open the master key file" in operator.types("passphrase", "--remove", status=77)
    assert (operator.keys / MASTER).read_bytes() == sealed

    operator.settings |= {"key_provider": "pkcs11", **soft.settings}
    assert b"has a PIN instead" in operator.types("passphrase", "--remove", status=5)


# -- migrate ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["file", "pkcs11"])
def test_into_an_hsm_whatever_the_setting_says_already(stopped: Operator, soft: SoftHsm, setting: str) -> None:
    stopped.types("passphrase", stdin=PASSPHRASE.encode())
    stopped.settings |= {"key_provider": setting, "key_passphrase": PASSPHRASE, **soft.settings}
    told = stopped.types("migrate", "--to", "pkcs11").decode()
    assert "Now start with BILDBRIEF_KEY_PROVIDER=pkcs11" in told
    assert PIN not in told
    assert files(stopped) == [RING], "the file is destroyed"

    assert b"there already. Start with BILDBRIEF_KEY_PROVIDER=pkcs11." in stopped.types("migrate", "--to", "pkcs11", status=5)
    assert b"From an HSM there is no way back to a file" in stopped.types("migrate", "--to", "file", status=77)
    stopped.settings["key_provider"] = "pkcs11"
    del stopped.settings["key_passphrase"]
    assert "Every key in the backup opens." in opens(stopped)
    assert b"never leaves the HSM" in stopped.types("recovery-shares", "2-of-3", "--words", status=77)
    assert b"with the means of the HSM" in stopped.types("recover", status=5)


def test_a_migration_is_refused_and_nothing_changes(operator: Operator, soft: SoftHsm) -> None:
    before = (operator.keys / MASTER).read_bytes()
    assert b"Set all three" in operator.types("migrate", "--to", "pkcs11", status=2)
    operator.settings |= soft.settings
    assert b"Stop it first" in operator.types("migrate", "--to", "pkcs11", status=5)
    operator.stack.stop_keyholder()
    assert b"there already" in operator.types("migrate", "--to", "file", status=5)
    for setting, value, sentence, status in (
        ("pkcs11_pin", "0000-falsch", b"refuses the PIN", 77),
        ("pkcs11_token", "nobody's", b"its token is not there", 75),
        ("pkcs11_module", "/nowhere/hsm.so", b"cannot be loaded", 75),
    ):
        operator.settings[setting] = value
        assert sentence in operator.types("migrate", "--to", "pkcs11", status=status)
        operator.settings |= soft.settings
    assert (operator.keys / MASTER).read_bytes() == before
    assert "Every key in the backup opens." in opens(operator)
    with closing(soft.provider()) as hsm:
        assert hsm.tags() == []


def test_a_migration_needs_keys(stopped: Operator, soft: SoftHsm) -> None:
    for name in files(stopped):
        (stopped.keys / name).unlink()
    stopped.settings |= soft.settings
    assert b"There are no keys here yet" in stopped.types("migrate", "--to", "pkcs11", status=4)
    assert files(stopped) == []


def test_a_keyholder_started_too_early_says_how_to_migrate(stopped: Operator, soft: SoftHsm) -> None:
    with pytest.raises(Problem, match="bildbrief keys migrate --to pkcs11"), Ring.opened(stopped.keys, stopped.stack.now, soft.provider()):
        pass
    assert fact_of(stopped.keys / RING, PROVIDER) == "file"
    with closing(soft.provider()) as hsm:
        assert hsm.tags() == [], "looked at only"


def test_migrated_but_not_told_yet(stopped: Operator, soft: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the new key and the end of the old file: the command says what to do, and the start finishes it."""
    with monkeypatch.context() as broken:
        broken.setattr(Files, "forget", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with (
            pytest.raises(KeyboardInterrupt),
            closing(soft.provider()) as hsm,
            Ring.opened(stopped.keys, stopped.stack.now, Files(stopped.keys)) as ring,
        ):
            move(ring, hsm)
    assert files(stopped) == [MASTER, RING]
    stopped.settings |= soft.settings
    assert b"Start with BILDBRIEF_KEY_PROVIDER=pkcs11" in stopped.types("migrate", "--to", "pkcs11", status=5)
    with Ring.opened(stopped.keys, stopped.stack.now, soft.provider()) as ring:
        assert handlers(ring, 64)["status"]()["provider"] == "pkcs11"
    assert files(stopped) == [RING]
