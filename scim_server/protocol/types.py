"""What values does each SCIM data type take, and how do they compare? (RFC 7643 section 2.3)

A reader takes a JSON value and returns the canonical one, or raises ValueError with a Text that
completes "emails[0].value …". A key is text whose code point order is the order of the values, so
that the database and Python compare alike.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from unicodedata import combining

from scim_server.protocol.text import folded
from scim_server.protocol.wording import Text, say

_MOST_MARKS = 30
"""Combining characters in a row."""
_INTEGER_LIMIT = 2**63
_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:(Z)|([+-])(\d\d):(\d\d))?", re.ASCII
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)
_URI = re.compile(r"(?:[^\x00-\x20\x7f<>\"{}|\\^`%]|%[0-9A-Fa-f]{2})+")


_KINDS = {
    type(None): say("null"),
    bool: say("a boolean"),
    int: say("a number"),
    float: say("a number"),
    str: say("a string"),
    list: say("an array"),
}


def _kind(value: Any) -> Text:
    return _KINDS.get(type(value)) or say("an object")


def read_string(value: Any) -> str:
    """Read a string (section 2.3.1)."""
    if not isinstance(value, str):
        raise ValueError(say("must be a string, not {kind}", kind=_kind(value)))
    if len(value) > _MOST_MARKS and not value.isascii() and _is_stacked(value):
        raise ValueError(say("must not have more than {most} combining characters in a row", most=_MOST_MARKS))
    return value


def _is_stacked(text: str) -> bool:
    """Tell whether a text is not stream-safe (UAX 15 section 13): bringing its marks into order would take long."""
    row = 0
    for char in text:
        row = row + 1 if combining(char) else 0
        if row > _MOST_MARKS:
            return True
    return False


def read_boolean(value: Any) -> bool:
    """Read true or false, nothing else (section 2.3.2)."""
    if not isinstance(value, bool):
        raise ValueError(say("must be true or false, not {kind}", kind=_kind(value)))
    return value


def read_decimal(value: Any) -> int | float:
    """Read a JSON number (section 2.3.3)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(say("must be a number, not {kind}", kind=_kind(value)))
    return _in_range(value)


def read_integer(value: Any) -> int:
    """Read a number without fraction or exponent (section 2.3.4)."""
    if isinstance(value, bool) or not isinstance(value, int):
        kind = say("a number with a fraction or exponent") if isinstance(value, float) else _kind(value)
        raise ValueError(say("must be an integer, not {kind}", kind=kind))
    return int(_in_range(value))


def _in_range(value: float) -> int | float:
    if isinstance(value, int) and not -_INTEGER_LIMIT <= value < _INTEGER_LIMIT:
        raise ValueError(say("must fit into 64 bits"))
    return value


def read_date_time(value: Any) -> str:
    """Read an xsd:dateTime and return it in UTC, as ``2026-01-31T23:59:59.5Z`` (section 2.3.5).

    A value without an offset is taken as UTC.
    """
    seconds, _, fraction = date_time_key(value).partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}.{fraction}Z" if fraction else f"{seconds}Z"


def date_time_key(value: Any) -> str:
    """Return the instant as UTC text without ``Z``, with milliseconds and further digits that are not zero.

    Such texts sort as the instants do, whatever the number of fraction digits.
    """
    if not isinstance(value, str):
        raise ValueError(say("must be a dateTime string, not {kind}", kind=_kind(value)))
    match = _DATE_TIME.fullmatch(value)
    if not match:
        raise ValueError(say("must be a dateTime such as 2026-01-31T09:30:00Z"))
    fraction = (match[7] or "").rstrip("0").ljust(3, "0")
    try:
        moment = datetime.fromisoformat(value[:19])
        seconds = value[:19] if not match[9] else (moment - _offset(match)).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        raise ValueError(say("must be a date and time that exist")) from None
    return f"{seconds}.{fraction}"


def _offset(match: re.Match[str]) -> timedelta:
    hours, minutes = int(match[10]), int(match[11])
    if minutes > 59 or (hours, minutes) > (14, 0):
        raise ValueError
    return timedelta(hours=hours, minutes=minutes) * (-1 if match[9] == "-" else 1)


def read_binary(value: Any) -> str:
    """Read base64 (RFC 4648 section 4), padding optional (section 2.3.6)."""
    if not isinstance(value, str):
        raise ValueError(say("must be a base64 string, not {kind}", kind=_kind(value)))
    _decode(value)
    return value


def _decode(value: str) -> bytes:
    if not _BASE64.fullmatch(value):
        raise ValueError(say("must be base64 with the alphabet A-Z a-z 0-9 + /"))
    bare = value.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise ValueError(say("must be complete base64")) from None


def read_reference(value: Any) -> str:
    """Read an absolute or relative URI (section 2.3.7)."""
    if not isinstance(value, str):
        raise ValueError(say("must be a URI string, not {kind}", kind=_kind(value)))
    if not _URI.fullmatch(value):
        raise ValueError(say("must be a URI"))
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "string": read_string,
    "boolean": read_boolean,
    "decimal": read_decimal,
    "integer": read_integer,
    "dateTime": read_date_time,
    "binary": read_binary,
    "reference": read_reference,
}


def comparison_key(kind: str, case_exact: bool, value: Any) -> str:
    """Return the key by which a canonical value of type ``kind`` compares (RFC 7644 section 3.4.2.2)."""
    return key_function(kind, case_exact)(value)


def key_function(kind: str, case_exact: bool) -> Callable[[Any], str]:
    """Return what makes the comparison keys of canonical values of type ``kind`` (RFC 7644 section 3.4.2.2)."""
    return _KEYS.get(kind) or (str if case_exact else folded)


def _number_key(number: Decimal) -> str:
    """Return text that sorts as numbers do: sign, exponent, digits; negatives complemented."""
    sign, digits, _ = number.normalize().as_tuple()
    mantissa = "".join(map(str, digits))
    if mantissa == "0":
        return "1"
    exponent = f"{number.adjusted() + 5000:04d}"
    if not sign:
        return f"2{exponent}{mantissa}"
    return "0" + "".join(chr(105 - ord(digit)) for digit in exponent + mantissa) + "~"


def _canonical_instant_key(value: str) -> str:
    seconds, _, fraction = value.removesuffix("Z").partition(".")
    return f"{seconds}.{fraction:<03}"


_KEYS: dict[str, Callable[[Any], str]] = {
    "boolean": lambda value: "true" if value else "false",
    "integer": lambda value: _number_key(Decimal(repr(value))),
    "decimal": lambda value: _number_key(Decimal(repr(value))),
    "dateTime": _canonical_instant_key,
    "binary": lambda value: hashlib.sha256(_decode(value)).hexdigest(),
}
