"""Who may use the desk: the set-up link, users, logging in, the practice's settings."""

import pytest
from stack import Stack

from appliance.deeds import staff as deed
from appliance.deeds.staff import Role
from appliance.domain.audit import Action
from appliance.domain.errors import Code, Problem
from appliance.domain.share import DAY
from appliance.registry.settings import Practice

PASSWORD = "correct horse battery"
HERE = "192.0.2.7"


@pytest.fixture
def alma(stack: Stack) -> str:
    """Alma sits at the front desk. Her user id."""
    return stack.staff.add("operator", login="Alma", name="Alma Anker", password=PASSWORD, role="front-desk")


def refused(code: Code, call: object, *args: object, **kwargs: object) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    assert caught.value.code is code
    return caught.value


def test_the_setup_link_makes_the_first_user_once(stack: Stack) -> None:
    token = stack.staff.setup_token()
    assert token is not None
    assert len(token) == 43
    assert stack.staff.is_setup_token(token)
    member = stack.staff.set_up(token, login="alma", name="", password=PASSWORD)
    assert (member.role, member.name) == (Role.ADMIN, "alma")
    assert not stack.staff.is_setup_token(token)
    refused(Code.FORBIDDEN, stack.staff.set_up, token, login="eve", name="", password=PASSWORD)
    assert stack.staff.setup_token() is None
    assert [found.login for found in stack.staff.members()] == ["alma"]


def test_only_the_hash_of_the_setup_link_is_kept(stack: Stack) -> None:
    token = stack.staff.setup_token()
    assert token is not None
    assert token.encode() not in (stack.places.registry / "registry.sqlite3").read_bytes()


def test_a_setup_link_expires_and_a_new_one_voids_the_old(stack: Stack) -> None:
    first, second = stack.staff.setup_token(), stack.staff.setup_token()
    assert first is not None
    assert second is not None
    assert not stack.staff.is_setup_token(first)
    stack.now.pass_by(14 * DAY - 1)
    assert stack.staff.is_setup_token(second)
    stack.now.pass_by(1)
    assert not stack.staff.is_setup_token(second)
    refused(Code.FORBIDDEN, stack.staff.set_up, second, login="eve", name="", password=PASSWORD)


@pytest.mark.parametrize("token", ["", "x", "ä", "A" * 43])
def test_a_guessed_setup_link_is_refused(stack: Stack, token: str) -> None:
    stack.staff.setup_token()
    assert not stack.staff.is_setup_token(token)
    refused(Code.FORBIDDEN, stack.staff.set_up, token, login="eve", name="", password=PASSWORD)


@pytest.mark.parametrize("login", ["Alma", "alma", " ALMA "])
def test_who_is_known_comes_in(stack: Stack, alma: str, login: str) -> None:
    member = stack.staff.enter(login, PASSWORD, HERE)
    assert (member.user_id, member.name, member.role) == (alma, "Alma Anker", Role.FRONT_DESK)
    assert [row.action for row in stack.registry.audit()][-1] == Action.USER_IN


@pytest.mark.parametrize(
    ("login", "password"),
    [("Alma", "wrong"), ("Alma", ""), ("Alma", PASSWORD.upper()), ("Eve", PASSWORD), ("", ""), ("A" * 9999, "B" * 9999)],
)
def test_who_is_not_known_is_told_the_same(stack: Stack, alma: str, login: str, password: str) -> None:
    problem = refused(Code.UNAUTHENTICATED, stack.staff.enter, login, password, HERE)
    assert str(problem) == "User name or password is not right. Check both and try again."
    assert [row.action for row in stack.registry.audit()][-1] == Action.USER_REFUSED


