"""Addresses (RFC 5321 section 4.1.2, RFC 6531): those that mail reaches as they are written, and no others."""

import pytest

from scim_server.protocol.address import is_address


@pytest.mark.parametrize(
    "text",
    ["a@x", "bjensen+scim@mail.example.com", "o'brien_1=2@example.com", "?a=@x", "用户@例え.jp", "a" * 64 + "@" + "x" * 189],
)  # fmt: skip
def test_what_is_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    ["", "a", "a@", "@x", "a b@x", "a@x\n", "a\r\nBcc: b@x", "<a@x>", "a@b@x", "a..b@x", ".a@x", "a.@x", "a@x.", "a@.x", "a@x..y", '"a"@x', "a,b@x", "a@x_y", "a@[127.0.0.1]", "a\u2028@x", "a\u202e@x", "a\u3000@x", "\ud800@x", "a" * 65 + "@x", "あ" * 22 + "@x", "a@" + "x" * 253, "=?utf-8?q?b=2Cc?=@x", "a=?b@x"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert not is_address(text)
