"""What a thief of one part holds: the data, the keys, or the inside of the process that faces the internet. Each alone opens nothing."""

import os
import re
import shutil
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from canary import hits, spellings
from modality import Modality, small_study
from reader import Reader
from running import Running, running, until

from appliance.domain.errors import Problem
from appliance.keyholder.client import Keyholder

pytestmark = pytest.mark.e2e

NAME = "Kanarienvogel^Alwine"
NUMBER = "KANARI-4711"


@dataclass(frozen=True)
class Practice:
    """A running appliance with one study and one letter. `keys`: what must be nowhere but with the keyholder, by name."""

    box: Running
    study: str
    code: str
    password: str
    keys: dict[str, bytes]


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    directory = tmp_path_factory.mktemp("separation")
    files = small_study(directory / "sent", 5, patient=NAME, patient_id=NUMBER, seed=11)
    with running(directory / "box") as box:
        Modality(box.dicom).send(files)
        (study,) = box.wait_complete(1)
        share = box.cli("share", "create", study["study"])
        yield Practice(box, study["study"], share["code"], share["password"], raw_keys(box, study["study"]))


def fresh(box: Running, name: str) -> int:
    """A process that has just started in place of the one before; its number."""
    before = box.health()[name]["pid"]
    box.kill(name)

    def again() -> bool:
        now = box.health()[name]
        return bool(now["state"] == "up" and now["pid"] != before)

    until(again, f"{name} is up again")
    return int(box.health()[name]["pid"])


def raw_keys(box: Running, study: str) -> dict[str, bytes]:
    """As the desk may ask for them, and as the key directory holds them."""
    asked = Keyholder(box.directory / "run/keyholder/desk.sock")
    study_key, desk_key = asked.study_keys([study])[study], asked.desk_key()
    asked.close()
    assert study_key is not None
    return {"study key": study_key, "desk key": desk_key, "master key": (box.keys / "master.key").read_bytes()}


def written(key: bytes) -> set[bytes]:
    """The ways in which a key could lie about."""
    return {key, key.hex().encode(), key.hex().upper().encode(), b64encode(key)[:42], urlsafe_b64encode(key)[:42]}


def test_the_data_alone_opens_nothing(practice: Practice, tmp_path: Path) -> None:
    """Nor does it with all of our code at hand, and a key directory of the thief's own."""
    box = practice.box
    assert hits([box.data], {name: written(key) for name, key in practice.keys.items()}) == []
    personal = {"name": spellings(NAME) | spellings("Kanarienvogel"), "number": spellings(NUMBER), "code": spellings(practice.code)}
    assert hits([box.data], personal) == []

    stolen = Running(tmp_path / "thief")
    with box.still():
        shutil.copytree(box.data, stolen.data, symlinks=True)
    with stolen.on():
        # Keys beside data that are not theirs first learn from the clock what was deleted, as restored ones do, and answer nobody else.
        checked = until(lambda: (done := stolen.cli_raw("check", "--json")).returncode != 75 and done, "the keys answer", 60)
        assert checked.returncode == 1
        assert '"objects": 0' in checked.stdout
        assert "Kanarienvogel" not in stolen.cli_raw("study", "list").stdout
        right = Reader(stolen.portal).open(practice.code, practice.password)
        other = Reader(stolen.portal).open("0" * 18, practice.password)
        assert right.status == other.status == 403
        assert len(right.body) == len(other.body)


def test_the_keys_alone_know_no_patient(practice: Practice, tmp_path: Path) -> None:
    box = practice.box
    personal = {
        "name": spellings(NAME) | spellings("Kanarienvogel"),
        "number": spellings(NUMBER),
        "birth date": spellings("19480229") | spellings("1948-02-29"),
        "code": spellings(practice.code),
        "password": spellings(practice.password),
    }
    assert hits([box.keys], personal) == []
    stolen = Running(tmp_path / "thief")
    shutil.copytree(box.keys, stolen.keys)
    with stolen.on():
        assert stolen.studies() == []
        # Its ring does know code and password; but there is nothing that they open.
        assert Reader(stolen.portal).open(practice.code, practice.password).status == 403


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root may read another process's memory.")
def test_the_portal_has_nothing_until_somebody_types_the_password(practice: Practice) -> None:
    box = practice.box
    portal = fresh(box, "portal")  # one that cannot remember what another test opened
    reader = Reader(box.portal)
    assert reader.get("/").status == 200
    assert reader.get(f"/s/{practice.code}").status == 200
    assert reader.open(practice.code, "WRONG WRONG").status == 403

    wanted = practice.keys | {"password": practice.password.replace("-", "").encode()}
    assert inside(portal, wanted) == set()
    assert hits([Path(f"/proc/{portal}/environ")], {name: written(key) for name, key in wanted.items()}) == []
    held = [link.readlink() for link in Path(f"/proc/{portal}/fd").iterdir() if link.exists()]
    assert [path for path in held if path.is_relative_to(box.keys)] == []

    with closing(Keyholder(box.directory / "run/keyholder/portal.sock")) as asked:
        for ask in (
            asked.desk_key,
            asked.uid_key,
            partial(asked.study_keys, [practice.study]),
            partial(asked.create_study_key, practice.study),
        ):
            with pytest.raises(Problem, match="does not answer this to this process"):
                ask()

    assert reader.open(practice.code, practice.password).status == 303
    # Which also shows that looking finds what is there. Other keys than that of the reader's own study never come here.
    assert inside(portal, practice.keys) == {"study key"}


def inside(process: int, wanted: dict[str, bytes]) -> set[str]:
    """Which of these bytes a process has anywhere in its memory."""
    found: set[str] = set()
    maps = Path(f"/proc/{process}/maps").read_text()
    with Path(f"/proc/{process}/mem").open("rb", buffering=0) as memory:
        for start, end in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) rw", maps, re.MULTILINE):
            memory.seek(int(start, 16))
            try:
                content = memory.read(int(end, 16) - int(start, 16))
            except OSError:  # the kernel's own pages
                continue
            found |= {name for name, key in wanted.items() if key in content}
    return found
