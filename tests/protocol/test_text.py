import json
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scim_server.protocol.limits import JSON_DEPTH
from scim_server.protocol.text import check_line, check_text, folded, has_line_break, invisible, read_json
from tests.protocol import json_values, refused

FORBIDDEN = ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x0e", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\ud800", "\udfff"]


# One gate for text


@pytest.mark.parametrize("char", FORBIDDEN)
def test_control_characters_and_lone_surrogates_are_refused_by_name_only(char: str) -> None:
    expected = f"title contains the character U+{ord(char):04X}, which is not allowed."
    with refused("invalidValue", expected):
        check_text(f"secret{char}text", "title")
    with refused("invalidValue", expected):
        check_line(f"secret{char}text", "title")


@pytest.mark.parametrize("text", ["", "a\tb\r\nc", "\xa0", "👩‍💻 עברית", "e\u0301", "\u200b", "\ue000", "\U0010ffff"])
def test_free_text_passes_unchanged(text: str) -> None:
    assert check_text(text, "title") == text


@pytest.mark.parametrize("char", ["\t", "\n", "\r"])
def test_a_line_has_no_tab_and_no_line_break(char: str) -> None:
    assert has_line_break(f"a{char}b")
    with refused("invalidValue", f"A parameter contains the character U+{ord(char):04X}, which is not allowed."):
        check_line(f"a{char}b", "A parameter")


def test_a_line_passes_unchanged() -> None:
    assert check_line("Zoë's 電話", "title") == "Zoë's 電話"
    assert not has_line_break("Zoë's 電話")


@pytest.mark.parametrize("char", ["\u200b", "\u200d", "\u2060", "\ufeff", "\xad", "\u202e", "\u2066", "\U000e0041"])
def test_format_characters_are_invisible(char: str) -> None:
    assert invisible(f"bjen{char}sen") == char


@pytest.mark.parametrize("text", ["", "bjensen", "山田 太郎", "e\u0301", "a\u3000b"])
def test_letters_marks_and_spaces_are_visible(text: str) -> None:
    assert invisible(text) is None


# The comparison key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("BJensen", "bjensen"),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER B}jensen", "bjensen"),
        ("JOSÉ", "jose\u0301"),
        ("Straße", "STRASSE"),
        ("ΟΔΥΣΣΕΎΣ", "οδυσσεύς"),
        ("\N{KATAKANA LETTER GA}", "\N{HALFWIDTH KATAKANA LETTER KA}\N{HALFWIDTH KATAKANA VOICED SOUND MARK}"),
        ("\N{KELVIN SIGN}", "k"),
        ("\N{LATIN SMALL LIGATURE FI}", "FI"),
        ("İ", "i\u0307"),
    ],
)
def test_spellings_of_one_text_have_one_key(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jose", "josé"),
        ("\N{LATIN SMALL LETTER DOTLESS I}", "i"),
        ("はは", "ぱぱ"),
        ("a b", "ab"),
        ("bjensen", "bjensen\u200b"),
    ],
)
def test_different_texts_have_different_keys(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@given(st.text())
def test_the_key_of_a_key_is_the_key(text: str) -> None:
    assert folded(folded(text)) == folded(text)


@given(st.text())
@example("\N{GREEK SMALL LETTER UPSILON WITH DIALYTIKA AND TONOS}")
def test_a_key_is_in_normal_form(text: str) -> None:
    assert unicodedata.is_normalized("NFKC", folded(text))


@given(st.text(), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_key_does_not_depend_on_the_normal_form(text: str, form: Any) -> None:
    assert folded(unicodedata.normalize(form, text)) == folded(text)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_the_key_does_not_depend_on_width_or_case(text: str) -> None:
    wide = "".join(chr(ord(char) + 0xFEE0) for char in text)
    assert folded(wide) == folded(text) == folded(wide.upper()) == folded(text.upper())


# The strict reader of JSON


@given(json_values(), st.booleans(), st.sampled_from([None, 1]))
def test_json_is_read_as_the_standard_library_reads_it(value: Any, escaped: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=escaped, indent=indent).encode()
    assert repr(read_json(body)) == repr(json.loads(body))


@given(st.binary(max_size=30) | st.text('{}[]",:\\u0123456789abcdeft.-+ nrlsNI', max_size=30).map(str.encode))
def test_what_the_standard_library_refuses_is_refused(body: bytes) -> None:
    try:
        json.loads(body.decode())
    except ValueError:
        with refused("invalidSyntax"):
            read_json(body)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "The body is not valid JSON: Expecting value (line 1, column 1)."),
        (b'{"a":1', "The body is not valid JSON: Expecting ',' delimiter (line 1, column 7)."),
        (b'{"a":1}\n{}', "The body is not valid JSON: Extra data (line 2, column 1)."),
        (b"{'a':1}", None),
        (b"[1,]", None),
        (b"[01]", None),
        (b'"\t"', None),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", None),
        (b'{"a":"\xff"}', "The body is not valid UTF-8 (at byte 6)."),
        (b'"\xed\xa0\x80"', "The body is not valid UTF-8 (at byte 1)."),
        (b'"\xc0\x80"', "The body is not valid UTF-8 (at byte 1)."),
        ('{"a":1}'.encode("utf-16-le"), None),
    ],
)
def test_broken_json_is_a_syntax_error(body: bytes, detail: str | None) -> None:
    with refused("invalidSyntax", detail):
        read_json(body)


