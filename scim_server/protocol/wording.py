"""In which language does a refusal speak? (RFC 7644 section 3.12)

Details are written in English. Each remembers its template and what stands in it, so that whoever asks for another
language gets the template's translation.
"""

import json
from collections.abc import Iterable
from functools import cache, reduce
from pathlib import Path

LANGUAGES = ("en", "ja")


class Text(str):
    """A sentence or phrase in English that can be said in other languages, made by `say`."""

    __slots__ = ("template", "values")

    template: str
    values: dict[str, object]


def say(template: str, /, **values: object) -> Text:
    """Return a template with values in its placeholders; values that are Texts are translated with it."""
    text = Text(template.format(**values))
    text.template, text.values = template, values
    return text


def together(template: str, parts: Iterable[str]) -> str:
    """Return one text or several, put together by a template with the placeholders ``first`` and ``second``."""
    return reduce(lambda first, second: say(template, first=first, second=second), parts)


def in_language(text: str, language: str) -> str:
    """Return a text in a language; what is no Text stays as it is, what has no translation stays English."""
    if language == "en" or not isinstance(text, Text):
        return str(text)
    values = {
        name: in_language(value, language) if isinstance(value, Text) else value for name, value in text.values.items()
    }
    return _translations(language).get(text.template, text.template).format(**values)


@cache
def _translations(language: str) -> dict[str, str]:
    translations: dict[str, str] = json.loads(Path(__file__).with_name(f"{language}.json").read_text(encoding="utf-8"))
    return translations
