"""docs/keyholder.md shows the calls as they are."""

from pathlib import Path

from appliance.keyholder.calls import CALLS, ROLES

KEYHOLDER = (Path(__file__).parents[2] / "docs/keyholder.md").read_text()


def calls_table() -> str:
    rows = [f"| call | {' | '.join(ROLES)} | takes | gives | what |", f"| --- |{' :-: |' * len(ROLES)} --- | --- | --- |"]
    for name, call in CALLS.items():
        may = " | ".join("✓" if role in call.roles else "" for role in ROLES)
        takes, gives = (f"`{kind.name}`" if kind.name not in ("{}", "null") else "–" for kind in (call.takes, call.gives))
        rows.append(f"| `{name}` | {may} | {takes} | {gives} | {call.what} |")
    return "\n".join(rows)


def test_the_table_is_that_of_the_code() -> None:
    shown = KEYHOLDER.partition("<!-- calls -->\n")[2].partition("<!-- /calls -->")[0]
    assert shown == f"{calls_table()}\n", f"docs/keyholder.md should say:\n{calls_table()}"
