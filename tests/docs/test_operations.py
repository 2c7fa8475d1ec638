"""What docs/operations.md, compose.yaml and the Dockerfile say is what the code does."""

import re
from pathlib import Path

import pytest

from appliance.config import PREFIX, SETTINGS
from appliance.disk.places import TABLE, USERS

TOP = Path(__file__).parents[2]
OPERATIONS = (TOP / "docs/operations.md").read_text()

# Fixed by the image, where the ports and volumes of compose.yaml say what the outside sees.
OF_THE_IMAGE = {"data_dir", "key_dir", "run_dir", "dicom_host", "dicom_port", "dicom_tls_port"} | {
    f"{door}_{what}" for door in ("desk", "portal") for what in ("host", "port")
}


def settings_table() -> str:
    rows = ["| setting | default | meaning |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {f'`{one.default}`' if one.default else '–'} | {one.meaning} |" for name, one in SETTINGS.items()]
    return "\n".join(rows)


def places_table() -> str:
    rows = ["| directory | owner | group | owner, group, others may |", "| --- | --- | --- | --- |"]
    for place in TABLE:
        rights = ", ".join(
            "".join(letter for bit, letter in zip((4, 2, 1), "rwx", strict=True) if place.mode >> shift & bit) or "–" for shift in (6, 3, 0)
        )
        rows.append(f"| `{place.name}` | {place.owner} | {place.group} | {rights} |")
    return "\n".join(rows)


@pytest.mark.parametrize(("name", "table"), [("settings", settings_table()), ("places", places_table())])
def test_tables_are_those_of_the_code(name: str, table: str) -> None:
    shown = OPERATIONS.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]
    assert shown == f"{table}\n", f"docs/operations.md should say:\n{table}"


def test_compose_hands_on_every_setting_that_the_image_does_not_fix() -> None:
    handed = set(re.findall(rf"^      {PREFIX}(\w+):", (TOP / "compose.yaml").read_text(), re.MULTILINE))
    assert {name.lower() for name in handed} - {"site"} == set(SETTINGS) - OF_THE_IMAGE


def test_the_image_has_the_users_of_the_table() -> None:
    users = dict(re.findall(r"(\w+):(80\d)", (TOP / "Dockerfile").read_text()))
    assert {name: int(uid) for name, uid in users.items()} == {name: user.uid for name, user in USERS.items()}


def test_every_command_named_exists() -> None:
    from appliance.cli import main  # everything the appliance has hangs on it

    named = re.findall(r"`bildbrief ([a-z]+)(?: ([a-z][a-z-]+))?[^`]*`", OPERATIONS)
    assert named
    for word, second in named:
        command = main.commands[word]
        if second:
            assert second in command.commands, f"{word} {second}"  # type: ignore[attr-defined]
