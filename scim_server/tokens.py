"""Who calls, for which tenant, and what may they do? (RFC 7644 sections 2 and 7.4)

A token is ``scim_<id>_<secret>``: 62-letter alphabet, 256 random bits, a checksum at its end that
tells a mistyped token from a wrong one without asking the database. Only an HMAC of it is kept.
"""

import hmac
import logging
import re
import secrets
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

from scim_server import clock
from scim_server.protocol.errors import ScimError
from scim_server.protocol.habits import Habit, Habits, named
from scim_server.protocol.registry import Registry
from scim_server.protocol.schema import ResourceType
from scim_server.protocol.text import check_line, folded
from scim_server.protocol.wording import say, together
from scim_server.storage import documents, passwords
from scim_server.storage.database import Busy, Database, Row, SqlError
from scim_server.storage.keys import scope_of
from scim_server.storage.models import Token
from scim_server.tenants import Tenant

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH, _CHECKSUM_LENGTH = 43, 6
_SHAPE = re.compile(
    rf"(scim_([0-9A-Za-z]{{12}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})", re.ASCII
)
_FLUSH_SECONDS = 60
_REMEMBERED = 1024
ADMIN = "admin"
ADMINISTRATORS = "administrators"
"""The scope that may make and change accounts of administrators."""
_FURTHER_SCOPES = ("bulk", "csv", ADMINISTRATORS, ADMIN)

log = logging.getLogger(__name__)


class TokenError(Exception):
    """A token cannot be made or found; the message says why."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller: its credential's id, its tenant, its scopes, the id of its user, if any, its habits, its language."""

    credential: str
    tenant: Tenant
    scopes: frozenset[str]
    user: str | None = None
    habits: Habits = field(default_factory=Habits, compare=False)
    language: str = "en"

    def may(self, scope: str) -> bool:
        """Tell whether the caller holds a scope; ``admin`` implies every other."""
        return scope in self.scopes or ADMIN in self.scopes

    def check(self, *scopes: str) -> None:
        """Refuse a caller who holds none of the scopes. Raises 403."""
        if self.scopes.isdisjoint((ADMIN, *scopes)):
            wanted = together("{first} or {second}", scopes)
            raise ScimError(403, say("The token does not have the scope {scopes}.", scopes=wanted))


def scope_prefix(resource_type: ResourceType) -> str:
    """Return what stands before ":read" and ":write" in the scopes of a resource type."""
    return resource_type.endpoint.strip("/").lower()


def scope_names(registry: Registry) -> list[str]:
    """Return every scope: read and write for each resource type, then the further ones."""
    names = [scope_prefix(resource_type) for resource_type in registry.resource_types.values()]
    return [f"{name}:{action}" for name in names for action in ("read", "write")] + list(_FURTHER_SCOPES)


def default_scopes(registry: Registry) -> list[str]:
    """Return what a token may do when nothing is said: all that provisioning needs."""
    return [name for name in scope_names(registry) if ":" in name or name == "bulk"]


def read_scopes(registry: Registry, given: Iterable[str]) -> list[str]:
    """Return the scopes that were named, ``users:*`` as both of them. Raises TokenError."""
    known = scope_names(registry)
    chosen: list[str] = []
    for scope in given:
        prefix = scope.removesuffix("*") if scope.endswith(":*") else None
        found = [name for name in known if name == scope or (prefix and name.startswith(prefix))]
        if not found:
            raise TokenError(f"There is no scope {scope}; the scopes are {', '.join(known)}.")
        chosen += found
    return list(dict.fromkeys(chosen))


