import threading

from appliance.vault.argon2 import argon2id


def test_rfc_9106_vector() -> None:
    """RFC 9106, 5.3."""
    derived = argon2id(b"\x01" * 32, salt=b"\x02" * 16, memory_kib=32, passes=3, lanes=4, length=32, secret=b"\x03" * 8, ad=b"\x04" * 12)
    assert derived.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"


def test_many_threads_at_once_all_get_an_answer() -> None:
    """OpenSSL alone can wait for itself for ever here."""
    answers: list[bytes] = []

    def derive() -> None:
        for _ in range(8):
            answers.append(argon2id(b"Alice", salt=b"s" * 16, memory_kib=8192, passes=3, lanes=4))  # noqa: PERF401

    threads = [threading.Thread(target=derive, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 32
    assert len(set(answers)) == 1
