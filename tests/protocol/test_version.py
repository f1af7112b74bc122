import pytest
from hypothesis import given
from hypothesis import strategies as st

from scim_server.protocol.errors import ERROR_SCHEMA, ScimError
from scim_server.protocol.version import check_match, is_known
from tests.protocol import refused

VERSION = 'W/"3-0a1b2c3d"'
NAMING = [
    VERSION,
    '"3-0a1b2c3d"',
    "*",
    " * ",
    f'"1", {VERSION}',
    f'W/"1",{VERSION},W/"5"',
    f'"a,b" , {VERSION}',
]
OTHERS = ['W/"2-0a1b2c3d"', '"3"', '"3-0A1B2C3D"', '"1", "2"', '""', "", "3-0a1b2c3d", '"W/"3-0a1b2c3d', '"*"', "**"]


@pytest.mark.parametrize("tags", NAMING)
def test_the_current_version_is_named_by_its_opaque_part(tags: str) -> None:
    check_match(VERSION, tags)
    assert is_known(VERSION, tags)


@pytest.mark.parametrize("tags", OTHERS)
def test_a_write_against_another_version_is_refused(tags: str) -> None:
    with refused(None, f"The resource has changed: its version is {VERSION}.", status=412):
        check_match(VERSION, tags)
    assert not is_known(VERSION, tags)


def test_a_stale_write_is_told_in_an_error_message_without_scim_type() -> None:
    with pytest.raises(ScimError) as caught:
        check_match('W/"2"', 'W/"1"')
    assert caught.value.body() == {
        "schemas": [ERROR_SCHEMA],
        "status": "412",
        "detail": 'The resource has changed: its version is W/"2".',
    }


def test_without_a_condition_everything_goes_ahead() -> None:
    check_match(VERSION, None)
    assert not is_known(VERSION, None)


TAGS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'), max_size=5)


@given(TAGS, st.lists(TAGS))
def test_a_version_is_known_if_and_only_if_it_is_listed(tag: str, listed: list[str]) -> None:
    tags = ", ".join(f'W/"{other}"' for other in listed)
    assert is_known(f'W/"{tag}"', tags) == (tag in listed)
    assert is_known(f'"{tag}"', tags) == (tag in listed)
