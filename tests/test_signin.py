"""Signing in: the reason is for those who know the password, and the time tells nobody anything."""

from typing import Any

import pytest
from argon2 import PasswordHasher

from scim_server import tenants
from scim_server.resources.users import ACCOUNT, Users
from scim_server.signin import WRONG, SignIn, sign_in
from scim_server.storage import passwords
from tests.storage.conftest import House, house

__all__ = ["house"]

PASSWORD = "t1meMa$heen"


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords were compared with."""
    seen: list[str] = []
    verify = PasswordHasher.verify

    def count(self: PasswordHasher, hash: str, password: str) -> bool:
        seen.append(hash)
        return verify(self, hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", count)
    return seen


def account(house: House, name: str, **attributes: Any) -> str:
    answer = house.resources["User"].create(house.by, {"userName": name, **attributes})
    return answer.location.rpartition("/")[2]


def attempt(house: House, name: str, password: str = PASSWORD, tenant: tenants.Tenant | None = None) -> SignIn:
    users = house.resources["User"]
    assert isinstance(users, Users)
    return sign_in(users, tenant or house.by.tenant, name, password)


@pytest.mark.parametrize(
    ("attributes", "refusal"),
    [
        ({}, None),
        ({"active": True}, None),
        ({"active": False}, "disabled"),
        ({ACCOUNT: {"validFrom": "2999-01-01T00:00:00Z"}}, "pending"),
        ({ACCOUNT: {"validUntil": "2020-01-01T00:00:00Z"}}, "expired"),
        ({ACCOUNT: {"validFrom": "2020-01-01T00:00:00Z", "validUntil": "2999-01-01T00:00:00Z"}}, None),
        ({"active": False, ACCOUNT: {"validUntil": "2020-01-01T00:00:00Z"}}, "disabled"),
    ],
)
def test_the_reason_is_told_after_the_right_password_only(
    house: House, verified: list[str], attributes: dict[str, Any], refusal: str | None
) -> None:
    id = account(house, "BJensen", password=PASSWORD, **attributes)
    for name in ("BJensen", "bjensen", "ｂｊｅｎｓｅｎ"):
        assert attempt(house, name) == SignIn(id, refusal)
        assert len(verified) == 1
        assert attempt(house, name, "wrong") == SignIn(None, WRONG)
        assert len(verified) == 2
        verified.clear()


def test_nobody_is_verified_once_too(house: House, verified: list[str]) -> None:
    account(house, "without")
    account(house, "bjensen", password=PASSWORD)
    other = tenants.create(house.database, "other", "Other Company")
    deleted = account(house, "deleted", password=PASSWORD)
    house.resources["User"].delete(house.by, deleted)
    for name, tenant in (("unknown", None), ("without", None), ("deleted", None), ("bjensen", other), ("", None)):
        assert attempt(house, name, tenant=tenant) == SignIn(None, WRONG)
        assert len(verified) == 1
        verified.clear()


def test_names_that_agree_in_their_first_200_characters_are_kept_apart(house: House) -> None:
    first, second = (account(house, "n" * 200 + end, password=PASSWORD + end) for end in ("a", "b"))
    assert attempt(house, "n" * 200 + "a", PASSWORD + "a") == SignIn(first, None)
    assert attempt(house, "n" * 200 + "b", PASSWORD + "b") == SignIn(second, None)
    assert attempt(house, "n" * 200 + "a", PASSWORD + "b") == SignIn(None, WRONG)
    assert attempt(house, "n" * 200, PASSWORD + "a") == SignIn(None, WRONG)


def test_a_hash_is_found_in_its_own_tenant_only(house: House) -> None:
    id = account(house, "bjensen", password=PASSWORD)
    other = tenants.create(house.database, "other", "Other Company")
    users = house.resources["User"]
    assert passwords.get(house.database, users.tenant_scope(house.by.tenant), id)
    assert passwords.get(house.database, users.tenant_scope(other), id) is None
    assert passwords.get(house.database, house.resources["Group"].tenant_scope(house.by.tenant), id) is None


@pytest.mark.parametrize("text", ["\ud800", "x" * 100_000, "e\u0301" * 50_000, "a" + "\u0300\u0316" * 50_000])
def test_text_that_is_no_name_or_password_is_verified_once_too(house: House, verified: list[str], text: str) -> None:
    account(house, "bjensen", password=PASSWORD)
    assert attempt(house, text) == SignIn(None, WRONG)
    assert attempt(house, "bjensen", text) == SignIn(None, WRONG)
    assert len(verified) == 2


def test_a_damaged_hash_is_nobodys(house: House, verified: list[str]) -> None:
    account(house, "bjensen", password=PASSWORD)
    house.database.run("UPDATE password SET hash = 'damaged'")
    assert attempt(house, "bjensen") == SignIn(None, WRONG)
    assert verified[-1].startswith("$argon2id$")
