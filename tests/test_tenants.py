"""Tenants: what a name, a company, a time zone and a language may be."""

import pytest

from scim_server import tenants
from scim_server.protocol.errors import ScimError
from scim_server.storage.database import Database
from scim_server.storage.keys import LAST_TENANT
from scim_server.tenants import Tenant, TenantError


@pytest.fixture
def database(prepared: Database) -> Database:
    return prepared


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a--b", "tenant-2", "a" * 63])
def test_good_names_are_taken(database: Database, name: str) -> None:
    made = tenants.create(database, name, "Example Company")
    assert tenants.find(database, name) == made
    assert tenants.find(database, None) == made
    assert made == Tenant(1, name, "Example Company", "UTC", "en", frozenset({"group_name_unique"}))


@pytest.mark.parametrize("name", ["", " ", "Acme", "a b", "-a", "a-", "-", "a.b", "a_b", "ä", "a\n", "a" * 64])
def test_bad_names_are_refused(database: Database, name: str) -> None:
    with pytest.raises(TenantError, match=r"^A tenant's name has 1 to 63 characters: a-z, 0-9 and - within\.$"):
        tenants.create(database, name, "Example Company")
    assert not tenants.every(database)


_GOOD = [
    {"company_name": "株式会社　例"},
    {"time_zone": "Asia/Tokyo"},
    {"time_zone": "UTC", "language": "ja"},
]
_BAD = [
    ({"company_name": ""}, "The company name must not be empty."),
    ({"company_name": "　"}, "The company name must not be empty."),
    ({"company_name": "a\nb"}, "The company name contains the character U+000A, which is not allowed."),
    ({"company_name": "a\0b"}, "The company name contains the character U+0000, which is not allowed."),
    ({"company_name": "caf\udce9"}, "The company name contains the character U+DCE9, which is not allowed."),
    ({"time_zone": "Tokyo"}, "Tokyo is not a time zone; an example is Asia/Tokyo."),
    ({"time_zone": "asia/tokyo"}, "asia/tokyo is not a time zone; an example is Asia/Tokyo."),
    ({"time_zone": "../etc/passwd"}, "../etc/passwd is not a time zone; an example is Asia/Tokyo."),
    ({"time_zone": ""}, " is not a time zone; an example is Asia/Tokyo."),
    ({"language": "de"}, "The language must be one of en, ja."),
    ({"language": "EN"}, "The language must be one of en, ja."),
]


@pytest.mark.parametrize("values", _GOOD)
def test_good_values_are_taken_and_the_rest_stays(database: Database, values: dict[str, str]) -> None:
    before = tenants.create(database, "acme", "Example Company")
    after = tenants.change(database, "acme", values)
    assert {name: getattr(after, name) for name in values} == values
    others = {"number", "name", "company_name", "time_zone", "language", "policies"} - values.keys()
    assert all(getattr(after, name) == getattr(before, name) for name in others)


@pytest.mark.parametrize(("values", "sentence"), _BAD)
def test_bad_values_are_refused_and_nothing_changes(database: Database, values: dict[str, str], sentence: str) -> None:
    before = tenants.create(database, "acme", "Example Company")
    for attempt in (
        lambda: tenants.change(database, "acme", values),
        lambda: tenants.create(database, "other", **{"company_name": "Other Company", **values}),
    ):
        with pytest.raises((TenantError, ScimError)) as raised:
            attempt()
        assert str(raised.value) == sentence
    assert tenants.every(database) == [before]


def test_a_name_is_given_once(database: Database) -> None:
    made = tenants.create(database, "acme", "Example Company")
    with pytest.raises(TenantError, match=r"^There is a tenant acme already\.$"):
        tenants.create(database, "acme", "Other Company")
    assert tenants.every(database) == [made]


def test_an_unknown_tenant_is_refused(database: Database) -> None:
    for attempt in (
        lambda: tenants.find(database, "acme"),
        lambda: tenants.change(database, "acme", {"language": "ja"}),
    ):
        with pytest.raises(TenantError, match=r"^There is no tenant acme\.$"):
            attempt()


def test_one_of_several_must_be_named(database: Database) -> None:
    tenants.create(database, "beta", "Example Company")
    tenants.create(database, "acme", "Example Company")
    with pytest.raises(TenantError, match=r"^Name a tenant with --tenant; there are 2: beta, acme\.$"):
        tenants.find(database, None)


def test_there_are_no_more_tenants_than_keys_can_name(database: Database, kind: str) -> None:
    database.run(
        "INSERT INTO tenant SELECT ?, 'last', 'Example Company', 'UTC', 'en', '', '2026-01-01'", (LAST_TENANT,)
    )
    if kind == "postgres":
        database.run(f"ALTER TABLE tenant ALTER number RESTART WITH {LAST_TENANT + 1}")
    with pytest.raises(TenantError, match=f"^A database holds at most {LAST_TENANT} tenants.$"):
        tenants.create(database, "one-more", "Example Company")
    assert [tenant.name for tenant in tenants.every(database)] == ["last"]
