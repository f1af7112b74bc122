"""How does a value stand in a cell? Formulas, codes, days, lists of names."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from scim_server.csv_accounts.problems import Unfit
from scim_server.protocol.wording import Text, say

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
_CODES = {"0": "0", "1": "1", "\uff10": "0", "\uff11": "1"}
"""As the manual prints them, 0 and 1 are full-width."""
_DAY = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII)
_FULL_WIDTH = re.compile("[\uff10-\uff19\uff0f]")
_NAME = re.compile(r"(?:\\[\\;]|[^;])+")


def neutralised(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def restored(cell: str) -> str:
    """Return what was `neutralised`; any other cell stays as it is."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell


def read_code(cell: str, advice: Text) -> str:
    """Return 0 or 1, which may be full-width. Raises Unfit."""
    code = _CODES.get(cell.strip())
    if code is None:
        raise Unfit("notACode", advice)
    return code


def read_day(cell: str) -> str:
    """Return a day as ``yyyy/MM/dd``; zeros may be missing. Raises Unfit."""
    text = cell.strip()
    match = _DAY.fullmatch(text)
    if not match and _FULL_WIDTH.search(text):
        raise Unfit("fullWidthDigits", say("Write the date in half-width digits, such as 2024/01/01."))
    if not match:
        raise Unfit("notADate", say("Write the date as yyyy/MM/dd, such as 2024/01/01."))
    try:
        return _written(date(*map(int, match.groups())))
    except ValueError:
        raise _no_such_day() from None


def _no_such_day() -> Unfit:
    return Unfit("noSuchDay", say("Write a day that exists."))


def _written(day: date) -> str:
    return f"{day.year:04}/{day.month:02}/{day.day:02}"


def day_of(instant: str, zone: ZoneInfo) -> str:
    """Return the day on which an instant is in a time zone."""
    moment = datetime.fromisoformat(instant[:19]).replace(tzinfo=UTC)
    try:
        return _written(moment.astimezone(zone))
    except OverflowError:
        return _written(moment)


def first_second(day: str, zone: ZoneInfo) -> str:
    """Return the instant at which a day begins, even where clocks are put forward or back at midnight. Raises Unfit."""
    return _instant(day, time(), zone, fold=0)


def last_second(day: str, zone: ZoneInfo) -> str:
    """Return the instant of a day's last 23:59:59. Raises Unfit."""
    return _instant(day, time(23, 59, 59), zone, fold=1)


def _instant(day: str, clock: time, zone: ZoneInfo, *, fold: int) -> str:
    year, month, number = map(int, day.split("/"))
    local = datetime.combine(date(year, month, number), clock, zone).replace(fold=fold)
    try:
        moment = local.astimezone(UTC)
    except OverflowError:
        # The calendar ends here, for UTC as well.
        moment = local.replace(tzinfo=UTC)
    instant = f"{moment.replace(tzinfo=None).isoformat()}Z"
    if day_of(instant, zone) != day:
        # Where the date line was moved, a whole day was left out.
        raise _no_such_day()
    return instant


def joined_names(names: Iterable[str]) -> str:
    """Return names separated by semicolons; within a name, a backslash stands before these and before backslashes."""
    return ";".join(re.sub(r"([\\;])", r"\\\1", name) for name in names)


def split_names(cell: str) -> list[str]:
    """Return the names in a cell; a backslash before anything but ``;`` and a backslash means itself."""
    return [re.sub(r"\\([\\;])", r"\1", piece) for piece in _NAME.findall(cell) if not piece.isspace()]
