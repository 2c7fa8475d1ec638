"""One frozen configuration, and one error that lists everything wrong with it."""

from dataclasses import fields
from pathlib import Path

import pytest

from appliance.config import PREFIX, SETTINGS, Config, Endpoint, read, require_secrets
from appliance.domain.errors import Problem
from appliance.domain.modalities import parse

# A value for each setting that is not its default, as written and as read.
DISTINCT = {
    "data_dir": ("/d", Path("/d")),
    "key_dir": ("/k", Path("/k")),
    "run_dir": ("/r", Path("/r")),
    "dicom_host": ("127.0.0.2", "127.0.0.2"),
    "dicom_port": ("104", 104),
    "dicom_tls_port": ("2763", 2763),
    "dicom_plain": ("no", False),
    "ae_title": ("PRAXIS 7", "PRAXIS 7"),
    "modalities": ("CT1@10.0.0.5:104,*@10.1.0.0/16", parse("CT1@10.0.0.5:104, *@10.1.0.0/16")),
    "instance_limit": ("2_000_000", 2_000_000),
    "disk_reserve": ("4_000_000", 4_000_000),
    "dicom_workers": ("3", 3),
    "dicom_connections": ("64", 64),
    "dicom_connections_per_peer": ("5", 5),
    "dicom_connections_reserved": ("6", 6),
    "dicom_pdu_limit": ("131072", 131_072),
    "dicom_first_seconds": ("8", 8),
    "dicom_pdu_seconds": ("31", 31),
    "dicom_idle_seconds": ("600", 600),
    "dicom_rate": ("100", 100),
    "storage_commitment": ("yes", True),
    "desk_host": ("127.0.0.3", "127.0.0.3"),
    "desk_port": ("9001", 9001),
    "desk_url": ("https://desk.example/", "https://desk.example"),
    "portal_host": ("::1", "::1"),
    "portal_port": ("9002", 9002),
    "public_url": ("https://bilder.example", "https://bilder.example"),
    "trusted_proxy": ("10.0.0.1", "10.0.0.1"),
    "quiet_seconds": ("7", 7),
    "share_days": ("60", 60),
    "share_days_max": ("61", 61),
    "grace_days": ("3", 3),
    "unshared_days": ("5", 5),
    "language": ("en", "en"),
    "timezone": ("Europe/Vienna", "Europe/Vienna"),
    "upload_limit": ("3000000", 3_000_000),
    "cage_workers": ("3", 3),
    "cage_memory": ("500000000", 500_000_000),
    "cage_seconds": ("9", 9),
    "argon2_memory_kib": ("8192", 8192),
    "clock_seconds": ("11", 11),
    "mirror_url": ("s3://bucket", "s3://bucket"),
    "mirror_endpoint": ("https://s3.example", "https://s3.example"),
    "mirror_region": ("eu-central-1", "eu-central-1"),
    "mirror_access_key": ("access", "access"),
    "mirror_secret_key": ("secret", "secret"),
    "mirror_declared_eu": ("yes", True),
    "rehearse_days": ("104", 104),
    "keyholder_listen": ("[::1]:8443", Endpoint("::1", 8443)),
    "keyholder_address": ("keys.praxis.example:8444", Endpoint("keys.praxis.example", 8444)),
    "key_provider": ("pkcs11", "pkcs11"),
    "key_passphrase": ("a passphrase", "a passphrase"),
    "pkcs11_module": ("/usr/lib/hsm.so", "/usr/lib/hsm.so"),
    "pkcs11_token": ("praxis", "praxis"),
    "pkcs11_key": ("portal", "portal"),
    "pkcs11_pin": ("1234", "1234"),
}


def test_every_setting_lands_where_it_belongs() -> None:
    assert set(DISTINCT) == set(SETTINGS) == {field.name for field in fields(Config)}
    found = read({f"{PREFIX}{name.upper()}": written for name, (written, _) in DISTINCT.items()})
    assert {name: getattr(found, name) for name in SETTINGS} == {name: value for name, (_, value) in DISTINCT.items()}


def test_defaults_are_a_working_configuration() -> None:
    found = read({"PATH": "/bin"})
    assert (found.dicom_port, found.dicom_tls_port, found.desk_port, found.portal_port) == (11112, 2762, 8081, 8080)
    assert found.dicom_plain
    assert found.mirror_url is None
    assert found.rehearse_days == 0


