"""Settings are read strictly: a default, a good value, or one sentence that names the variable."""

import os
from dataclasses import fields
from pathlib import Path

import pytest

from scim_server.config import ConfigError, Settings, create_key, read_settings, server_key, unknown_names
from scim_server.protocol.habits import ALL, HABITS, read_accepted, shown_accepted
from scim_server.smtp import Relay, relay_in

KEY = "k" * 32


@pytest.mark.parametrize(
    ("field", "default"),
    [
        ("data_dir", Path("data")),
        ("database_url", "sqlite:///data/scim.db"),
        ("base_url", "http://127.0.0.1:8080/scim/v2"),
        ("bind", "127.0.0.1:8080"),
        ("workers", 2),
        ("threads", 4),
        ("schema_dir", None),
        ("public_discovery", True),
        ("patch_answer_members", 100),
        ("bulk_max_operations", 300),
        ("bulk_max_payload", 4 * 1024 * 1024),
        ("password_min_length", 8),
        ("purge_after_days", 90),
        ("compatibility", ALL),
        ("smtp_url", None),
        ("mail_from", None),
        ("log_level", "info"),
        ("secret_key", None),
    ],
)
def test_every_setting_has_a_default(field: str, default: object) -> None:
    assert getattr(read_settings({}), field) == default


def test_the_list_of_defaults_above_is_complete() -> None:
    marks = test_every_setting_has_a_default.pytestmark  # type: ignore[attr-defined]
    assert [row[0] for row in marks[0].args[1]] == [field.name for field in fields(Settings)]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DATA_DIR", "/var/lib/scim", Path("/var/lib/scim")),
        ("DATA_DIR", "データ", Path("データ")),
        ("DATABASE_URL", "sqlite:////srv/scim.db", "sqlite:////srv/scim.db"),
        ("DATABASE_URL", "sqlite:///here.db", "sqlite:///here.db"),
        ("BASE_URL", "https://scim.example.com/scim/v2", "https://scim.example.com/scim/v2"),
        ("BASE_URL", "http://[::1]:81/idm/scim/v2", "http://[::1]:81/idm/scim/v2"),
        ("BIND", "0.0.0.0:1", "0.0.0.0:1"),
        ("BIND", "[::1]:65535", "[::1]:65535"),
        ("BIND", "localhost:8080", "localhost:8080"),
        ("WORKERS", "1", 1),
        ("WORKERS", "64", 64),
        ("THREADS", "64", 64),
        ("SCHEMA_DIR", "/", Path("/")),
        ("PUBLIC_DISCOVERY", "true", True),
        ("PUBLIC_DISCOVERY", "false", False),
        ("COMPATIBILITY", "all", ALL),
        ("COMPATIBILITY", "strict", frozenset()),
        ("COMPATIBILITY", "all,-schemas, -empty-text", ALL - {"schemas", "empty-text"}),
        ("COMPATIBILITY", "schemas,operation-case", {"schemas", "operation-case"}),
        ("COMPATIBILITY", "strict,schemas", {"schemas"}),
        ("MAIL_FROM", "noreply@example.com", "noreply@example.com"),
        ("MAIL_FROM", "株式会社　例 <noreply@example.com>", "株式会社　例 <noreply@example.com>"),
        ("LOG_LEVEL", "debug", "debug"),
        ("LOG_LEVEL", "error", "error"),
        ("SECRET_KEY", KEY, KEY),
    ],
)
def test_a_good_value_is_taken(name: str, text: str, value: object) -> None:
    assert getattr(read_settings({f"SCIM_{name}": text}), name.lower()) == value


