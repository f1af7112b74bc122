"""Who sends the mail in the outbox? Any number of workers, each one message after the other.

A try is written down before it is made: whatever ends a worker, even a full disk, the message in its hands is repeated
no sooner than any other that failed. The database is not locked while the mail server talks.
"""

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address

from scim_server import clock, notice, outbox
from scim_server.smtp import Connection, Postponed, Refused, Relay, Unreachable
from scim_server.storage.database import Database, Unavailable

MOST_TRIES = 40
"""After these, in four to five days, a message is given up; see `_pause`."""
_FIRST, _LONGEST = timedelta(minutes=1), timedelta(hours=4)
_LOOKS = 1.0
"""Seconds between two looks into the outbox."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What became of the messages that were tried."""

    sent: int = 0
    postponed: int = 0
    given_up: int = 0


class Worker:
    """Sends what is due through a mail server, in the name of a sender, until it ``is_ending``."""

    def __init__(
        self, database: Database, relay: Relay, sender: Address, is_ending: Callable[[], bool] = lambda: False
    ) -> None:
        self.database = database
        self.sender = sender
        self.is_ending = is_ending
        self.counts = Counts()
        self._relay = relay

    def send(self) -> None:
        """Try everything that is due, once. Raises Unreachable when the mail server cannot be used."""
        last = 0
        outbox.remove_orphans(self.database)
        with closing(Connection(self._relay)) as connection:
            while numbers := outbox.due(self.database, last):
                for last in numbers:
                    if self.is_ending():
                        return
                    with outbox.claimed(self.database, last) as is_ours:
                        if is_ours:
                            self._try(connection, last)

    def watch(self) -> None:
        """Send what is due and what becomes due. While mail server or database are away, nothing is counted a try."""
        failures = 0
        while not self.is_ending():
            try:
                self.send()
                failures = 0
            except (Unreachable, Unavailable) as reason:
                failures += 1
                _log.warning("%s", reason)
            self._sleep(min(300.0, 5.0 * (1 << min(failures - 1, 6))) * _jitter() if failures else _LOOKS)

    def _sleep(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not self.is_ending() and (rest := ends - time.monotonic()) > 0:
            time.sleep(min(rest, _LOOKS))

    def _try(self, connection: Connection, number: int) -> None:
        """Send one message, which this worker has claimed."""
        found = outbox.find(self.database, number)
        if found is None:
            return
        to = outbox.recipient(found.account)
        if to is None:
            self._give_up(found, "the account has no address")
            return
        connection.open()
        outbox.note(self.database, number, found.tries, clock.now(_pause(found.tries)), "the try was not finished")
        try:
            connection.send(notice.compose(found, to, self.sender), self.sender.addr_spec, to)
        except Refused as reason:
            self._give_up(found, str(reason))
        except Postponed as reason:
            self._postpone(found, str(reason))
        except Unreachable:
            outbox.note(
                self.database, number, found.tries - 1, clock.now(_pause(found.tries)), "the sender was refused"
            )
            raise
        except Exception as error:  # noqa: BLE001 -- whatever one message causes, the others are sent
            self._give_up(found, f"it cannot be written, {type(error).__name__}")
        else:
            outbox.remove(self.database, number)
            self.counts.sent += 1
            _log.info("notice %d sent", number)

    def _postpone(self, found: outbox.Notice, reason: str) -> None:
        if found.tries >= MOST_TRIES:
            self._give_up(found, reason)
            return
        outbox.note(self.database, found.number, found.tries, clock.now(_pause(found.tries)), reason)
        self.counts.postponed += 1
        _log.warning("notice %d postponed: %s", found.number, reason)

    def _give_up(self, found: outbox.Notice, reason: str) -> None:
        outbox.note(self.database, found.number, found.tries, None, reason)
        self.counts.given_up += 1
        _log.error("notice %d given up: %s", found.number, reason)


def _pause(tries: int) -> timedelta:
    """Return how long a message waits after a try: a minute, then twice as long each time, at most four hours."""
    return min(_LONGEST, _FIRST * (1 << min(tries - 1, 8))) * _jitter()


def _jitter() -> float:
    """Return a factor from 0.75 to 1, so that what failed together does not come again together."""
    return 0.75 + secrets.randbelow(1001) / 4000
