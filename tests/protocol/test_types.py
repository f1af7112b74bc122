import base64
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim_server.protocol.text import folded
from scim_server.protocol.types import READERS, comparison_key, date_time_key, read_date_time
from tests.protocol import texts

WORDS = {
    "string": "a string",
    "boolean": "true or false",
    "decimal": "a number",
    "integer": "an integer",
    "dateTime": "a dateTime string",
    "binary": "a base64 string",
    "reference": "a URI string",
}
JSON_KINDS: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "a boolean"),
    (1, "a number"),
    (1.5, "a number"),
    ("x", "a string"),
    ([], "an array"),
    ({}, "an object"),
]
FITTING = {"boolean": "a boolean", "decimal": "a number", "integer": "a number"}


def refusal(kind: str, value: Any) -> str:
    with pytest.raises(ValueError, match=r"^must ") as caught:
        READERS[kind](value)
    return str(caught.value)


# Reading


@pytest.mark.parametrize(
    ("kind", "value", "word"),
    [(kind, *found) for kind in WORDS for found in JSON_KINDS if found[1] != FITTING.get(kind, "a string")],
)
def test_a_value_of_another_json_type_is_refused_in_words(kind: str, value: Any, word: str) -> None:
    assert refusal(kind, value) == f"must be {WORDS[kind]}, not {word}"


def test_every_data_type_has_a_reader() -> None:
    assert READERS.keys() == WORDS.keys()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", ""),
        ("string", " Émile\n"),
        ("boolean", True),
        ("boolean", False),
        ("decimal", 0),
        ("decimal", 1.5),
        ("decimal", -1e300),
        ("decimal", 2**63 - 1),
        ("integer", 42),
        ("integer", -(2**63)),
        ("reference", "https://example.com/a?b=c#d"),
        ("reference", "../Users/1"),
        ("reference", "Users/%C3%A9"),
        ("reference", "urn:ietf:rfc:7643"),
        ("reference", "https://例え.jp/写真"),
        ("binary", base64.b64encode(bytes(range(256))).decode()),
        ("binary", "QQ"),
        ("binary", "QUI"),
        ("binary", "QQ=="),
        ("binary", "+/+/"),
    ],
)
def test_a_fitting_value_is_read_unchanged(kind: str, value: Any) -> None:
    assert repr(READERS[kind](value)) == repr(value)


@pytest.mark.parametrize("value", [1.5, 1e3, -0.0])
def test_an_integer_has_no_fraction_and_no_exponent(value: float) -> None:
    assert refusal("integer", value) == "must be an integer, not a number with a fraction or exponent"


@pytest.mark.parametrize("kind", ["integer", "decimal"])
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_whole_numbers_beyond_64_bits_are_refused(kind: str, value: int) -> None:
    assert refusal(kind, value) == "must fit into 64 bits"


@pytest.mark.parametrize(
    "value",
    ["", "!!!", "QQ-_", "QUJ D", "QUJD\n", "Q===", "=", "QQ=Q", "\N{FULLWIDTH LATIN CAPITAL LETTER Q}Q", "QQ==QQ=="],
)
def test_what_is_not_base64_is_refused(value: str) -> None:
    assert refusal("binary", value) == "must be base64 with the alphabet A-Z a-z 0-9 + /"


@pytest.mark.parametrize("value", ["Q", "QUJDR"])
def test_cut_base64_is_refused(value: str) -> None:
    assert refusal("binary", value) == "must be complete base64"


@given(st.binary(min_size=1, max_size=40))
def test_base64_is_read_with_and_without_padding(content: bytes) -> None:
    padded = base64.b64encode(content).decode()
    for value in (padded, padded.rstrip("=")):
        assert READERS["binary"](value) == value
        assert comparison_key("binary", True, value) == comparison_key("binary", True, padded)


