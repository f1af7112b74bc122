"""Which settings are in effect? ``SCIM_*`` environment variables, read strictly, and nothing else."""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError
from marshmallow import fields as kinds

from scim_server.protocol.habits import ALL, read_accepted
from scim_server.protocol.limits import GROUP_MEMBERS
from scim_server.smtp import relay_in, sender_in
from scim_server.storage.database import DatabaseError
from scim_server.storage.opening import check_url
from scim_server.storage.sqlite import create_private

SCIM_ROOT = "/scim/v2"
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_PLAIN_URL = re.compile(r"[A-Za-z0-9:/\[\]._~%!$&()*+,;=-]+")
_BIND = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})", re.ASCII)
_LAST_PORT = 65535
_KEY_BYTES = 32


class ConfigError(Exception):
    """A setting has an unusable value; the message is one sentence that names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The effective settings; every field is one ``SCIM_`` variable of the same name."""

    data_dir: Path
    database_url: str
    base_url: str
    bind: str
    workers: int
    threads: int
    schema_dir: Path | None
    public_discovery: bool
    patch_answer_members: int
    bulk_max_operations: int
    bulk_max_payload: int
    password_min_length: int
    purge_after_days: int
    compatibility: frozenset[str]
    smtp_url: str | None
    mail_from: str | None
    log_level: str
    secret_key: str | None

    @property
    def prefix(self) -> str:
        """Return what stands before ``/scim/v2`` in the path of the public URL."""
        return urlsplit(self.base_url).path.removesuffix(SCIM_ROOT)

    @property
    def mail_domain(self) -> str | None:
        """Return the domain that mail comes from, or None when none is sent."""
        return sender_in(self.mail_from).domain if self.smtp_url and self.mail_from else None

    @property
    def key_file(self) -> Path:
        return self.data_dir / "secret.key"


SECRETS = frozenset({"secret_key", "smtp_url"})
"""Settings that may also be given as ``SCIM_…_FILE`` and are never shown."""
_FROM_FILE = SECRETS | {"database_url"}