def create(
    database: Database,
    key: bytes,
    tenant: Tenant,
    name: str,
    scopes: Iterable[str],
    days: int,
    user: str | None = None,
) -> str:
    """Create a token that expires after some days and return it; it cannot be read again.

    ``user`` is the id or the userName of a user, who is then at ``/Me``. Raises TokenError when the name is empty, or
    when there is no such user.
    """
    if not check_line(name, "The token's name").strip():
        raise TokenError("The token needs a name.")
    id = _random(12)
    bare = f"scim_{id}_{_random(_SECRET_LENGTH)}"
    token = bare + _checksum(bare)
    bound_to = _user_id(database, tenant, user) if user is not None else None
    with database.transaction():
        Token.insert(
            id=id,
            tenant=tenant.number,
            name=name,
            user_id=bound_to,
            digest=_digest(key, token),
            scopes=" ".join(scopes),
            created=clock.now(),
            expires=clock.now(timedelta(days=days)),
        ).execute(database.peewee)
    return token


def _user_id(database: Database, tenant: Tenant, named: str) -> str:
    check_line(named, "The user")
    scope = scope_of(tenant.number, database.type_numbers(["User"])["User"])
    if documents.get(database, scope, named):
        return named
    account = passwords.account(database, scope, folded(named))
    if account is None:
        raise TokenError(f"The tenant {tenant.name} has no user with this id or userName.")
    return account.id


def every(database: Database, tenant: Tenant | None) -> list[Token]:
    """Return the tokens of a tenant, or all, oldest first."""
    query = Token.select().order_by(Token.created)
    if tenant:
        query = query.where(Token.tenant == tenant.number)
    return list(query.execute(database.peewee))


def find(database: Database, id: str) -> Token:
    """Return a token by its id. Raises TokenError."""
    found = Token.select().where(Token.id == id).execute(database.peewee)
    if not (rows := list(found)):
        raise TokenError(f"There is no token {id}.")
    return cast("Token", rows[0])


def habits_of(database: Database, id: str) -> list[tuple[Habit, int, str]]:
    """Return the habits that a token's requests had, how many had each, and the time of the last, in chain order."""
    rows = database.rows("SELECT name, uses, last_used FROM habit WHERE token = ?", (id,))
    seen = {name: (uses, last_used) for name, uses, last_used in rows}
    return [(habit, *seen[habit.name]) for habit in named(seen)]


def revoke(database: Database, id: str) -> None:
    """Refuse a token from now on. Raises TokenError when there is none with this id."""
    with database.transaction():
        unused = Token.update(revoked=clock.now()).where(Token.id == id, Token.revoked.is_null())
        if not unused.execute(database.peewee):
            raise TokenError(f"There is no token {id} that could be revoked.")


def revoke_own(database: Database, user: str) -> None:
    """Refuse from now on the tokens that are a user's own, by its id, within the caller's transaction."""
    unused = Token.update(revoked=clock.now()).where(Token.user_id == user, Token.revoked.is_null())
    unused.execute(database.peewee)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    letters = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, index = divmod(number, 62)
        letters = _ALPHABET[index] + letters
    return letters


def _digest(key: bytes, token: str) -> str:
    return hmac.digest(key, token.encode(), "sha256").hex()


_KNOWN = (
    "SELECT k.digest, k.scopes, k.expires, k.user_id, t.number, t.name, t.company_name, t.time_zone, t.language,"
    " t.policies FROM token k JOIN tenant t ON t.number = k.tenant LEFT JOIN resource r ON r.id = k.user_id"
    " WHERE k.id = ? AND k.revoked IS NULL"
    " AND (k.user_id IS NULL OR (r.id IS NOT NULL AND coalesce(r.active, '') <> 'false'))"
)
"""A token that is not revoked, with its tenant; that of a user as long as the user exists and is not disabled."""


class _Known(NamedTuple):
    """What the row of a token says."""

    tenant: Tenant
    scopes: frozenset[str]
    user: str | None
    expires: str | None


def _id_in(token: str) -> str:
    """Return the id in a token, or nothing when it is malformed."""
    match = _SHAPE.fullmatch(token)
    return match[2] if match and _checksum(match[1]) == match[3] else ""


