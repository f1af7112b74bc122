"""The public conformance suite scim2-tester, run against the live server with an empty tenant."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import scim2_tester.filling
from pydantic import BaseModel
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import EnterpriseUser, Group, GroupMember, Mutability, ResourceType, ScimPolicy, ScimProvider, User
from scim2_tester import Status, check_server
from scim2_tester.checkers import patch_add, patch_remove, patch_replace

from scim_server.app import create_app
from tests.conftest import Caller
from tests.server import Server


def assert_all_pass(results: list[Any]) -> None:
    """Assert that every check succeeds and none is left out."""
    failed = [f"{r.title}: {r.status.name}: {r.reason}" for r in results if r.status is not Status.SUCCESS]
    assert not failed, "\n".join(failed)
    assert {"check_add_attribute", "check_remove_attribute", "check_replace_attribute"} <= {r.title for r in results}
    assert sum(r.status == Status.SUCCESS for r in results) > 100


def settable(value: Any) -> Any:
    """Return what of a value a client may set: the rest is the server's to say."""
    if isinstance(value, list):
        return [settable(element) for element in value]
    if not isinstance(value, BaseModel):
        return value
    found = {}
    for name in type(value).model_fields:
        member = settable(getattr(value, name))
        derived = isinstance(value, GroupMember) and name == "display"
        if name == "schemas" or derived or value.get_field_annotation(name, Mutability) == Mutability.read_only:
            continue
        if member not in (None, [], {}):
            found[name] = member
    return found


def holds(expected: Any, actual: Any) -> bool:
    """Tell whether a value has everything that was set; values that were added may stand beside others."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(name in actual and holds(value, actual[name]) for name, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return all(any(holds(value, other) for other in actual) for value in expected)
    return bool(expected == actual)


@pytest.fixture(autouse=True)
def tester(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mend what the suite does not know: dateTime values, readOnly sub-attributes, two additions to one attribute."""
    original = scim2_tester.filling.generate_random_value

    def with_instants(context: Any, path: Any, mutability: Any = None, required: Any = None) -> Any:
        # It fills dateTime attributes with UUIDs, which its own models then refuse.
        value = original(context, path=path, mutability=mutability, required=required)
        binding = path.resolve()
        if value is not None and binding is not None and binding.target_type is datetime:
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(10**6))
        return value

    for module in (scim2_tester.filling, patch_add, patch_replace):
        monkeypatch.setattr(module, "generate_random_value", with_instants)
    for module in (patch_add, patch_replace):
        monkeypatch.setattr(
            module, "fields_equality", lambda expected, actual: holds(settable(expected), settable(actual))
        )
    monkeypatch.setattr(patch_remove, "_is_unassigned", lambda value: settable(value) in (None, [], {}))


def test_it_passes_with_the_models_of_the_rfc(caller: Caller) -> None:
    provider = ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=[ResourceType.from_resource(User[EnterpriseUser]), ResourceType.from_resource(Group)],
        # Every user shows the account extension, which these models do not know.
        policy=ScimPolicy(unknown=ScimPolicy.Unknown.ignore),
    )
    assert_all_pass(check_server(SyncSCIMClient(caller.http, provider=provider)))


def test_it_passes_with_what_the_server_says_of_itself(caller: Caller) -> None:
    assert_all_pass(check_server(SyncSCIMClient(caller.http)))


def test_it_passes_with_a_server_that_accepts_no_habits(caller: Caller, server: Server) -> None:
    with caller.local(create_app(replace(server.settings, compatibility=frozenset()))) as http:
        assert_all_pass(check_server(SyncSCIMClient(http)))
