"""One suite for all who keep a master key: files, files sealed by a passphrase, and an HSM. And what only one of them can do wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from hsm import SoftHsm
from keyhouse import MEMORY, NOON, Keys
from keyhouse import PREFIX as PREFIX_OF_READER
from pkcs11 import Attribute, ObjectClass
from pkcs11.exceptions import PKCS11Error

from appliance.config import PREFIX
from appliance.domain.errors import Code, Problem
from appliance.keyholder.master import Files, Provider, sealed
from appliance.keyholder.master.file import MASTER, FileKey
from appliance.keyholder.ring import Ring
from appliance.keyholder.server import handlers
from appliance.vault.keys import Context, WrongWrap, unwrap

PASSPHRASE = "vier Wörter die nicht passen"
CONTEXT = Context("bildbrief/v1/epoch-key", b"2026-11")


def nobody(_: str) -> None:
    """Who need not know that a key is about to be made."""


@pytest.fixture(autouse=True)
def _cheap_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "MEMORY_KIB", 64)


@pytest.fixture(params=["file", "sealed file", "hsm"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Provider]:
    """Opens the provider: each time as a new process would."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    if request.param == "hsm":
        hsm: SoftHsm = request.getfixturevalue("soft")
        return hsm.provider
    passphrase = PASSPHRASE if request.param == "sealed file" else None
    return lambda: Files(keys, passphrase)


@pytest.fixture
def provider(opens: Callable[[], Provider]) -> Iterator[Provider]:
    made = opens()
    yield made
    made.close()


# -- all of them ---------------------------------------------------------------------------------------------------------


def test_what_is_wrapped_opens_again_also_for_the_next_process(provider: Provider, opens: Callable[[], Provider]) -> None:
    assert provider.tags() == []
    key = provider.add(nobody)
    assert provider.tags() == [key.tag]
    wraps = {length: key.wrap(bytes(range(length)), CONTEXT) for length in (8, 32, 64, 256)}
    provider.close()
    again = opens()
    for length, wrapped in wraps.items():
        assert again.open(key.tag).unwrap(wrapped, CONTEXT) == bytes(range(length))
        assert len(wrapped) == length + 32 + 8
    again.close()


def test_a_wrap_that_is_none_of_ours_is_refused(provider: Provider) -> None:
    key, other = provider.add(nobody), FileKey(os.urandom(32))
    wrapped = key.wrap(bytes(32), CONTEXT)
    wrong = [other.wrap(bytes(32), CONTEXT), wrapped[:-8], wrapped[:-1] + bytes([wrapped[-1] ^ 1]), bytes(72), b""]
    for each in wrong:
        with pytest.raises(WrongWrap):
            key.unwrap(each, CONTEXT)
    with pytest.raises(WrongWrap):
        key.unwrap(wrapped, Context("bildbrief/v1/epoch-key", b"2026-12"))
    assert key.unwrap(wrapped, CONTEXT) == bytes(32)


def test_two_keys_are_told_apart_and_one_is_destroyed(provider: Provider, opens: Callable[[], Provider]) -> None:
    announced: list[str] = []
    first = provider.add(announced.append)
    second = provider.add(announced.append)
    assert announced == [first.tag, second.tag]
    assert sorted(provider.tags()) == sorted(announced)
    wrapped = first.wrap(bytes(32), CONTEXT)
    with pytest.raises(WrongWrap):
        second.unwrap(wrapped, CONTEXT)
    provider.forget(first.tag)
    provider.forget(first.tag)
    provider.close()
    again = opens()
    assert again.tags() == [second.tag]
    left = again.open(second.tag)
    assert left.unwrap(left.wrap(bytes(32), CONTEXT), CONTEXT) == bytes(32)
    again.close()


def test_a_ring_lives_under_it(provider: Provider, opens: Callable[[], Provider], tmp_path: Path) -> None:
    directory = tmp_path / "ring"
    directory.mkdir(mode=0o700)
    with Ring.opened(directory, lambda: NOON, provider) as ring:
        pepper = ring.secret("pepper")
        assert ring.provider.state() == "ready"
    with Ring.opened(directory, lambda: NOON, opens()) as ring:
        assert ring.secret("pepper") == pepper


# -- files ---------------------------------------------------------------------------------------------------------------


def test_a_sealed_file_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    tag = Files(tmp_path, PASSPHRASE).add(nobody).tag
    content = (tmp_path / MASTER).read_bytes()
    assert Files(tmp_path, PASSPHRASE).open(tag).secret() not in content
    for passphrase, code in ((None, Code.UNAVAILABLE), ("another", Code.FORBIDDEN), (PASSPHRASE.upper(), Code.FORBIDDEN)):
        with pytest.raises(Problem) as caught:
            Files(tmp_path, passphrase).open(tag)
        assert caught.value.code is code
        assert "BILDBRIEF_KEY_PASSPHRASE_FILE" in str(caught.value)


