"""What is meant by a message that is not the RFC's, and what stays refused."""

from typing import Any

import pytest

from scim_server.protocol import compatibility, filter_text, validation
from scim_server.protocol.errors import ScimError, no_target
from scim_server.protocol.filter import read as read_filter
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.limits import FILTER_LENGTH, PATCH_OPERATIONS
from scim_server.protocol.operations import read_operations
from scim_server.protocol.registry import Registry
from scim_server.protocol.wording import say
from tests.protocol import refused
from tests.scim import ENTERPRISE, PATCH_OP, USER

SENT: list[tuple[Any, Any]] = [
    ({"userName": "x", f"{USER}:title": "T"}, {"schemas": [USER], "userName": "x", "title": "T"}),
    ({USER: {"userName": "x", "title": "T"}}, {"schemas": [USER], "userName": "x", "title": "T"}),
    ({"userName": "x", "name.givenName": "G"}, {"schemas": [USER], "userName": "x", "name": {"givenName": "G"}}),
    ({"userName": "x", f"{ENTERPRISE}.department": "D"}, {"schemas": [USER], "userName": "x", ENTERPRISE: {"department": "D"}}),
    ({"userName": "x", "department": "D"}, {"schemas": [USER], "userName": "x"}),
    ({"userName": "x", "manager": "m"}, {"schemas": [USER], "userName": "x", ENTERPRISE: {"manager": {"value": "m"}}}),
]  # fmt: skip
AMBIGUOUS: list[Any] = [
    {"userName": "x", USER: {"userName": "y"}},
    {"userName": "x", "USERNAME": "y"},
    {"userName": "x", "name": {"givenName": "G"}, "name.givenName": "H"},
    {"userName": "x", "title": "T", f"{USER}:title": "U"},
    {"userName": "x", 'emails[type eq "work"].value': "a@b"},
]
"""Messages whose meaning cannot be told: which value counts, or which values there are."""


@pytest.mark.parametrize(("sent", "meant"), SENT)
def test_a_whole_resource_is_brought_into_the_form_of_the_rfc(registry: Registry, sent: Any, meant: Any) -> None:
    user = registry.resource_types["User"]
    clear = compatibility.resource(user, {"schemas": [USER], **sent}, Habits(ALL))
    assert clear == meant
    assert validation.check(user, clear)["userName"] == "x"


@pytest.mark.parametrize("sent", AMBIGUOUS)
def test_what_can_mean_two_things_is_refused(registry: Registry, sent: Any) -> None:
    user = registry.resource_types["User"]
    clear = compatibility.resource(user, {"schemas": [USER], **sent}, Habits(ALL))
    with pytest.raises(ScimError) as caught:
        validation.check(user, clear)
    assert caught.value.scim_type == "invalidSyntax"


def test_a_message_without_accepted_habits_is_read_once() -> None:
    seen: list[str] = []

    def strictly(message: str) -> str:
        seen.append(message)
        raise absent

    absent = no_target(say("The value"))
    for accepted in (frozenset(), ALL):
        with refused("noTarget"):
            Habits(accepted).read(strictly, "sent", lambda message, _: message)
    assert seen == ["sent"] * 2


def test_flat_names_are_as_limited_as_operations(registry: Registry) -> None:
    user = registry.resource_types["User"]
    flat = {f'emails[type eq "{number}"].value': "a@b" for number in range(PATCH_OPERATIONS + 1)}
    message = {"schemas": [PATCH_OP], "Operations": [{"op": "add", "value": flat}]}
    with refused("invalidSyntax"):
        read_operations(user, message, Habits(ALL))
    twice = [{"op": "add", "value": dict(list(flat.items())[: PATCH_OPERATIONS // 2 + 2])}] * 2
    with refused(None, status=413):
        read_operations(user, message | {"Operations": twice}, Habits(ALL))


FILTERS = [
    ("userName eq x", 'userName eq "x"'),
    ("userName eq x and title pr", 'userName eq "x" and title pr'),
    ('emails[type eq work].value sw "a"', 'emails [ ( type eq "work" ) and value sw "a" ]'),
    ('emails[type eq "work"] eq "a"', 'emails [ ( type eq "work" ) and value eq "a" ]'),
    ('emails[type eq "work"].value pr', 'emails [ ( type eq "work" ) and value pr ]'),
    (f'{ENTERPRISE}:manager eq "m"', f'{ENTERPRISE}:manager.value eq "m"'),
    ('manager eq "m"', f'{ENTERPRISE}:manager.value eq "m"'),
    ('active eq "True"', "active eq true"),
    ("(userName eq x)", '( userName eq "x" )'),
]
NO_FILTERS = [
    'emails[type eq "work")(].value eq "a"',
    'emails[(type eq "work"].value eq "a"',
    'emails[type eq "work"]].value eq "a"',
    "userName eq 'x'",
    "userName eq x y",
    "userName eq hunter2hunter2 nosuch hunter2hunter2",
    'password eq "hunter2hunter2"',
    'hunter2hunter2 eq "x"x',
    "userName hunter2hunter2",
]


@pytest.mark.parametrize(("sent", "meant"), FILTERS)
def test_a_filter_is_brought_into_the_form_of_the_rfc(registry: Registry, sent: str, meant: str) -> None:
    user = registry.resource_types["User"]
    assert filter_text.meant(sent, [user], Habits(ALL)) == meant
    assert read_filter(sent, user, Habits(ALL)) == read_filter(meant, user, Habits())
    with refused("invalidFilter"):
        read_filter(sent, user, Habits())


@pytest.mark.parametrize("sent", NO_FILTERS)
def test_what_is_no_filter_stays_none_and_its_error_repeats_no_operand(registry: Registry, sent: str) -> None:
    with pytest.raises(ScimError) as caught:
        read_filter(sent, registry.resource_types["User"], Habits(ALL))
    assert caught.value.scim_type == "invalidFilter"
    assert "hunter2" not in str(caught.value.detail) or sent.startswith("hunter2")


@pytest.mark.parametrize("opened", ['"', '"\\', "[", "(", "emails[", 'emails[type eq "w"].', "a" * 50 + " "])
def test_reading_a_filter_twice_costs_no_more_for_its_length_than_its_length(registry: Registry, opened: str) -> None:
    """Steps are counted, not seconds: each lexeme is read a bounded number of times."""
    user = registry.resource_types["User"]
    text = opened * (FILTER_LENGTH // len(opened))
    assert len(filter_text.meant(text, [user], Habits(ALL))) <= 4 * len(text)
    with refused("invalidFilter"):
        read_filter(text, user, Habits(ALL))