_WORKERS = "must be a whole number from 1 to 64"
_URL = "must be an http or https URL"
_PLAIN = "must be a plain URL without user, query or fragment"
_DATABASE = "must be sqlite:////absolute/path, sqlite:///relative/path or postgresql://user@host/database"
_BIND = "must be HOST:PORT, such as 127.0.0.1:8080"
_UNREADABLE = "contains a control character or is not UTF-8 text"
_SMTP = "must be smtp://[USER:PASSWORD@]HOST[:PORT][?starttls=off] or smtps://[USER:PASSWORD@]HOST[:PORT]"
_SENDER = 'must be an address, such as noreply@example.com or "Example <noreply@example.com>"'
_HABITS = f"must be all, strict, or names out of {', '.join(habit.name for habit in HABITS)}"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("DATA_DIR", "a\nb", _UNREADABLE),
        ("DATA_DIR", "caf\udce9", _UNREADABLE),
        ("DATABASE_URL", "scim.db", _DATABASE),
        ("DATABASE_URL", "sqlite://scim.db", _DATABASE),
        ("DATABASE_URL", "sqlite:///", _DATABASE),
        ("DATABASE_URL", "sqlite:///:memory:", _DATABASE),
        ("DATABASE_URL", "sqlite:///scim.db?mode=ro", _DATABASE),
        ("DATABASE_URL", "mysql://host/scim", _DATABASE),
        ("BASE_URL", "scim.example.com/scim/v2", _URL),
        ("BASE_URL", "ftp://scim.example.com/scim/v2", _URL),
        ("BASE_URL", "https:///scim/v2", _URL),
        ("BASE_URL", "https://scim.example.com:0/scim/v2", _URL),
        ("BASE_URL", "https://[::1/scim/v2", "is not a URL"),
        ("BASE_URL", "https://scim.example.com:port/scim/v2", "is not a URL"),
        ("BASE_URL", "https://scim.example.com:65536/scim/v2", "is not a URL"),
        ("BASE_URL", "https://scim.example.com", "must end with /scim/v2"),
        ("BASE_URL", "https://scim.example.com/scim/v2/", "must end with /scim/v2"),
        ("BASE_URL", "https://scim.example.com/scim/V2", "must end with /scim/v2"),
        ("BASE_URL", "https://me@scim.example.com/scim/v2", _PLAIN),
        ("BASE_URL", "https://@scim.example.com/scim/v2", _PLAIN),
        ("BASE_URL", "https://scim.example.com/scim/v2?", _PLAIN),
        ("BASE_URL", "https://scim.example.com/?a=/scim/v2", _PLAIN),
        ("BASE_URL", "https://scim.example.com/#/scim/v2", _PLAIN),
        ("BASE_URL", 'https://scim.example.com/"/scim/v2', _PLAIN),
        ("BASE_URL", "https://scim.example.com/\\/scim/v2", _PLAIN),
        ("BASE_URL", "https://scim.example.com/a b/scim/v2", _PLAIN),
        ("BASE_URL", "https://例え.jp/scim/v2", _PLAIN),
        ("COMPATIBILITY", "lenient", _HABITS),
        ("COMPATIBILITY", "-all", _HABITS),
        ("COMPATIBILITY", "all,", _HABITS),
        ("BIND", "8080", _BIND),
        ("BIND", "127.0.0.1", _BIND),
        ("BIND", ":8080", _BIND),
        ("BIND", "127.0.0.1:0", _BIND),
        ("BIND", "127.0.0.1:65536", _BIND),
        ("BIND", "127.0.0.1:٨٠", _BIND),
        ("BIND", "::1:8080", _BIND),
        ("BIND", "unix:/run/scim.sock", _BIND),
        ("WORKERS", "0", _WORKERS),
        ("WORKERS", "65", _WORKERS),
        ("WORKERS", "-1", _WORKERS),
        ("WORKERS", "2.0", _WORKERS),
        ("WORKERS", " 2", _WORKERS),
        ("WORKERS", "٢", _WORKERS),
        ("WORKERS", "9" * 5000, _WORKERS),
        ("THREADS", "many", _WORKERS),
        ("SCHEMA_DIR", "/nowhere", "must name a directory that exists"),
        ("SCHEMA_DIR", __file__, "must name a directory that exists"),
        ("PUBLIC_DISCOVERY", "yes", "must be true or false"),
        ("PUBLIC_DISCOVERY", "True", "must be true or false"),
        ("PUBLIC_DISCOVERY", "1", "must be true or false"),
        ("SMTP_URL", "mail.example.com", _SMTP),
        ("SMTP_URL", "http://mail.example.com", _SMTP),
        ("SMTP_URL", "smtp://", _SMTP),
        ("SMTP_URL", "smtp://mail.example.com:0", _SMTP),
        ("SMTP_URL", "smtp://mail.example.com:65536", _SMTP),
        ("SMTP_URL", "smtp://[::1", _SMTP),
        ("SMTP_URL", "smtp://mail.example.com/path", _SMTP),
        ("SMTP_URL", "smtp://mail.example.com?starttls=required", _SMTP),
        ("SMTP_URL", "smtps://mail.example.com?starttls=off", _SMTP),
        ("SMTP_URL", "smtp://mail..example.com", _SMTP),
        ("SMTP_URL", "smtp://user@mail.example.com", _SMTP),
        ("SMTP_URL", "smtp://user:p#ss@mail.example.com", _SMTP),
        ("SMTP_URL", "smtp://メール.jp", _SMTP),
        (
            "SMTP_URL",
            "smtp://user:%E3%81%82@mail.example.com",
            "must have a user and a password of visible ASCII characters",
        ),
        (
            "SMTP_URL",
            "smtp://user:a%0Db@mail.example.com",
            "must have a user and a password of visible ASCII characters",
        ),
        ("SMTP_URL", "smtp://user:pass@mail.example.com?starttls=off", "must not send a password without TLS"),
        ("MAIL_FROM", "noreply", _SENDER),
        ("MAIL_FROM", "=?utf-8?q?a=0D=0ABcc=3A_b=40x?= <noreply@example.com>", _SENDER),
        ("MAIL_FROM", "例@example.com", _SENDER),
        ("MAIL_FROM", "a@example.com, b@example.com", _SENDER),
        ("MAIL_FROM", "Example <noreply@example.com> and more", _SENDER),
        ("LOG_LEVEL", "INFO", "must be one of debug, info, warning, error"),
        ("LOG_LEVEL", "critical", "must be one of debug, info, warning, error"),
        ("SECRET_KEY", "k" * 31, "must have at least 32 characters"),
        ("SECRET_KEY", "\udcff" * 32, _UNREADABLE),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(name: str, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_settings({f"SCIM_{name}": text})
    assert str(raised.value) == f"SCIM_{name} {problem}."


@pytest.mark.parametrize("field", [field.name for field in fields(Settings)])
@pytest.mark.parametrize("text", ["", " "])
def test_a_variable_that_is_set_but_empty_is_wrong(field: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"^SCIM_{field.upper()} gives no value; set one or remove the variable.$"):
        read_settings({f"SCIM_{field.upper()}": text})


@pytest.mark.parametrize(("name", "value"), [("SECRET_KEY", KEY), ("DATABASE_URL", "sqlite:///from-a-file.db")])
def test_a_secret_may_come_from_a_file(tmp_path: Path, name: str, value: str) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{value}\n")
    assert getattr(read_settings({f"SCIM_{name}_FILE": str(file)}), name.lower()) == value


def test_other_settings_do_not_come_from_files(tmp_path: Path) -> None:
    file = tmp_path / "bind"
    file.write_text("127.0.0.1:9000")
    environment = {"SCIM_BIND_FILE": str(file)}
    assert read_settings(environment).bind == "127.0.0.1:8080"
    assert unknown_names(environment) == ["SCIM_BIND_FILE"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "names a file that cannot be read: No such file or directory."),
        (b"", "gives no value; set one or remove the variable."),
        (b"\n \n", "gives no value; set one or remove the variable."),
        (b"\xff" * 32, "names a file that is not UTF-8 text."),
        (b"k" * 32 + b"\n" + b"k" * 32, "contains a control character or is not UTF-8 text."),
        (b"k" * 32 + b"\0k", "contains a control character or is not UTF-8 text."),
    ],
)
def test_an_unusable_file_is_one_sentence(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_settings({"SCIM_SECRET_KEY_FILE": str(file)})
    assert str(raised.value) == f"SCIM_SECRET_KEY_FILE {problem}"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "gives no value; set one or remove the variable."),
        ("/", "names a file that cannot be read: Is a directory."),
    ],
)
def test_an_unusable_file_name_is_one_sentence(path: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_settings({"SCIM_SECRET_KEY_FILE": path})
    assert str(raised.value) == f"SCIM_SECRET_KEY_FILE {problem}"


def test_a_short_key_in_a_file_is_wrong_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short")
    with pytest.raises(ConfigError) as raised:
        read_settings({"SCIM_SECRET_KEY_FILE": str(file)})
    assert str(raised.value) == "SCIM_SECRET_KEY must have at least 32 characters."


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL"])
def test_a_value_and_a_file_contradict_each_other(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_settings({f"SCIM_{name}": KEY, f"SCIM_{name}_FILE": "/run/secrets/it"})
    assert str(raised.value) == f"SCIM_{name} and SCIM_{name}_FILE are both set; one of them must go."


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("smtp://mail.example.com", Relay("mail.example.com", 587, "starttls", "", "")),
        ("smtp://[::1]:25?starttls=off", Relay("::1", 25, "off", "", "")),
        ("smtps://u%40x:p%3A%2F@mail.example.com", Relay("mail.example.com", 465, "on", "u@x", "p:/")),
        ("smtp://u:secret@mail.example.com:2525/", Relay("mail.example.com", 2525, "starttls", "u", "secret")),
    ],
)
def test_a_mail_server_is_a_url(url: str, read: Relay) -> None:
    settings = read_settings({"SCIM_SMTP_URL": url, "SCIM_MAIL_FROM": "Example <noreply@example.com>"})
    assert settings.smtp_url is not None
    assert relay_in(settings.smtp_url) == read
    assert not read.password or read.password not in repr(read)
    assert settings.mail_domain == "example.com"