def test_every_byte_of_a_sealed_file_counts(tmp_path: Path) -> None:
    tag = Files(tmp_path, PASSPHRASE).add(nobody).tag
    path = tmp_path / MASTER
    content = path.read_bytes()
    path.chmod(0o600)
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        path.chmod(0o400)
        with pytest.raises((Problem, KeyError)):
            Files(tmp_path, PASSPHRASE).open(tag).secret()
        path.chmod(0o600)


def test_a_passphrase_is_changed_and_removed(tmp_path: Path) -> None:
    key = Files(tmp_path).add(nobody)
    for now, then in ((None, PASSPHRASE), (PASSPHRASE, "eine andere Passphrase"), ("eine andere Passphrase", None)):
        Files(tmp_path, now).seal(then)
        assert Files(tmp_path, then).open(key.tag).secret() == key.secret()
        assert [path.name for path in tmp_path.iterdir()] == [MASTER]
    assert (tmp_path / MASTER).stat().st_mode & 0o777 == 0o400


def test_what_a_kill_left_of_a_key_file_is_destroyed(tmp_path: Path) -> None:
    """A `kill -9` before the rename: the key, perhaps unsealed, lies under the name that it was being written to."""
    key = Files(tmp_path, PASSPHRASE).add(nobody)
    for name in (".master.key.next.0123456789abcdef.part", ".master.key.fedcba9876543210.part", "master.key.gone"):
        (tmp_path / name).write_bytes(key.secret())
        (tmp_path / name).chmod(0o400)
    Files(tmp_path, PASSPHRASE).tidy()
    assert [path.name for path in tmp_path.iterdir()] == [MASTER]
    assert Files(tmp_path, PASSPHRASE).tags() == [key.tag]


def test_who_only_looks_leaves_what_is_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup is verified while the file gets a passphrase: tidied up then, both forms of the key would be destroyed."""
    key = Files(tmp_path).add(nobody)
    wipe = Files._wipe

    def looked_at(files: Files, path: Path) -> None:
        assert Files(tmp_path).tags() == [key.tag]
        wipe(files, path)

    monkeypatch.setattr(Files, "_wipe", looked_at)
    Files(tmp_path).seal(PASSPHRASE)
    assert Files(tmp_path, PASSPHRASE).open(key.tag).secret() == key.secret()


# -- an HSM --------------------------------------------------------------------------------------------------------------


def test_the_key_in_the_hsm_does_nothing_but_wrap_and_unwrap(soft: SoftHsm) -> None:
    provider = soft.provider()
    key = provider.add(nobody)

    def attributes(session: object) -> dict[Attribute, bool]:
        found = session.get_key(ObjectClass.SECRET_KEY, label="bildbrief")  # type: ignore[attr-defined]
        names = ("SENSITIVE", "EXTRACTABLE", "NEVER_EXTRACTABLE", "ALWAYS_SENSITIVE", "WRAP", "UNWRAP", "ENCRYPT", "DECRYPT", "SIGN")
        with pytest.raises(PKCS11Error):
            found[Attribute.VALUE]
        return {name: found[Attribute[name]] for name in names}

    held = provider._token.use(attributes)
    assert held == {
        **dict.fromkeys(("SENSITIVE", "NEVER_EXTRACTABLE", "ALWAYS_SENSITIVE", "WRAP", "UNWRAP"), True),
        **dict.fromkeys(("EXTRACTABLE", "ENCRYPT", "DECRYPT", "SIGN"), False),
    }
    with pytest.raises(Problem) as caught:
        key.secret()
    assert caught.value.code is Code.FORBIDDEN
    provider.close()


def test_its_wraps_are_those_of_software(soft: SoftHsm) -> None:
    """A key that may be read, to compare: the bytes are RFC 5649's, with our digest inside."""
    provider = soft.provider()
    provider.tags()
    token = provider._token
    from appliance.keyholder.master.token import _throwaway, kwp, kwp_open

    kek, plain = os.urandom(32), os.urandom(32) + CONTEXT.digest
    wrapped = token.use(lambda session: kwp(session, _throwaway(session, kek), plain, token.mechanism))
    assert wrapped == aes_key_wrap_with_padding(kek, plain)
    assert unwrap(kek, wrapped, CONTEXT) == plain[:32]
    assert token.use(lambda session: kwp_open(_throwaway(session, kek), wrapped, token.mechanism)) == plain
    provider.close()


