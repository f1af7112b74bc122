"""What time is it? Instants are UTC text without ``Z``, to the millisecond; they sort as they follow."""

from datetime import UTC, datetime, timedelta

_NOT = timedelta(0)


def now(later: timedelta = _NOT) -> str:
    """Return the present instant, or one ``later``, as ``2026-01-31T23:59:59.123``."""
    moment = datetime.now(UTC)
    return text(moment if later is _NOT else moment + later)


def text(moment: datetime) -> str:
    """Return an instant of UTC as text."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00")
