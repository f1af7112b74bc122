"""What a terminal gets to see can be trusted, and stands in columns."""

import sys
from io import StringIO

import pytest

from scim_server.cli.common import confirm
from scim_server.cli.terminal import cut, plain, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Babs Jensen", "Babs Jensen"), ("山田\u3000太郎", "山田\u3000太郎"), ("\u00c9ric \U0001f600", "\u00c9ric \U0001f600"),
        ("\ue000", "\ue000"), ("\x1b[2J", "\\x1b[2J"), ("\x9b2J", "\\x9b2J"), ("a\nb\tc", "a\\nb\\tc"),
        ("a\u202egnp", "a\\u202egnp"), ("a\u2028b", "a\\u2028b"), ("a\u200bb", "a\\u200bb"), ("\ud800", "\\ud800"),
    ],
)  # fmt: skip
def test_what_nobody_sees_is_written_as_its_code(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("abc", 3),
        ("山田", 4),
        ("\uff94\uff8f", 2),
        ("e\u0301", 1),
        ("か\u3099", 2),
        ("☃\ufe0e", 1),
        ("\u3000", 2),
        ("", 0),
    ],
)
def test_the_width_is_that_of_a_terminal(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abcdef", "abcdef"), ("abcdefg", "abcde…"), ("山田太", "山田太"), ("山田太郎", "山田…"), ("x" * 9999, "xxxxx…")],
)
def test_a_long_text_is_cut_at_a_character(text: str, shown: str) -> None:
    assert cut(text, 6) == shown


def test_questions_stay_out_of_what_is_redirected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = StringIO("y\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers)
    confirm("Forget it?", yes=False)
    shown = capsys.readouterr()
    assert shown.out.strip() == ""
    assert "Forget it? [y/N]" in shown.err