def test_a_token_that_goes_away_and_comes_back(soft: SoftHsm) -> None:
    provider = soft.provider()
    key = provider.add(nobody)
    wrapped = key.wrap(bytes(32), CONTEXT)
    soft.take_away()
    with pytest.raises(Problem) as caught:
        key.unwrap(wrapped, CONTEXT)
    assert caught.value.code is Code.UNAVAILABLE
    assert provider.state() != "ready"
    soft.bring_back()
    assert key.unwrap(wrapped, CONTEXT) == bytes(32)
    assert provider.state() == "ready"
    provider.close()


def test_without_the_token_no_password_is_tried_nor_charged(soft: SoftHsm, tmp_path: Path) -> None:
    """The study keys lie under the share key, which a password opens alone: it is not let."""
    keys = Keys(tmp_path, lambda _: soft.provider())
    with Ring.opened(keys.directory, keys.clock, keys.provider()) as ring:
        open_share = handlers(ring, MEMORY)["open_share"]
        letter = next(iter(keys.letters.values()))
        soft.take_away()
        for password in (letter.password, "WRONG"):
            with pytest.raises(Problem, match="its token is not there"):
                open_share(code=letter.code, password=password, prefix=PREFIX_OF_READER, device=None)
        assert ring.here().execute("SELECT count(*) FROM attempts").fetchone() == (0,)
        soft.bring_back()
        assert open_share(code=letter.code, password=letter.password, prefix=PREFIX_OF_READER, device=None)["opened"]


def test_a_wrong_pin_is_tried_once(soft: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """SoftHSM never locks a token, so what is counted is how often the library is asked for."""
    administrator = soft.provider()
    administrator.add(nobody)
    administrator.close()
    provider = soft.provider(pin="0000-falsch")
    asked: list[str] = []
    real = pkcs11.lib
    monkeypatch.setattr(pkcs11, "lib", lambda module: (asked.append(module), real(module))[1])
    for _ in range(5):
        with pytest.raises(Problem, match="PIN") as caught:
            provider.tags()
        assert caught.value.code is Code.FORBIDDEN
    provider.close()
    assert asked == [soft.module]
    right = soft.provider()
    assert len(right.tags()) == 1
    right.close()


def test_a_keyholder_with_a_wrong_pin_stays_and_waits(soft: SoftHsm, tmp_path: Path) -> None:
    """If it ended, its supervisor would start it again, and the token would be locked after a few tries."""
    settings = soft.settings | {"key_provider": "pkcs11", "pkcs11_pin": "0000-falsch"}
    for name in ("key_dir", "data_dir", "run_dir"):
        (tmp_path / name).mkdir(mode=0o700)
        settings[name] = str(tmp_path / name)
    environment = os.environ | {f"{PREFIX}{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "appliance.processes", "keyholder"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("waits to be started again" in line for line in process.stderr)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.terminate()
        assert "BILDBRIEF_PKCS11_PIN_FILE" in process.stderr.read()
    assert process.returncode == 1
    assert list((tmp_path / "run_dir").iterdir()) == [], "nobody was answered"


def test_an_hsm_that_is_away_when_it_is_first_asked_is_not_a_wrong_module(soft: SoftHsm) -> None:
    """Such a module does not even begin (C_Initialize fails); connected, it does."""
    soft.take_away()
    provider = soft.provider()
    with pytest.raises(Problem, match="its token is not there"):
        provider.tags()
    soft.bring_back()
    assert provider.tags() == []
    provider.close()


@pytest.mark.parametrize("wrong", ["module", "token"])
def test_what_is_not_there_is_said(soft: SoftHsm, wrong: str) -> None:
    provider = soft.provider(**{wrong: "/nowhere/libhsm.so" if wrong == "module" else "somebody else's"})
    with pytest.raises(Problem) as caught:
        provider.tags()
    assert caught.value.code is Code.UNAVAILABLE
    assert ("BILDBRIEF_PKCS11_MODULE" if wrong == "module" else "token") in str(caught.value)
    provider.close()


def test_a_slow_hsm_keeps_nobody_waiting(soft: SoftHsm) -> None:
    provider = soft.provider(limit=0.3)
    key = provider.add(nobody)
    wrapped = key.wrap(bytes(32), CONTEXT)
    begin = time.monotonic()
    with pytest.raises(Problem, match="too long"):
        provider._token.use(lambda _: time.sleep(2))
    with pytest.raises(Problem, match="too long"):
        key.unwrap(wrapped, CONTEXT)  # at once, without queueing behind the slow one
    assert time.monotonic() - begin < 2
    time.sleep(2)
    assert key.unwrap(wrapped, CONTEXT) == bytes(32)
    provider.close()


def test_another_provider_than_the_ring_is_under_is_refused(soft: SoftHsm, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    with Ring.opened(keys, lambda: NOON, soft.provider()):
        pass
    with pytest.raises(Problem, match="BILDBRIEF_KEY_PROVIDER") as caught, Ring.opened(keys, lambda: NOON, Files(keys)):
        pass
    assert caught.value.code is Code.CONFLICT