@pytest.mark.parametrize(
    "value",
    ["", "x y", " x", "a\nb", "not a uri %%", "%", "%4", "%zz", "a\\b", "<a>", 'a"b', "a|b", "a^b", "a{b}", "`"],
)
def test_what_is_not_a_uri_is_refused(value: str) -> None:
    assert refusal("reference", value) == "must be a URI"


# dateTime


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("2008-01-23T04:56:22Z", "2008-01-23T04:56:22Z"),
        ("2008-01-23T04:56:22", "2008-01-23T04:56:22Z"),
        ("2008-01-23T04:56:22.5", "2008-01-23T04:56:22.5Z"),
        ("2008-01-23T04:56:22.123456+02:00", "2008-01-23T02:56:22.123456Z"),
        ("2008-01-23T04:56:22.1000Z", "2008-01-23T04:56:22.1Z"),
        ("2008-01-23T04:56:22.000Z", "2008-01-23T04:56:22Z"),
        ("2008-01-23T04:56:22.123456789012345678901234567891Z", "2008-01-23T04:56:22.123456789012345678901234567891Z"),
        ("2008-01-23T04:56:22-00:00", "2008-01-23T04:56:22Z"),
        ("2011-12-31T23:30:00-01:00", "2012-01-01T00:30:00Z"),
        ("2012-01-01T00:30:00+01:00", "2011-12-31T23:30:00Z"),
        ("2008-02-29T12:00:00+14:00", "2008-02-28T22:00:00Z"),
        ("2008-02-29T12:00:00-14:00", "2008-03-01T02:00:00Z"),
        ("2008-02-29T12:00:00+05:45", "2008-02-29T06:15:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.9Z", "9999-12-31T23:59:59.9Z"),
    ],
)
def test_a_date_time_becomes_utc(given: str, canonical: str) -> None:
    assert read_date_time(given) == canonical


@pytest.mark.parametrize(
    "value",
    [
        "2008-02-30T00:00:00Z",
        "2009-02-29T00:00:00Z",
        "2008-13-01T00:00:00Z",
        "2008-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2008-01-23T25:00:00Z",
        "2008-01-23T04:60:00Z",
        "2008-01-23T04:56:60Z",
        "2008-01-23T04:56:22+14:01",
        "2008-01-23T04:56:22-15:00",
        "2008-01-23T04:56:22+01:60",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_a_moment_that_does_not_exist_is_refused(value: str) -> None:
    assert refusal("dateTime", value) == "must be a date and time that exist"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2008-01-23",
        "04:56:22Z",
        "2008-01-23 04:56:22Z",
        "2008-01-23t04:56:22z",
        "2008-01-23T04:56Z",
        "2008-01-23T04:56:22.Z",
        "2008-01-23T04:56:22+0100",
        "2008-01-23T04:56:22+1:00",
        "2008-01-23T04:56:22 Z",
        "2008-01-23T04:56:22Z\n",
        "08-01-23T04:56:22Z",
        "12008-01-23T04:56:22Z",
        "-2008-01-23T04:56:22Z",
        "2008-01-23T04:56:22.1234567890123456789012345678901Z",
        "\N{FULLWIDTH DIGIT TWO}008-01-23T04:56:22Z",
        "now",
    ],
)
def test_another_spelling_of_a_date_time_is_refused(value: str) -> None:
    assert refusal("dateTime", value) == "must be a dateTime such as 2026-01-31T09:30:00Z"


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, tuple[datetime, Decimal]]:
    """Make a dateTime in any spelling, and what it is worth."""
    local = draw(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31))).replace(microsecond=0)  # noqa: DTZ001
    minutes = draw(st.integers(-14 * 60, 14 * 60))
    fraction = draw(st.text("059", max_size=4))
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    if minutes == 0:
        offset = draw(st.sampled_from(["", "Z", "+00:00", "-00:00"]))
    worth = local.replace(tzinfo=timezone(timedelta(minutes=minutes))).astimezone(UTC)
    text = local.isoformat() + (f".{fraction}" if fraction else "") + offset
    return text, (worth, Decimal(f"0.{fraction}0"))