def test_a_secret_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t\n")
    found = read({f"{PREFIX}MIRROR_SECRET_KEY_FILE": str(secret), f"{PREFIX}MIRROR_ACCESS_KEY": "access"})
    assert found.mirror_secret_key == "s3cr3t"
    assert "s3cr3t" not in repr(found)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "bildbrief.conf"
    file.write_text("# the practice's own\nae_title = FILE\nquiet_seconds = 12\n\n")
    found = read({f"{PREFIX}CONFIG": str(file), f"{PREFIX}AE_TITLE": "ENV"})
    assert (found.ae_title, found.quiet_seconds) == ("ENV", 12)


def test_all_problems_are_told_at_once_each_with_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "bildbrief.conf"
    file.write_text("nonsense\n")
    with pytest.raises(Problem) as caught:
        read(
            {
                f"{PREFIX}CONFIG": str(file),
                f"{PREFIX}DICOM_PORT": "eighty",
                f"{PREFIX}AE_TITLE": "FAR TOO LONG FOR AN AE TITLE",
                f"{PREFIX}PUBLIC_URL": "javascript:alert(1)",
                f"{PREFIX}TYPO": "1",
                f"{PREFIX}MIRROR_SECRET_KEY_FILE": str(tmp_path / "absent"),
                f"{PREFIX}MIRROR_DECLARED_EU": "perhaps",
                f"{PREFIX}MIRROR_URL": "ftp://there",
                f"{PREFIX}LANGUAGE": "fr",
                f"{PREFIX}DESK_HOST": "localhost",
                f"{PREFIX}KEYHOLDER_LISTEN": "keys.praxis.example:8443",
                f"{PREFIX}KEYHOLDER_ADDRESS": "keys.praxis.example",
            }
        )
    told = str(caught.value)
    for part in (
        "Line 1",
        "DICOM_PORT",
        "AE_TITLE",
        "PUBLIC_URL",
        "TYPO",
        "MIRROR_SECRET_KEY_FILE",
        "MIRROR_DECLARED_EU",
        "MIRROR_URL",
        "LANGUAGE",
        "DESK_HOST",
        "KEYHOLDER_LISTEN",
        "KEYHOLDER_ADDRESS",
    ):
        assert part in told
    assert told.count("\n") == 12


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"DATA_DIR": "/srv/x", "KEY_DIR": "/srv/x/keys"}, "volume of their own"),
        ({"SHARE_DAYS": "100", "SHARE_DAYS_MAX": "50"}, "SHARE_DAYS"),
        ({"DESK_PORT": "8080"}, "four different ports"),
        ({"DICOM_TLS_PORT": "11112"}, "four different ports"),
        ({"MIRROR_ACCESS_KEY": "a"}, "belong together"),
        ({"MIRROR_URL": "s3://b", "MIRROR_REGION": "us-east-1"}, "know to be in the EU"),
        ({"MIRROR_URL": "s3://b", "MIRROR_ENDPOINT": "https://storage.example"}, "MIRROR_DECLARED_EU"),
    ],
)
def test_contradictions(given: dict[str, str], part: str) -> None:
    with pytest.raises(Problem, match=part):
        read({f"{PREFIX}{name}": value for name, value in given.items()})


@pytest.mark.parametrize(
    "text", ["a", "a:", ":8443", "a:0", "a:70000", "a:b", "https://a:8443", "a:8443/x", "u@a:8443", "[::1:8443", "a b:x"]
)
def test_what_is_no_address_with_a_port(text: str) -> None:
    with pytest.raises(Problem, match="KEYHOLDER_ADDRESS"):
        read({f"{PREFIX}KEYHOLDER_ADDRESS": text})


def test_a_bucket_needs_keys_which_only_some_processes_get() -> None:
    bucket = {f"{PREFIX}MIRROR_URL": "s3://b"}
    with pytest.raises(Problem, match="MIRROR_ACCESS_KEY"):
        require_secrets(read(bucket))
    require_secrets(read(bucket | {f"{PREFIX}MIRROR_ACCESS_KEY": "a", f"{PREFIX}MIRROR_SECRET_KEY": "s"}))


def test_a_percent_sign_in_a_path_breaks_no_message() -> None:
    with pytest.raises(Problem) as caught:
        read({f"{PREFIX}LANGUAGE": "%s%(x)s"})
    assert "LANGUAGE" in str(caught.value)
