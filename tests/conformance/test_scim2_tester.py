"""The public conformance suite scim2-tester, run against the live server with an empty tenant."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import scim2_tester.filling
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import EnterpriseUser, Group, ResourceType, ScimPolicy, ScimProvider, User
from scim2_tester import Status, check_server

from tests.conftest import Caller

NOT_OFFERED = {"check_add_attribute", "check_remove_attribute", "check_replace_attribute"}
"""PATCH: the server answers 501 and says so."""


def assert_all_pass(results: list[Any]) -> None:
    """Assert that every check succeeds; only what the server says it does not offer may be left out."""
    failed = [f"{r.title}: {r.reason}" for r in results if r.status not in (Status.SUCCESS, Status.SKIPPED)]
    assert not failed, "\n".join(failed)
    assert {r.title for r in results if r.status == Status.SKIPPED} <= NOT_OFFERED
    assert sum(r.status == Status.SUCCESS for r in results) > 20


def test_it_passes_with_the_models_of_the_rfc(caller: Caller) -> None:
    provider = ScimProvider(
        models=[User, EnterpriseUser, Group],
        resource_types=[ResourceType.from_resource(User[EnterpriseUser]), ResourceType.from_resource(Group)],
        # Every user shows the account extension, which these models do not know.
        policy=ScimPolicy(unknown=ScimPolicy.Unknown.ignore),
    )
    assert_all_pass(check_server(SyncSCIMClient(caller.http, provider=provider)))


def test_it_passes_with_what_the_server_says_of_itself(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    # The suite fills dateTime attributes with UUIDs, which its own models then refuse.
    original = scim2_tester.filling.generate_random_value

    def with_instants(context: Any, path: Any, mutability: Any = None, required: Any = None) -> Any:
        value = original(context, path=path, mutability=mutability, required=required)
        binding = path.resolve()
        if value is not None and binding is not None and binding.target_type is datetime:
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=random.randrange(10**6))
        return value

    for module in (
        scim2_tester.filling,
        scim2_tester.checkers.patch_add,
        scim2_tester.checkers.patch_replace,
    ):
        monkeypatch.setattr(module, "generate_random_value", with_instants)
    assert_all_pass(check_server(SyncSCIMClient(caller.http)))