def test_a_mail_server_needs_a_sender() -> None:
    with pytest.raises(ConfigError) as raised:
        read_settings({"SCIM_SMTP_URL": "smtp://mail.example.com"})
    assert str(raised.value) == "SCIM_MAIL_FROM must be set with SCIM_SMTP_URL: the address that mail comes from."
    assert read_settings({"SCIM_MAIL_FROM": "noreply@example.com"}).mail_domain is None


def test_the_first_of_two_wrong_values_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^SCIM_\w+ [^.]+\.$"):
        read_settings({"SCIM_WORKERS": "0", "SCIM_LOG_LEVEL": "loud"})


def test_names_that_mean_nothing_are_found() -> None:
    known = {f"SCIM_{field.name.upper()}": "x" for field in fields(Settings)}
    files = {f"SCIM_{name}_FILE": "x" for name in ("SECRET_KEY", "DATABASE_URL", "SMTP_URL")}
    mistyped = {"SCIM_WORKER": "x", "SCIM_Bind": "x", "SCIM_": "x"}
    others = {"SCIMITAR": "x", "PATH": "x", "scim_bind": "x"}
    assert unknown_names(known | files | mistyped | others) == sorted(mistyped)


def test_the_database_stands_in_the_data_directory() -> None:
    assert read_settings({"SCIM_DATA_DIR": "/srv/scim"}).database_url == "sqlite:////srv/scim/scim.db"
    assert read_settings({"SCIM_DATA_DIR": "srv"}).database_url == "sqlite:///srv/scim.db"