@given(moments(), moments())
def test_keys_of_date_times_order_as_the_instants_do(one: Any, other: Any) -> None:
    (one_text, one_worth), (other_text, other_worth) = one, other
    one_key, other_key = date_time_key(one_text), comparison_key("dateTime", False, read_date_time(other_text))
    assert (one_key < other_key) == (one_worth < other_worth)
    assert (one_key == other_key) == (one_worth == other_worth)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("2008-01-23T04:56:22Z", "2008-01-23T04:56:22.000"),
        ("2008-01-23T04:56:22.5+02:00", "2008-01-23T02:56:22.500"),
        ("2008-01-23T04:56:22.12340Z", "2008-01-23T04:56:22.1234"),
    ],
)
def test_a_key_has_milliseconds_and_further_digits_only_where_they_count(text: str, key: str) -> None:
    assert date_time_key(text) == key


@given(moments(), st.integers(-14 * 60, 14 * 60))
def test_one_instant_has_one_key_in_every_zone(one: Any, minutes: int) -> None:
    text, (worth, fraction) = one
    elsewhere = worth.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
    digits = str(fraction).removeprefix("0")
    assert date_time_key(elsewhere[:19] + digits + elsewhere[19:]) == date_time_key(text)


@given(moments())
def test_a_canonical_date_time_is_in_utc_and_stays_as_it_is(one: Any) -> None:
    canonical = read_date_time(one[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z", canonical)
    assert read_date_time(canonical) == canonical


# Comparing


NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-20, 20) | st.floats(allow_nan=False, allow_infinity=False)


@given(NUMBERS, NUMBERS)
def test_keys_of_numbers_order_as_the_numbers_do(one: float, other: float) -> None:
    one_key, other_key = comparison_key("decimal", False, one), comparison_key("decimal", False, other)
    worths = Decimal(repr(one)), Decimal(repr(other))
    assert (one_key < other_key) == (worths[0] < worths[1])
    assert (one_key == other_key) == (worths[0] == worths[1])


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_sort_by_their_keys(numbers: list[int]) -> None:
    assert sorted(numbers, key=lambda number: comparison_key("integer", False, number)) == sorted(numbers)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_fractions_sort_by_their_keys(numbers: list[float]) -> None:
    assert sorted(numbers, key=lambda number: comparison_key("decimal", False, number)) == sorted(numbers)


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (0, -0.0), (100, 1e2), (-5, -5.0)])
def test_one_number_has_one_key(one: float, other: float) -> None:
    assert comparison_key("decimal", False, one) == comparison_key("decimal", False, other)


def test_keys_are_ascii_so_that_every_database_orders_them_alike() -> None:
    for number in (-1.5e308, -2, -1.5, -1, 0, 5e-324, 1, 1.5, 2, 2**63 - 1):
        assert comparison_key("decimal", False, number).isascii()


def test_booleans_have_two_keys() -> None:
    assert comparison_key("boolean", False, True) == "true"
    assert comparison_key("boolean", False, False) == "false"


def test_binary_compares_by_content_and_letter_case() -> None:
    assert comparison_key("binary", True, "QUI=") == comparison_key("binary", True, "QUI")
    assert comparison_key("binary", True, "QUI=") != comparison_key("binary", True, "qui=")


@pytest.mark.parametrize("kind", ["string", "reference"])
@given(text=texts(max_size=8))
def test_text_compares_exactly_or_folded_as_the_schema_says(kind: str, text: str) -> None:
    assert comparison_key(kind, True, text) == text
    assert comparison_key(kind, False, text) == folded(text)


def test_text_is_stream_safe() -> None:
    assert READERS["string"]("a" + "\u0300" * 30 + "b" + "\u0316" * 30)
    for marks in (31, 100_000):
        with pytest.raises(ValueError, match="more than 30 combining characters in a row"):
            READERS["string"]("a" + "\u0300\u0316" * marks)
