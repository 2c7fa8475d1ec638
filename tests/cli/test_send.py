"""`bildbrief study send`, as an operator types it."""

import json
import subprocess
import sys
from pathlib import Path

from nodes import free_port, storescp
from stack import Stack


def types(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    places = stack.places
    roots = {"DATA_DIR": places.data, "KEY_DIR": places.keys, "RUN_DIR": places.run, "AE_TITLE": "PRAXIS"}
    return subprocess.run(
        [sys.executable, "-m", "appliance", "study", "send", *words],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **{f"BILDBRIEF_{name}": str(of) for name, of in roots.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_is_sent_and_told(stack: Stack, tmp_path: Path) -> None:
    study_id = stack.put_study("Muster^Alice")
    with storescp(tmp_path / "pacs") as node:
        said = types(stack, study_id, str(node))
        assert (said.returncode, said.stdout) == (0, f"3 of 3 images sent to {node}\n")
        content = json.loads(types(stack, "--json", study_id, str(node)).stdout)
    assert content["sent"] == 3
    assert {(image["result"], image["status"]) for image in content["images"]} == {("sent", "0000H")}
    assert len([*(tmp_path / "pacs").iterdir()]) == 3
    actors = {row.actor for row in stack.registry.audit(study_id=study_id) if row.action.startswith("sending")}
    assert actors == {"operator"}


def test_why_not(stack: Stack) -> None:
    study_id = stack.put_study("Muster^Alice")
    said = types(stack, study_id, f"PACS@127.0.0.1:{free_port()}")
    assert said.returncode == 1
    assert "0 of 3 images sent" in said.stdout
    assert "3 lost: Nobody answers at this address." in said.stdout
    assert "AE@HOST:PORT" in types(stack, study_id, "pacs").stderr
    assert types(stack, study_id, "pacs").returncode == 2
    assert types(stack, "0" * 32, "PACS@127.0.0.1:1").returncode == 4
