"""What time is it? Instants are UTC text without ``Z``, to the millisecond; they sort as they follow."""

from datetime import UTC, datetime, timedelta


def now(later: timedelta = timedelta(0)) -> str:
    """Return the present instant, or one ``later``, as ``2026-01-31T23:59:59.123``."""
    return (datetime.now(UTC) + later).replace(tzinfo=None).isoformat(timespec="milliseconds")
