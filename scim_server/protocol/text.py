"""Which text comes in, and by which key is it compared?

One gate for every string from outside, one strict reader of JSON, one comparison key.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import count
from typing import Any

from scim_server.protocol.errors import ScimError, invalid_syntax, invalid_value
from scim_server.protocol.limits import JSON_DEPTH
from scim_server.protocol.wording import say

_BODY, _NAME = say("The body"), say("A member name")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTAINERS = (dict, list)
# What Python's reader of JSON may find wrong.
_PROBLEMS = {
    str(problem): problem
    for problem in (
        say("Expecting value"),
        say("Expecting property name enclosed in double quotes"),
        say("Expecting ':' delimiter"),
        say("Expecting ',' delimiter"),
        say("Illegal trailing comma before end of object"),
        say("Illegal trailing comma before end of array"),
        say("Unterminated string starting at"),
        say("Invalid control character at"),
        say("Invalid \\escape"),
        say("Invalid \\uXXXX escape"),
        say("Extra data"),
    )
}
_LINE = re.compile("[\t\n\r]")
# What a JSON text must contain if one of its strings has a forbidden character, or a member name a line break.
_DOUBTFUL_ESCAPE = re.compile(r"\\(?:[bf]|u00[0-9]|u[dD][89a-fA-F])")
_ESCAPED_LINE = re.compile(r"\\[nrt]")
_DOUBTFUL_CHARACTER = re.compile("[\x7f-\x9f]")
# Format characters, separators of lines and paragraphs, private and unassigned code points.
_INVISIBLE = {"Cf", "Zl", "Zp", "Co", "Cn"}
# Unicode's default ignorable code points of other categories: fillers and variation selectors.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def code_point(char: str) -> str:
    """Return how a refusal names a character, such as U+200B."""
    return f"U+{ord(char):04X}"


def check_text(text: str, where: str) -> str:
    """Refuse control characters and lone surrogates; tab, LF and CR may stand in free text.

    Raises invalidValue naming ``where`` and the code point, never the text itself.
    """
    if found := _FORBIDDEN.search(text):
        raise _forbidden(found[0], where)
    return text


def check_line(text: str, where: str) -> str:
    """Refuse what `check_text` refuses, and line breaks and tabs as well."""
    if found := _LINE.search(text):
        raise _forbidden(found[0], where)
    return check_text(text, where)


def _forbidden(char: str, where: str) -> ScimError:
    return invalid_value(
        say("{where} contains the character {char}, which is not allowed.", where=where, char=code_point(char))
    )


def shown(name: str) -> str:
    """Return a name that a client sent as it may be repeated: without a filter, which may hold a secret."""
    return ascii(name.partition("[")[0][:200])


def has_line_break(text: str) -> bool:
    """Tell whether a text has a tab or line break, which only free text may have."""
    return _LINE.search(text) is not None


def invisible(text: str) -> str | None:
    """Return the first character that nobody sees or that means nothing yet, or None (RFC 8265 section 3)."""
    if text.isascii():
        return None
    return next((char for char in text if _is_invisible(char)), None)


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE or _IGNORABLE.match(char) is not None


def opaque(text: str) -> str:
    """Return a password as it is compared: every space U+0020, NFC, nothing folded (RFC 8265 section 4.2)."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)
    return unicodedata.normalize("NFC", spaced)


def folded(text: str) -> str:
    """Return the comparison key of a caseExact=false string: NFKC, casefold, NFKC (RFC 7644 section 5)."""
    if text.isascii():
        return text.lower()
    normal = unicodedata.normalize("NFKC", text)
    return unicodedata.normalize("NFKC", normal.casefold())


def read_json(body: bytes) -> Any:
    """Read a strict JSON text (RFC 8259) whose every string passes `check_text`.

    Raises what `parse_json` raises; invalidValue for forbidden characters.
    """
    value, is_doubtful = parse_json(body)
    if is_doubtful:
        check_strings(value)
    return value


def parse_json(body: bytes) -> tuple[Any, bool]:
    """Read a strict JSON text, and tell whether its strings must still pass `check_strings`.

    Raises invalidSyntax for broken JSON, duplicate names, NaN, numbers out of range and more than `JSON_DEPTH` levels.
    """
    try:
        # RFC 8259 section 8.1 lets a byte order mark be ignored.
        text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_syntax(say("The body is not valid UTF-8 (at byte {position}).", position=error.start)) from None
    try:
        value = _decoder.decode(text)
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise _broken(error) from None
    levels = list(_levels(value))
    has_controls = (not text.isascii() or "\x7f" in text) and _DOUBTFUL_CHARACTER.search(text)
    names_lines = _ESCAPED_LINE.search(text) and any(map(_names_lines, levels))
    return value, bool(_DOUBTFUL_ESCAPE.search(text) or has_controls or names_lines)


def _broken(error: json.JSONDecodeError) -> ScimError:
    return invalid_syntax(
        say(
            "The body is not valid JSON: {problem} (line {line}, column {column}).",
            problem=_PROBLEMS.get(error.msg, error.msg),
            line=error.lineno,
            column=error.colno,
        )
    )


def _names_lines(level: list[Any]) -> bool:
    """Tell whether a member name of objects has a line break or tab."""
    return _LINE.search("".join(["".join(each) for each in level if type(each) is dict])) is not None


def check_strings(value: Any, where: str = "") -> None:
    """Let every string in a JSON value pass `check_text`, and every member name `check_line`. Raises invalidValue."""
    if isinstance(value, str):
        check_text(value, where or _BODY)
    elif isinstance(value, dict):
        for name, member in value.items():
            check_line(name, _NAME)
            short = name[:100]
            check_strings(member, f"{where}.{short}" if where else short)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            check_strings(element, f"{where}[{index}]")


def _levels(value: Any) -> Iterator[list[Any]]:
    """Yield the objects and arrays of a JSON value, those of one depth together. Raises invalidSyntax."""
    level = [value] if type(value) in _CONTAINERS else []
    for depth in count(1):
        if not level:
            return
        if depth > JSON_DEPTH:
            raise _too_deep()
        yield level
        inner: list[Any] = []
        for outer in level:
            values = outer.values() if type(outer) is dict else outer
            inner += [value for value in values if type(value) in _CONTAINERS]
        level = inner


def _too_deep() -> ScimError:
    return invalid_syntax(say("The body is nested deeper than {most} levels.", most=JSON_DEPTH))


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise invalid_syntax(say("The member {name} stands twice in one object.", name=shown(name)))
            seen.add(name)
    return members


def _refuse_constant(name: str) -> Any:
    raise invalid_syntax(say("{name} is not a JSON number.", name=name))


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise invalid_syntax(say("A number is too large."))
    return number


def _whole(digits: str) -> int:
    if len(digits.removeprefix("-")) > 19:
        raise invalid_syntax(say("A number has more than 19 digits."))
    return int(digits)


_decoder = json.JSONDecoder(
    object_pairs_hook=_unique_names,
    parse_constant=_refuse_constant,
    parse_float=_finite,
    parse_int=_whole,
)
