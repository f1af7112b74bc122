"""Every detail that a client can get is written so that it can be said in Japanese."""

import ast
import json
import string
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scim_server
from scim_server.protocol import errors, filter, path, validation
from scim_server.protocol.errors import ScimError
from scim_server.protocol.registry import Registry
from scim_server.protocol.text import check_strings, read_json
from scim_server.protocol.types import READERS
from scim_server.protocol.wording import LANGUAGES, Text, in_language, say, together
from tests.protocol import outcome
from tests.scim import ENTERPRISE, USER

PACKAGE = Path(scim_server.__file__).parent
TRANSLATIONS = PACKAGE / "protocol" / "ja.json"
TREES = {file.relative_to(PACKAGE).as_posix(): ast.parse(file.read_text("utf-8")) for file in PACKAGE.rglob("*.py")}
SAYING = {"say", "together"}
DETAILS = {"ScimError": 1} | dict.fromkeys(
    [name for name, made in vars(errors).items() if callable(made) and getattr(made, "__module__", "") == errors.__name__
     and name not in ("ScimError", "numbered")] + ["Circular", "ValidationError", "ValueError"], 0)  # fmt: skip
"""Which argument of what makes a refusal is, or begins, a detail."""
PLACES = {"check_text": 1, "check_line": 1, "by_name": 1, "check_names": 2}
"""Which argument says where something is wrong."""
OF_THE_CONSOLE = {
    "cli/changes.py", "cli/common.py", "config.py", "smtp.py", "tenants.py", "tokens.py",
    "protocol/habits.py", "protocol/registry.py",
}  # fmt: skip
"""Modules whose ValueErrors, ValidationErrors and names of places the administrator reads, not a client."""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def templates() -> Iterator[tuple[str, ast.Call]]:
    for file, tree in TREES.items():
        for name, call in calls(tree):
            if name in SAYING and file != "protocol/wording.py":
                yield file, call


