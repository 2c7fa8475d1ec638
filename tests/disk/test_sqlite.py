import sqlite3
import threading
from pathlib import Path

import pytest

from appliance.disk.sqlite import Connections, connect, wal_is_safe, write
from appliance.domain.errors import Code, Problem


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 0), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
    ],
)
def test_wal_only_where_the_reset_bug_is_fixed(version: tuple[int, int, int], safe: bool) -> None:
    assert wal_is_safe(version) is safe


def test_pragmas(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.sqlite3")
    values = {name: db.conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("foreign_keys", "secure_delete", "trusted_schema")}
    assert values == {"foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0}
    mode, synchronous = (db.conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous"))
    assert (mode, synchronous) == (("wal", 2) if wal_is_safe(sqlite3.sqlite_version_info) else ("delete", 3))
    db.close()


def test_write_commits_or_leaves_nothing(tmp_path: Path) -> None:
    db = connect(tmp_path / "a.sqlite3")
    with write(db):
        db["t"].insert({"id": 1}, pk="id")
    with pytest.raises(RuntimeError), write(db):
        db["t"].insert({"id": 2})
        raise RuntimeError
    db.close()
    again = connect(tmp_path / "a.sqlite3", read_only=True)
    assert list(again.query("select id from t")) == [{"id": 1}]
    with pytest.raises(sqlite3.OperationalError):
        again.execute("insert into t values (3)")
    again.close()


def test_a_second_writer_waits_and_then_refuses(tmp_path: Path) -> None:
    one, two = connect(tmp_path / "a.sqlite3"), connect(tmp_path / "a.sqlite3", timeout=0.05)
    with write(one), pytest.raises(Problem) as refused, write(two):
        pass
    assert refused.value.code is Code.UNAVAILABLE
    with write(two):
        two.execute("create table t (id integer)")
    one.close()
    two.close()


def test_each_thread_has_its_own_connection_and_writers_queue(tmp_path: Path) -> None:
    connections = Connections(tmp_path / "a.sqlite3", timeout=5)
    with connections.write() as db:
        db.execute("create table counter (n integer)")
        db.execute("insert into counter values (0)")

    def add() -> None:
        for _ in range(5):
            with connections.write() as db:
                (n,) = db.execute("select n from counter").fetchone()
                db.execute("update counter set n = ?", [n + 1])

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert connections.here().execute("select n from counter").fetchone() == (20,)
    assert connections.here() is connections.here()
    connections.close()


def test_a_reader_does_not_see_another_threads_transaction(tmp_path: Path) -> None:
    connections = Connections(tmp_path / "a.sqlite3")
    with connections.write() as db:
        db.execute("create table t (id integer)")
    seen: list[int] = []
    with connections.write() as db:
        db.execute("insert into t values (1)")
        reader = threading.Thread(target=lambda: seen.append(connections.here().execute("select count(*) from t").fetchone()[0]))
        reader.start()
        reader.join()
    assert seen == [0]
    connections.close()


def test_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite3").write_bytes(b"Alice" * 1000)
    with pytest.raises(Problem) as refused:
        connect(tmp_path / "a.sqlite3")
    assert refused.value.code is Code.DAMAGED
    with pytest.raises(Problem) as refused:
        connect(tmp_path / "missing.sqlite3", read_only=True)
    assert refused.value.code is Code.UNAVAILABLE


def test_a_connection_that_met_trouble_is_not_used_again(tmp_path: Path) -> None:
    """Without a descriptor to spare (EMFILE), SQLite opens for reading only, and would stay so."""
    connections = Connections(tmp_path / "a.sqlite3")
    connections.here().conn.execute("CREATE TABLE t (a)")
    connections._open[threading.current_thread()].close()
    connections._open[threading.current_thread()] = connect(tmp_path / "a.sqlite3", read_only=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"), connections.write() as db:
        db.conn.execute("INSERT INTO t VALUES (1)")
    with connections.write() as db:
        db.conn.execute("INSERT INTO t VALUES (1)")
    connections.close()