def _verified(key: bytes, token: str, row: Row) -> _Known | None:
    """Return what the row of a token says, or None when the token is not the one of the row."""
    digest, scopes, expires, user, number, name, company_name, time_zone, language, policies = row
    if not hmac.compare_digest(digest, _digest(key, token)):
        return None
    tenant = Tenant(number, name, company_name, time_zone, language, frozenset(policies.split()))
    return _Known(tenant, frozenset(scopes.split()), user, expires)


class Authenticator:
    """Turns a presented token into a principal, and remembers when each token was last used and with which habits.

    What it remembers is written once a minute at most.
    """

    def __init__(self, database: Database, key: bytes, accepted: frozenset[str]) -> None:
        self._database = database
        self._key = key
        self._accepted = accepted
        self._seen: dict[str, tuple[str, Row, _Known]] = {}
        """Of tokens that were good their ids, and what their rows said, which are read again for every request."""
        self._used: dict[str, datetime] = {}
        self._habits: Counter[tuple[str, str]] = Counter()
        self._flush_at = 0.0
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def principal(self, token: str, language: str = "en") -> Principal | None:
        """Return who presents a token and reads a language, or None when it is malformed, unknown, expired or revoked.

        That of a user is good as long as the user exists and is not disabled.
        """
        id, before, known = self._seen.get(token) or (_id_in(token), None, None)
        row = self._database.row(_KNOWN, (id,)) if id else None
        if row is None:
            return None
        if row != before:
            known = self._known(id, token, row)
        if not known or (known.expires is not None and known.expires[:19] <= clock.second()):
            return None
        return Principal(id, known.tenant, known.scopes, known.user, Habits(self._accepted), language)

    def _known(self, id: str, token: str, row: Row) -> _Known | None:
        """Return what `_verified` does, and remember it of a good token."""
        known = _verified(self._key, token, row)
        if known:
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[token] = id, row, known
        return known

    def note(self, by: Principal) -> None:
        """Note a request's use of its token and its habits, and see that they are written."""
        with self._lock:
            self._used[by.credential] = datetime.now(UTC)
            if by.habits.used:
                self._habits.update((by.credential, name) for name in by.habits.used)
            wait = self._flush_at - time.monotonic()
            if wait <= 0:
                self._flush_at = time.monotonic() + _FLUSH_SECONDS
            else:
                self._flush_after(wait)
        if wait <= 0:
            self.flush(waits=False)

    def _flush_after(self, seconds: float) -> None:
        """See that what was noted is written even if no request follows."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._flush_apart)
            self._timer.daemon = True
            self._timer.start()

    def _flush_apart(self) -> None:
        with self._lock:
            self._timer = None
            self._flush_at = time.monotonic() + _FLUSH_SECONDS
        self.flush()
        # A thread has a connection of its own.
        self._database.close()

    def flush(self, *, waits: bool = True) -> None:
        """Write what was noted, now or, when it does not wait and another one writes, later."""
        with self._lock:
            used, self._used = self._used, {}
            habits, self._habits = self._habits, Counter()
        if not used:
            return
        times = {id: clock.text(at) for id, at in used.items()}
        try:
            with self._database.transaction(waits=waits):
                self._database.run_many(
                    "UPDATE token SET last_used = ? WHERE id = ? AND coalesce(last_used, '') < ?",
                    [(at, id, at) for id, at in times.items()],
                )
                self._database.run_many(
                    "INSERT INTO habit (token, name, uses, last_used) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (token, name) DO UPDATE SET uses = habit.uses + excluded.uses, last_used ="
                    " CASE WHEN habit.last_used < excluded.last_used THEN excluded.last_used ELSE habit.last_used END",
                    [(id, name, uses, times[id]) for (id, name), uses in habits.items()],
                )
        except SqlError as error:
            with self._lock:
                self._used = used | self._used
                self._habits.update(habits)
                self._flush_after(_FLUSH_SECONDS)
            if not isinstance(error, Busy):
                log.warning("uses of tokens could not be written; they are kept for later")
