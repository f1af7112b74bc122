"""What may a terminal be sent, and how wide is it there?"""

from unicodedata import category, east_asian_width

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Controls, format characters such as those that turn the direction of writing, separators of lines."""
_ABOVE = {"Mn", "Me"}
"""What stands on or around the character before it."""


def plain(text: str) -> str:
    """Return a text whose hidden characters are written as their codes, so that none moves or hides what is shown."""
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode() if category(char) in _HIDDEN else char for char in text)


def width(text: str) -> int:
    """Return how many columns a text takes: East Asian wide characters take two."""
    return sum(map(_width, text))


def cut(text: str, most: int) -> str:
    """Return a text that takes some columns at most, with an ellipsis if something is missing."""
    if width(text) <= most:
        return text
    while width(text) >= most:
        text = text[: min(most, len(text) - 1)]
    return f"{text}…"


def _width(char: str) -> int:
    if category(char) in _ABOVE:
        return 0
    return 2 if east_asian_width(char) in "WF" else 1
