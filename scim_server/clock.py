"""What time is it? Instants are UTC text without ``Z``, to the millisecond; they sort as they follow."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_NOT = timedelta(0)


def now(later: timedelta = _NOT) -> str:
    """Return the present instant, or one ``later``, as ``2026-01-31T23:59:59.123``."""
    moment = datetime.now(UTC)
    return text(moment if later is _NOT else moment + later)


def second() -> str:
    """Return the present instant in whole seconds, as ``2026-01-31T23:59:59``."""
    return _second(int(time.time()))


@lru_cache(1)
def _second(since_1970: int) -> str:
    return text(datetime.fromtimestamp(since_1970, UTC))[:19]


def text(moment: datetime) -> str:
    """Return an instant of UTC as text."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00")
