"""What mail is still to be sent? A row for each, written in the transaction that gives the reason for it.

A row names the account and nothing of it; what the mail says is read when it is sent. A row that is sent is deleted.
"""

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scim_server import clock
from scim_server.protocol import template
from scim_server.protocol.address import is_address
from scim_server.storage.database import Database

_AT_ONCE = 100
_ROW = (
    "SELECT o.number, t.name, o.resource_id, o.created, o.tries, o.next_at, o.last_error FROM outbox o"
    " JOIN tenant t ON t.number = o.tenant JOIN resource r ON r.id = o.resource_id"
)


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it is listed; what was given up has no ``next_at``."""

    number: int
    tenant: str
    resource_id: str
    created: str
    tries: int
    next_at: str | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Notice:
    """What a registration notice is made of; ``tries`` counts this one."""

    number: int
    tries: int
    message_id: str
    created: str
    company_name: str
    time_zone: str
    language: str
    account: Mapping[str, Any]


def recipient(account: Mapping[str, Any]) -> str | None:
    """Return the address of an account: its primary one, else that at work, else its userName, else any other."""
    emails = [email for email in account.get("emails", ()) if isinstance(email.get("value"), str)]
    found = [email["value"] for email in emails if email.get("primary") is True]
    found += [email["value"] for email in emails if str(email.get("type")).lower() == "work"]
    found += [account.get("userName", ""), *(email["value"] for email in emails)]
    return next((address for address in found if is_address(address)), None)


def queue(database: Database, tenant: int, domain: str, ids: Iterable[str]) -> None:
    """Queue a notice for accounts by their ids, within the caller's transaction. One statement."""
    now = clock.now()
    database.run_many(
        "INSERT INTO outbox (tenant, resource_id, message_id, created, tries, next_at) VALUES (?, ?, ?, ?, 0, ?)",
        [(tenant, id, f"<{secrets.token_hex(16)}@{domain}>", now, now) for id in ids],
    )


def due(database: Database, after: int) -> list[int]:
    """Return the first numbers after one of what is to be sent now."""
    rows = database.rows(
        "SELECT number FROM outbox WHERE next_at <= ? AND number > ? ORDER BY number LIMIT ?",
        (clock.now(), after, _AT_ONCE),
    )
    return [number for (number,) in rows]


@contextmanager
def claimed(database: Database, number: int) -> Iterator[bool]:
    """Hold a mail for sending, if no other worker does; tell whether. Who is killed holds nothing."""
    with database.claim(hashlib.sha256(b"outbox %d" % number).hexdigest()) as is_ours:
        yield is_ours


def find(database: Database, number: int) -> Notice | None:
    """Return what a claimed mail is made of, or None when it is not due any more or its account is gone."""
    found = database.row(
        "SELECT o.number, o.tries + 1, o.message_id, o.created, t.company_name, t.time_zone, t.language, b.template"
        " FROM outbox o JOIN tenant t ON t.number = o.tenant JOIN resource r ON r.id = o.resource_id"
        " JOIN body b ON b.key = r.key WHERE o.number = ? AND o.next_at <= ?",
        (number, clock.now()),
    )
    if found is None:
        return None
    *known, body = found
    values: list[Any] = [*known, template.stored(body)]
    return Notice(*values)


def note(database: Database, number: int, tries: int, next_at: str | None, error: str | None) -> None:
    """Write down how often a mail was tried, when it is again (None: never), and why."""
    with database.transaction():
        database.run(
            "UPDATE outbox SET tries = ?, next_at = ?, last_error = ? WHERE number = ?",
            (tries, next_at, error, number),
        )


def remove(database: Database, number: int) -> bool:
    """Remove a mail that was sent or is not wanted; tell whether there was one."""
    with database.transaction():
        return database.run("DELETE FROM outbox WHERE number = ?", (number,)) > 0


def remove_orphans(database: Database) -> None:
    """Remove the mail to accounts that were deleted."""
    gone = "NOT EXISTS (SELECT 1 FROM resource r WHERE r.id = outbox.resource_id)"
    if database.row(f"SELECT 1 FROM outbox WHERE {gone} LIMIT 1"):  # noqa: S608 -- constants
        with database.transaction():
            database.run(f"DELETE FROM outbox WHERE {gone}")  # noqa: S608 -- constants


def count_waiting(database: Database) -> int:
    """Return how many mails are to be sent, now or later."""
    found = database.row("SELECT count(*) FROM outbox WHERE next_at IS NOT NULL")
    assert found
    return int(found[0])


def every(database: Database, *, given_up: bool) -> list[Mail]:
    """Return all mail in the order of its creation, or only what was given up."""
    where = " WHERE o.next_at IS NULL" if given_up else ""
    return [Mail(*row) for row in database.rows(f"{_ROW}{where} ORDER BY o.number")]


def retry(database: Database, numbers: Sequence[int]) -> list[int]:
    """Make mail due at once, with all its tries: that with the numbers, or all. Return the numbers."""
    chosen = f" WHERE number IN ({', '.join('?' * len(numbers))})" if numbers else ""
    with database.transaction():
        sql = f"UPDATE outbox SET tries = 0, next_at = ?{chosen} RETURNING number"  # noqa: S608 -- placeholders
        return sorted(number for (number,) in database.rows(sql, (clock.now(), *numbers)))
