"""The commands for keys as an operator types them, in a process of their own, beside a keyholder that runs or does not."""

import json
from pathlib import Path

import pypdfium2
from console import Operator

from appliance.cli.keys_told import status_told
from appliance.domain.share import DAY


def test_the_first_keys(operator: Operator) -> None:
    operator.stack.stop_keyholder()
    for path in [path for path in operator.keys.iterdir() if path.is_file()]:
        path.unlink()
    told = operator.types("init").decode()
    assert "recovery-shares" in told
    assert "keys backup" in told
    assert sorted(path.name for path in operator.keys.iterdir() if path.is_file()) == ["master.key", "ring.sqlite3"]
    assert "already" in operator.types("init", status=5).decode()


def test_backup_verify_and_restore_while_it_runs_and_stopped(operator: Operator) -> None:
    stack = operator.stack
    _, given = stack.share(stack.put_study())
    told = operator.types("backup", str(operator.root)).decode()
    assert "master key is NOT in it" in told
    (file,) = operator.root.glob("bildbrief-ring-*.sqlite3")
    verified = json.loads(operator.types("verify-backup", str(file), "--json"))
    assert (verified["studies"], verified["shares"]) == (1, 1)
    assert "Every key in the backup opens." in operator.types("verify-backup", str(file)).decode()
    assert "Stop it first" in operator.types("restore", str(file), status=5).decode()
    stack.stop_keyholder()
    assert "Now start the appliance" in operator.types("restore", str(file)).decode()
    stack.start_keyholder()
    assert "NOT READY YET" in operator.types("status").decode()
    stack.keyholder("clock").rebury_done()
    assert stack.keyholder("desk").share_code(stack.registry.shares()[0].share_id) == given.code


def test_a_backup_goes_through_a_pipe_and_comes_back(operator: Operator) -> None:
    content = operator.types("backup", "-")
    assert content.startswith(b"SQLite format 3\0")
    assert json.loads(operator.types("status", "--json"))["last_backup_at"]
    assert b"Every key" in operator.types("verify-backup", "-", stdin=content)
    assert b"damaged" in operator.types("verify-backup", "-", stdin=content[:5000], status=1)
    operator.stack.stop_keyholder()
    assert b"restored" in operator.types("restore", "-", stdin=content)
    operator.stack.start_keyholder()


def test_the_master_key_comes_back_from_words_on_paper(operator: Operator) -> None:
    stack = operator.stack
    key = (operator.keys / "master.key").read_bytes()
    shares = [
        line.strip() for line in operator.types("recovery-shares", "2-of-3", "--words").decode().splitlines() if line.startswith("  ")
    ]
    other = [line.strip() for line in operator.types("recovery-shares", "2-of-3", "--words").decode().splitlines() if line.startswith("  ")]
    assert len(shares) == 3
    assert b"Stop it first" in operator.types("recover", status=5)
    stack.stop_keyholder()
    assert b"already" in operator.types("recover", status=5)
    (operator.keys / "master.key").unlink()
    words = shares[2].split()
    wrong = " ".join((*words[:4], "wrongword", *words[5:]))
    short = " ".join(word[:4].upper() for word in words)
    told = operator.types("recover", stdin="\n".join((shares[0], wrong, shares[0], other[1], short)).encode() + b"\n")
    assert b"The master key is back. Now start the appliance." in told
    assert (operator.keys / "master.key").read_bytes() == key
    assert (operator.keys / "master.key").stat().st_mode & 0o777 == 0o400
    stack.start_keyholder()


def test_a_key_that_does_not_fit_is_not_written(operator: Operator, tmp_path: Path) -> None:
    from appliance.keyholder.recovery import split

    operator.stack.stop_keyholder()
    (operator.keys / "master.key").rename(tmp_path / "aside")
    lines = "\n".join(" ".join(sheet.words) for sheet in split(bytes(range(32)), "2-of-2")).encode() + b"\n"
    assert b"another master key" in operator.types("recover", stdin=lines, status=5)
    assert not (operator.keys / "master.key").exists()
    assert operator.types("recover", stdin=lines.splitlines()[0] + b"\n", status=1)
    assert not (operator.keys / "master.key").exists()
    (tmp_path / "aside").rename(operator.keys / "master.key")
    operator.stack.start_keyholder()


def test_sheets_to_print_hold_the_words_one_share_a_page(operator: Operator, pictures: Path) -> None:
    for language, title in (("de", "Teil 2 von 3"), ("en", "share 2 of 3")):
        file = operator.root / f"{language}.pdf"
        operator.types("recovery-shares", "2-of-3", str(file), "--language", language)
        document = pypdfium2.PdfDocument(file)
        assert len(document) == 3
        pages = [page.get_textpage().get_text_range() for page in document]
        assert title in pages[1]
        words = [{word for word in page.split() if word.isascii() and word.islower()} for page in pages]
        assert len(words[0] - words[1]) > 20, "each page has words of its own"
        document[0].render(scale=100 / 72).to_pil().save(pictures / f"recovery-sheet-{language}.png")
    assert json.loads(operator.types("status", "--json"))["recovery_shares_at"]
    assert b"like 2-of-3" in operator.types("recovery-shares", "3", "--words", status=2)
    assert b"Name the file" in operator.types("recovery-shares", "2-of-3", status=2)


def test_status_says_what_to_do(operator: Operator) -> None:
    told = operator.types("status").decode()
    assert "never backed up. Do it now" in told
    assert "NEVER made" in told
    operator.types("backup", str(operator.root / "first"))
    assert "WARNING" not in operator.types("status").decode()
    operator.stack.put_study()
    told = operator.types("status").decode()
    assert "first; changes since: 1" in told
    assert "WARNING: the last backup is older than the newest keys, shares and passwords (1 in all)." in told


def test_status_tells_ages_in_days_and_an_outdated_set_of_shares(operator: Operator) -> None:
    now = operator.stack.now()
    status = operator.stack.keyholder("desk").status()
    told = status_told(
        status
        | {"last_backup_at": now - 3 * DAY, "recovery_shares_at": now - DAY, "master_made_at": now - 3600, "newest_intake_key": 7200},
        now,
    )
    assert "(3 days ago)" in told
    assert "BEFORE this one: make new ones" in told
    assert "the newest 2 hours old" in told


def test_without_a_keyholder(operator: Operator) -> None:
    operator.stack.stop_keyholder()
    assert b"does not answer" in operator.types("status", status=75)
    operator.types("backup", str(operator.root / "stopped"))
    operator.stack.start_keyholder()