@pytest.mark.parametrize(
    ("bind", "base"),
    [
        ("localhost:81", "http://localhost:81/scim/v2"),
        ("0.0.0.0:81", "http://127.0.0.1:81/scim/v2"),
        ("[::]:81", "http://127.0.0.1:81/scim/v2"),
        ("[::1]:81", "http://[::1]:81/scim/v2"),
    ],
)
def test_the_base_url_follows_the_address_that_is_listened_on(bind: str, base: str) -> None:
    assert read_settings({"SCIM_BIND": bind}).base_url == base


@pytest.mark.parametrize(
    ("base", "prefix"),
    [
        ("https://scim.example.com/scim/v2", ""),
        ("https://scim.example.com/idm/scim/v2", "/idm"),
        ("https://scim.example.com/scim/v2/scim/v2", "/scim/v2"),
    ],
)
def test_the_prefix_is_what_stands_before_the_root(base: str, prefix: str) -> None:
    assert read_settings({"SCIM_BASE_URL": base}).prefix == prefix


def test_a_key_is_made_once_and_read_by_its_owner_only(tmp_path: Path) -> None:
    settings = read_settings({"SCIM_DATA_DIR": str(tmp_path)})
    assert create_key(settings)
    key = server_key(settings)
    assert not create_key(settings)
    assert server_key(settings) == key
    assert len(key) == 64
    assert settings.key_file.stat().st_mode & 0o777 == 0o600


def test_a_new_key_and_its_name_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: dict[int, int] = {}
    monkeypatch.setattr("os.fsync", lambda file: synced.update({os.fstat(file).st_ino: os.fstat(file).st_size}))
    settings = read_settings({"SCIM_DATA_DIR": str(tmp_path)})
    create_key(settings)
    assert synced.keys() == {tmp_path.stat().st_ino, settings.key_file.stat().st_ino}
    assert synced[settings.key_file.stat().st_ino] == settings.key_file.stat().st_size


def test_a_key_file_that_was_left_empty_is_filled_and_closed_to_others(tmp_path: Path) -> None:
    settings = read_settings({"SCIM_DATA_DIR": str(tmp_path)})
    settings.key_file.touch(0o644)
    assert create_key(settings)
    assert settings.key_file.stat().st_mode & 0o777 == 0o600


def test_no_key_file_is_made_when_the_key_is_a_setting(tmp_path: Path) -> None:
    settings = read_settings({"SCIM_DATA_DIR": str(tmp_path), "SCIM_SECRET_KEY": KEY})
    assert not create_key(settings)
    assert not settings.key_file.exists()
    assert server_key(settings) == KEY.encode()


@pytest.mark.parametrize("text", ["all", "strict", "all,-schemas", "endpoint-case,schemas", "text-for-number"])
def test_habits_are_shown_as_they_are_written(text: str) -> None:
    assert shown_accepted(read_accepted(text)) == text