def translations() -> dict[str, str]:
    pairs: list[tuple[str, str]] = json.loads(TRANSLATIONS.read_text("utf-8"), object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def placeholders(template: str) -> list[str]:
    found = []
    for _, name, form, conversion in string.Formatter().parse(template):
        if name is not None:
            assert name.isidentifier() and not form and not conversion, template
            found.append(name)
    return sorted(found)


def plain_texts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the texts in an expression that are not said."""
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        yield node
    elif not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {*SAYING, "called"}):
        for child in ast.iter_child_nodes(node):
            yield from plain_texts(child)


def detail(read: Any, *arguments: Any) -> str:
    """Return the Japanese detail of what a call is refused with."""
    refusal = outcome(read, *arguments)
    assert isinstance(refusal, ScimError), refusal
    return str(refusal.body("ja")["detail"])


def problems(kind: str, value: Any) -> tuple[Any, ...]:
    """Return what a reader finds wrong with a value, if anything."""
    try:
        READERS[kind](value)
    except ValueError as problem:
        return problem.args
    return ()


# What is written in the source


def test_every_template_is_written_where_it_is_said() -> None:
    for file, call in templates():
        first = call.args[0]
        assert isinstance(first, ast.Constant) and isinstance(first.value, str), (file, call.lineno)


def test_every_template_has_a_translation_and_no_translation_is_left_over() -> None:
    written = {call.args[0].value for _, call in templates() if isinstance(call.args[0], ast.Constant)}
    assert len(written) > 150
    assert written == translations().keys()


def test_a_translation_has_the_placeholders_and_the_end_of_its_template() -> None:
    for template, translation in translations().items():
        assert placeholders(translation) == placeholders(template), template
        assert translation.endswith("。") == template.endswith("."), template
        assert translation == translation.strip() != ""


def test_every_placeholder_gets_a_value() -> None:
    for file, call in templates():
        assert isinstance(call.func, ast.Name) and isinstance(call.args[0], ast.Constant)
        given_ = {keyword.arg for keyword in call.keywords} if call.func.id == "say" else {"first", "second"}
        assert set(placeholders(str(call.args[0].value))) == given_, (file, call.lineno)


@pytest.mark.parametrize("file", sorted(TREES))
def test_no_refusal_is_made_of_plain_text(file: str) -> None:
    for name, call in calls(TREES[file]):
        is_of_the_console = file in OF_THE_CONSOLE and name in {"ValueError", "ValidationError", *PLACES}
        at = (DETAILS | PLACES).get(name)
        if at is None or is_of_the_console or len(call.args) <= at:
            continue
        assert not list(plain_texts(call.args[at])), (name, call.lineno)


def test_plain_text_would_be_seen() -> None:
    assert {"ScimError", "invalid_value", "not_found", "too_large", "uniqueness"} <= DETAILS.keys()
    for text in ('"x"', 'f"{x}"', '"x" + say("y")', 'say("x") if y else "z"', '"{}".format(x)', '[say("x"), "y"]'):
        assert list(plain_texts(ast.parse(text, mode="eval"))), text
    for text in ('say("x")', 'say("{x}", x="y")', "error.detail", 'say("x") if y else z', "{name: [_REQUIRED]}"):
        assert not list(plain_texts(ast.parse(text, mode="eval"))), text


# How it is said


def test_a_text_is_its_english_sentence() -> None:
    text = say("{path} is required.", path="userName")
    assert text == "userName is required." == in_language(text, "en")
    assert type(in_language(text, "en")) is str
    assert (text.template, text.values) == ("{path} is required.", {"path": "userName"})
    assert in_language(text, "ja") == "userName は必須です。"


def test_what_no_template_made_stays_as_it_is() -> None:
    for language in LANGUAGES:
        assert in_language("{path} is required.", language) == "{path} is required."
    assert in_language(say("Nobody has translated {this}.", this=say("null")), "ja") == "Nobody has translated null."


def test_texts_within_a_text_are_translated_with_it() -> None:
    phrase = say("must be a string, not {kind}", kind=say("a number"))
    problem = say("{path} {phrase}", path="title", phrase=phrase)
    problems = together("{first}; {second}", [problem, say("{path} {phrase}", path="x", phrase=say("is required"))])
    inner = errors.invalid_value(say("{problems}.", problems=problems)).within(errors.numbered(3))
    assert inner.body()["detail"] == "Operation 3: title must be a string, not a number; x is required."
    assert inner.body("ja")["detail"] == "操作 3: title は文字列にしてください（送信された型: 数値）。x は必須です。"


def test_one_text_is_together_with_none_as_it_is() -> None:
    assert together("{first} or {second}", ["bulk"]) == "bulk"
    assert in_language(together("{first} or {second}", ["a", "b", "c"]), "ja") == "a または b または c"


@given(value=st.text() | st.sampled_from(["{", "}", "{0}", "{path}", "%s", "%(a)s", "'\"", "{a!r:>9}", "は"]))
def test_whatever_a_value_is_it_comes_through_unchanged(value: str) -> None:
    text = say("{where} has no attribute {name}.", where=say("The {name}", name=value), name=value)
    assert text == "The " + value + " has no attribute " + value + "."
    assert in_language(text, "ja") == value + " に " + value + " という属性はありません。"


# What is said in Japanese


@pytest.mark.parametrize("kind", sorted(READERS))
@pytest.mark.parametrize(
    "value", [None, True, 1, 1.5, "x y%", "", [], {}, 2**70, "2026-02-30T00:00:00Z", "Q", "a" + "\u0301" * 40]
)
def test_every_phrase_of_a_data_type_is_a_text(kind: str, value: Any) -> None:
    for phrase in problems(kind, value):
        assert isinstance(phrase, Text)
        assert not in_language(phrase, "ja").isascii()


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"title": 5}, "title は文字列にしてください（送信された型: 数値）。"),
        ({"title": {"a": 1}}, "title は文字列にしてください（送信された型: オブジェクト）。"),
        ({"title": ""}, "title は空の文字列にできません。消去するには null を指定してください。"),
        ({"active": "on"}, "active は真偽値（true または false）にしてください（送信された型: 文字列）。"),
        ({"emails": {}}, "emails は配列にしてください。"),
        ({"emails": ["x"], "title": []}, "emails[0] はオブジェクトにしてください。"),
        ({"emails": [{"value": 1}, {"type": True}]}, "emails[0].value は文字列にしてください（送信された型: 数値）。emails[1].type は文字列にしてください（送信された型: 真偽値）。"),
        ({"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]}, "emails は複数の値を primary にできません。"),
        ({"userName": "a\u200bb"}, "userName は見えない文字 U+200B を使用できません。"),
        ({"userName": None}, "userName は必須です。"),
        ({ENTERPRISE: 5}, f"{ENTERPRISE} はオブジェクトにしてください。"),
        ({"{x}%s'": 5}, "User に \"{x}%s'\" という属性はありません。"),
        ({"TITLE": "a", "title": "b"}, "大文字と小文字だけが異なる名前のメンバーがあります（場所: User）。"),
        ({"schemas": []}, f"schemas には {USER} が必要です。"),
    ],
)  # fmt: skip
def test_a_resource_is_refused_in_japanese(registry: Registry, members: dict[str, Any], expected: str) -> None:
    user = registry.resource_types["User"]
    assert detail(validation.check, user, {"schemas": [USER], "userName": "bjensen"} | members) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "フィルターが途中で終わっています。"),
        ("userName eq", "フィルターが途中で終わっています。"),
        ("userName eq bjensen", "フィルターの 13 文字目には値が必要です。二重引用符で囲んだ文字列、数値、true、false、null のいずれかを指定してください。"),
        ('userName like "x"', "フィルターの 10 文字目には演算子（eq, ne, co, sw, ew, gt, ge, lt, le, pr）が必要です。"),
        ('{nope} eq "x"', "フィルターの 1 文字目に予期しない 文字列 があります。"),
        ('nope eq "x"', "User に 'nope' という属性はありません。"),
        ("userName gt null", "null は gt で比較できません。"),
        ('active eq "on"', "active と比較する値は真偽値（true または false）にしてください（送信された型: 文字列）。"),
        ('active co "on"', "演算子 co は、型が boolean の active には使用できません。"),
        ('name eq "x"', "name は複合属性です。サブ属性を指定してください。"),
        ('password eq "x"', "password はフィルターに使用できません。"),
        ('title eq "\x07"', "使用できない文字 U+0007 が含まれています（場所: フィルター）。"),
    ],
)  # fmt: skip
def test_a_filter_is_refused_in_japanese(registry: Registry, text: str, expected: str) -> None:
    assert detail(filter.parse, text, registry.resource_types["User"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "path は attribute、attribute.sub、attribute[filter]、attribute[filter].sub のいずれかの形式にしてください。"),
        ("nope", "User に 'nope' という属性はありません。"),
        ("emails[0]", "配列の要素は番号では指定できません。フィルターで選択してください。"),
        ('title[value eq "x"]', "title にはフィルターで選択できる要素がありません。"),
        ('emails[type eq "x"].nope', "emails に 'nope' というサブ属性はありません。"),
        ("title\x00", "使用できない文字 U+0000 が含まれています（場所: path）。"),
    ],
)  # fmt: skip
def test_a_path_is_refused_in_japanese(registry: Registry, text: str, expected: str) -> None:
    assert detail(path.read_path, registry.resource_types["User"], text) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{", "二重引用符で囲んだメンバー名が必要です（1 行 2 列）"), ('{"a"}', "区切りの ':' が必要です（1 行 5 列）"),
        ("[1 2]", "区切りの ',' が必要です（1 行 4 列）"), ("nope", "値が必要です（1 行 1 列）"), ('"a', "文字列が閉じられていません（1 行 1 列）"),
        ('"\x01"', "文字列に制御文字があります（1 行 2 列）"), (r'"\x"', "エスケープが正しくありません（1 行 2 列）"),
        (r'"\uzzzz"', r"\uXXXX 形式のエスケープが正しくありません（1 行 3 列）"), ("{}{}", "余分なデータがあります（1 行 3 列）"),
    ],
)  # fmt: skip
def test_broken_json_is_explained_in_japanese(body: str, expected: str) -> None:
    assert detail(read_json, body.encode()) == f"本文が正しい JSON ではありません: {expected}。"


@pytest.mark.parametrize(
    "body", ['{"a":1,}', "[1,]", "{,}", "[,]", '{"a":', "[", '"\\', r'"\u12', "\t", "-", "tru", "{1:2}"]
)
def test_whatever_is_broken_in_json_is_explained_in_japanese(body: str) -> None:
    explained = detail(read_json, body.encode()).partition(": ")[2]
    assert not explained.isascii()
    assert "xpect" not in explained and "nvalid" not in explained


def test_where_a_character_stands_is_told_in_japanese() -> None:
    read = partial(check_strings, {"emails": [{"value": "\x07"}]})
    assert detail(read) == "使用できない文字 U+0007 が含まれています（場所: emails[0].value）。"
    assert detail(check_strings, "\x07") == "使用できない文字 U+0007 が含まれています（場所: 本文）。"
    assert detail(check_strings, {"a\n": 1}) == "使用できない文字 U+000A が含まれています（場所: メンバー名）。"