def test_a_byte_order_mark_is_ignored() -> None:
    assert read_json(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


@pytest.mark.parametrize("body", [b'{"a":1,"a":1}', b'[{"b":{"x":1,"a":2,"a":3}}]', rb'{"a":1,"\u0061":2}'])
def test_a_name_may_not_stand_twice(body: bytes) -> None:
    with refused("invalidSyntax", "The member 'a' stands twice in one object."):
        read_json(body)


def test_names_that_differ_in_letter_case_are_left_to_the_schema() -> None:
    assert read_json(b'{"a":1,"A":2}') == {"a": 1, "A": 2}


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_of_javascript_are_refused(constant: str) -> None:
    with refused("invalidSyntax", f"{constant} is not a JSON number."):
        read_json(f'{{"a":[{constant}]}}'.encode())


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1.5E+400"])
def test_a_number_beyond_a_double_is_refused(number: str) -> None:
    with refused("invalidSyntax", "A number is too large."):
        read_json(number.encode())


@pytest.mark.parametrize("number", ["12345678901234567890", "-12345678901234567890", "9" * 5000])
def test_an_integer_of_more_than_19_digits_is_refused(number: str) -> None:
    with refused("invalidSyntax", "A number has more than 19 digits."):
        read_json(number.encode())


@pytest.mark.parametrize("number", [0, -0.0, 2**63 - 1, -(2**63), 1e308, 5e-324, 0.1])
def test_every_64_bit_number_is_read(number: float) -> None:
    read = read_json(repr(number).encode())
    assert repr(read) == repr(number)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nesting_ends_at_the_limit(opening: str, closing: str) -> None:
    def nested(levels: int) -> bytes:
        return (opening * levels + "1" + closing * levels).encode()

    assert JSON_DEPTH == 32
    assert read_json(nested(32)) == json.loads(nested(32))
    for levels in (33, 100_000):
        with refused("invalidSyntax", "The body is nested deeper than 32 levels."):
            read_json(nested(levels))


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (rb'"\u0000"', "The body contains the character U+0000, which is not allowed."),
        (rb'{"title":"\ud800"}', "title contains the character U+D800, which is not allowed."),
        (rb'{"title":"\udc00\ud800"}', "title contains the character U+DC00, which is not allowed."),
        (
            rb'{"emails":[{},{"value":"a\u0007"}]}',
            "emails[1].value contains the character U+0007, which is not allowed.",
        ),
        (b'{"title":"\x7f"}', "title contains the character U+007F, which is not allowed."),
        (rb'["\u0085"]', "[0] contains the character U+0085, which is not allowed."),
        (rb'{"ti\u0000tle":1}', "A member name contains the character U+0000, which is not allowed."),
        (rb'{"ti\ntle":1}', "A member name contains the character U+000A, which is not allowed."),
    ],
)
def test_the_gate_stands_before_every_string_in_a_body(body: bytes, detail: str) -> None:
    with refused("invalidValue", detail):
        read_json(body)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read_json(rb'{"a":"\ud83d\ude00"}') == {"a": "😀"}


def test_a_long_name_is_cut_in_the_detail() -> None:
    expected = f"{'n' * 100}[0] contains the character U+0000, which is not allowed."
    with refused("invalidValue", expected):
        read_json(b'{"' + b"n" * 1_000 + rb'":["\u0000"]}')


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_the_gate_sees_a_character_however_json_writes_it(code: int) -> None:
    written = {rf"\u{code:04x}", rf"\u{code:04X}", json.dumps(chr(code))[1:-1]}
    if 0x7F <= code < 0xD800:
        written.add(chr(code))
    for text in written:
        if code not in (0x09, 0x0A, 0x0D):
            with refused("invalidValue", f"title contains the character U+{code:04X}, which is not allowed."):
                read_json(f'{{"title":"Tour {text} Guide"}}'.encode())
        with refused("invalidValue", f"A member name contains the character U+{code:04X}, which is not allowed."):
            read_json(f'{{"ti{text}tle":1}}'.encode())