def test_an_unknown_login_costs_the_same_work(stack: Stack, alma: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = deed.Argon2id.verify_phc_encoded

    class Watched:
        @staticmethod
        def verify_phc_encoded(material: bytes, phc: str) -> None:
            verified.append(phc.rsplit("$", 2)[0])
            real(material, phc)

    monkeypatch.setattr(deed, "Argon2id", Watched)
    for login in ("Alma", "Eve"):
        refused(Code.UNAUTHENTICATED, stack.staff.enter, login, "wrong", HERE)
    assert len(verified) == 2
    assert verified[0] == verified[1]


def test_after_five_wrong_tries_one_waits_longer_and_longer(stack: Stack, alma: str) -> None:
    for _ in range(5):
        refused(Code.UNAUTHENTICATED, stack.staff.enter, "alma", "wrong", HERE)
    assert refused(Code.WAIT, stack.staff.enter, "alma", PASSWORD, HERE).values == {"seconds": 30}
    assert stack.staff.enter("alma", PASSWORD, "192.0.2.8").user_id == alma, "another place is not affected"
    stack.now.pass_by(30)
    refused(Code.UNAUTHENTICATED, stack.staff.enter, "alma", "wrong", HERE)
    assert refused(Code.WAIT, stack.staff.enter, "alma", PASSWORD, HERE).values == {"seconds": 60}
    stack.now.pass_by(60)
    assert stack.staff.enter("alma", PASSWORD, HERE).user_id == alma
    refused(Code.UNAUTHENTICATED, stack.staff.enter, "alma", "wrong", HERE)


def test_names_and_passwords_are_nowhere_readable(stack: Stack, alma: str) -> None:
    stack.staff.enter("alma", PASSWORD, HERE)
    content = b"".join(path.read_bytes() for path in stack.places.registry.iterdir())
    for word in (b"Alma", b"alma", b"Anker", PASSWORD.encode()):
        assert word not in content


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"login": "alma"}, Code.CONFLICT),
        ({"login": ""}, Code.INVALID),
        ({"login": "two words"}, Code.INVALID),
        ({"login": "x" * 129}, Code.INVALID),
        ({"name": "x" * 129}, Code.INVALID),
        ({"password": "short"}, Code.INVALID),
        ({"password": "x" * 129}, Code.INVALID),
        ({"role": "root"}, Code.INVALID),
    ],
)
def test_a_user_that_makes_no_sense_is_refused(stack: Stack, alma: str, given: dict[str, str], code: Code) -> None:
    refused(code, stack.staff.add, alma, **{"login": "bert", "name": "", "password": PASSWORD, "role": "physician", **given})
    assert len(stack.staff.members()) == 1


def test_a_password_is_changed_by_who_knows_the_old_one(stack: Stack, alma: str) -> None:
    refused(Code.FORBIDDEN, stack.staff.change_password, alma, "wrong", "another good one")
    refused(Code.INVALID, stack.staff.change_password, alma, PASSWORD, "short")
    stack.staff.change_password(alma, PASSWORD, "another good one")
    refused(Code.UNAUTHENTICATED, stack.staff.enter, "alma", PASSWORD, HERE)
    assert stack.staff.enter("alma", "another good one", HERE).user_id == alma


def test_a_member_is_removed_by_somebody_else(stack: Stack, alma: str) -> None:
    refused(Code.CONFLICT, stack.staff.remove, alma, alma)
    boss = stack.staff.add("operator", login="boss", name="", password=PASSWORD, role="admin")
    stack.staff.remove(boss, alma)
    assert stack.staff.member(alma) is None
    refused(Code.NOT_FOUND, stack.staff.remove, boss, alma)
    refused(Code.UNAUTHENTICATED, stack.staff.enter, "alma", PASSWORD, HERE)


def test_what_is_set_of_the_practice_is_kept_and_noted(stack: Stack, alma: str) -> None:
    stack.staff.set_practice(alma, stack.settings, name="Praxis Dr. Muster", privacy="Zeile 1\r\nZeile 2\x00")
    stack.staff.set_practice(alma, stack.settings, phone="030 123")
    assert stack.settings.practice() == Practice(name="Praxis Dr. Muster", privacy="Zeile 1\nZeile 2", phone="030 123")
    assert stack.registry.audit()[-1].detail == '{"fields":["phone"]}'
    refused(Code.INVALID, stack.staff.set_practice, alma, stack.settings, name="x" * 129)