class _Text(kinds.Field[str]):
    """A non-empty string that a pattern or a function accepts."""

    def __init__(self, check: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.check = check

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> str:
        if problem := self.check(value) if self.check else None:
            raise ValidationError(problem)
        return str(value)


def _check_base_url(value: str) -> str | None:
    try:
        url = urlsplit(value)
        port_is_fine = url.port is None or url.port > 0
    except ValueError:
        return "is not a URL"
    if url.scheme not in ("http", "https") or not url.hostname or not port_is_fine:
        return "must be an http or https URL"
    if not _PLAIN_URL.fullmatch(value):
        return "must be a plain URL without user, query or fragment"
    if "%" in url.path or "//" in url.path:
        return "must have a path without % and //"
    return None if url.path.endswith(SCIM_ROOT) else f"must end with {SCIM_ROOT}"


def _check_bind(value: str) -> str | None:
    match = _BIND.fullmatch(value)
    return None if match and 0 < int(match[2]) <= _LAST_PORT else "must be HOST:PORT, such as 127.0.0.1:8080"


def _check_database(value: str) -> str | None:
    try:
        check_url(value)
    except DatabaseError as error:
        return str(error).removeprefix("The database URL ").removesuffix(".")
    return None


def _check_directory(value: str) -> str | None:
    return None if Path(value).is_dir() else "must name a directory that exists"


def _check_key(value: str) -> str | None:
    return None if len(value) >= _KEY_BYTES else f"must have at least {_KEY_BYTES} characters"


def _check_smtp(value: str) -> str | None:
    return _problem(relay_in, value)


def _check_sender(value: str) -> str | None:
    return _problem(sender_in, value)


def _problem(read: Callable[[str], object], value: str) -> str | None:
    try:
        read(value)
    except ValueError as problem:
        return str(problem)
    return None


def _check_level(value: str) -> str | None:
    levels = ("debug", "info", "warning", "error")
    return None if value in levels else f"must be one of {', '.join(levels)}"


class _Number(kinds.Field[int]):
    def __init__(self, low: int, high: int, **options: Any) -> None:
        super().__init__(**options)
        self.low, self.high = low, high

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not self.low <= int(value) <= self.high:
            raise ValidationError(f"must be a whole number from {self.low} to {self.high}")
        return int(value)


class _Switch(kinds.Field[bool]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if value not in ("true", "false"):
            raise ValidationError("must be true or false")
        return bool(value == "true")


class _Habits(kinds.Field[frozenset[str]]):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> frozenset[str]:
        try:
            return read_accepted(value)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None


class _Environment(Schema):
    class Meta:
        unknown = EXCLUDE

    data_dir = _Text(load_default="./data")
    database_url = _Text(_check_database, load_default=None)
    base_url = _Text(_check_base_url, load_default=None)
    bind = _Text(_check_bind, load_default="127.0.0.1:8080")
    workers = _Number(1, 64, load_default=2)
    threads = _Number(1, 64, load_default=4)
    schema_dir = _Text(_check_directory, load_default=None)
    public_discovery = _Switch(load_default=True)
    patch_answer_members = _Number(0, GROUP_MEMBERS, load_default=100)
    bulk_max_operations = _Number(1, 10_000, load_default=300)
    bulk_max_payload = _Number(1024, 16 * 1024 * 1024, load_default=4 * 1024 * 1024)
    password_min_length = _Number(1, 128, load_default=8)
    purge_after_days = _Number(0, 36_500, load_default=90)
    compatibility = _Habits(load_default=ALL)
    smtp_url = _Text(_check_smtp, load_default=None)
    mail_from = _Text(_check_sender, load_default=None)
    log_level = _Text(_check_level, load_default="info")
    secret_key = _Text(_check_key, load_default=None)


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings that the environment describes. Raises ConfigError for the first wrong value.

    A variable that is set but empty counts as wrong: it is a mistake more often than a wish.
    """
    given: dict[str, str] = {}
    for field in fields(Settings):
        value = _value(environ, field.name)
        if value is not None:
            given[field.name] = value
    try:
        loaded: dict[str, Any] = _Environment().load(given)
    except ValidationError as error:
        name, problems = next(iter(error.normalized_messages().items()))
        raise ConfigError(f"SCIM_{name.upper()} {problems[0]}.") from None
    if loaded["smtp_url"] and not loaded["mail_from"]:
        raise ConfigError("SCIM_MAIL_FROM must be set with SCIM_SMTP_URL: the address that mail comes from.")
    data_dir = Path(loaded["data_dir"])
    loaded["data_dir"] = data_dir
    loaded["schema_dir"] = Path(loaded["schema_dir"]) if loaded["schema_dir"] else None
    loaded["database_url"] = loaded["database_url"] or f"sqlite:///{data_dir / 'scim.db'}"
    loaded["base_url"] = loaded["base_url"] or f"http://{_reachable(loaded['bind'])}{SCIM_ROOT}"
    return Settings(**loaded)


def _value(environ: Mapping[str, str], field: str) -> str | None:
    name = f"SCIM_{field.upper()}"
    value = environ.get(name)
    if field in _FROM_FILE and f"{name}_FILE" in environ:
        if value is not None:
            raise ConfigError(f"{name} and {name}_FILE are both set; one of them must go.")
        name = f"{name}_FILE"
        value = _content(name, environ[name])
    if value is None:
        return None
    if not value.strip():
        raise ConfigError(f"{name} gives no value; set one or remove the variable.")
    if _CONTROL.search(value):
        raise ConfigError(f"{name} contains a control character or is not UTF-8 text.")
    return value


def _content(name: str, path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{name} names a file that cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name} names a file that is not UTF-8 text.") from None


def _reachable(bind: str) -> str:
    """Return an address that a client on this machine can use for a bind address."""
    host, _, port = bind.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else bind  # noqa: S104


def unknown_names(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the ``SCIM_*`` variables that mean nothing, probably mistyped."""
    known = {f"SCIM_{field.name.upper()}" for field in fields(Settings)}
    known |= {f"SCIM_{name.upper()}_FILE" for name in _FROM_FILE}
    return sorted(name for name in environ if name.startswith("SCIM_") and name not in known)


def create_key(settings: Settings) -> bool:
    """Create the server's key file, readable by its owner only, unless there is a key. Return whether."""
    if settings.secret_key:
        return False
    if settings.key_file.exists() and settings.key_file.stat().st_size:
        # A copy may have come with wider rights.
        settings.key_file.chmod(0o600)
        return False
    create_private(settings.key_file)
    settings.key_file.chmod(0o600)
    with settings.key_file.open("w", encoding="ascii") as file:
        file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        file.flush()
        # Tokens are on the disk when they are shown; without the key they would be worth nothing after a power cut.
        os.fsync(file.fileno())
    return True


def server_key(settings: Settings) -> bytes:
    """Return the key that tokens are hashed with. Raises ConfigError when there is none."""
    if settings.secret_key:
        return settings.secret_key.encode()
    try:
        key = settings.key_file.read_bytes().strip()
    except OSError:
        raise ConfigError(f"There is no key file {settings.key_file}; run scim-server init.") from None
    if len(key) < _KEY_BYTES:
        raise ConfigError(f"The key file {settings.key_file} is damaged: restore it, or remove it and make new tokens.")
    return key
