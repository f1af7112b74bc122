import json

from scim_server.protocol.registry import Registry, bundled_schemas
from scim_server.storage.documents import COLUMNS
from scim_server.storage.keys import key_of, scope_in, scope_of, scope_range, tenant_range, type_in
from scim_server.storage.rows import rows_of
from tests.conftest import ON_SQLITE
from tests.scim import ENTERPRISE
from tests.storage.conftest import House


@ON_SQLITE
def test_the_declared_columns_are_those_of_the_table(house: House) -> None:
    declared = set(json.loads((bundled_schemas() / "columns.json").read_text()).values())
    table = {name for _, name, *_ in house.database.rows("PRAGMA table_info(resource)")}
    assert declared - {"created", "modified"} == set(COLUMNS)
    assert table == declared | {"key", "scope", "id", "version", "display"}


def test_every_declared_column_belongs_to_an_attribute(registry: Registry) -> None:
    declared = json.loads((bundled_schemas() / "columns.json").read_text())
    known = {a.path for r in registry.resource_types.values() for a in r.by_path.values() if a.column}
    assert set(declared) == known


def test_a_value_is_in_its_column_or_else_in_a_row(registry: Registry) -> None:
    user = registry.resource_types["User"]
    rows = rows_of(
        user,
        {"userName": "BJensen", "active": True, "nickName": "Babs", "emails": [{"value": "A@b.c", "primary": True}, {"type": "x"}],
         ENTERPRISE: {"department": "Tours", "costCenter": "4130"}},
    )  # fmt: skip
    assert rows.columns == {"user_name": "bjensen", "active": "true", "department": "tours"}
    by_path = {attribute.number: attribute.path for attribute in user.by_path.values()}
    assert {(by_path[number], element, key) for number, element, key in rows.values} == {
        ("nickName", 0, "babs"), ("emails.value", 0, "a@b.c"), ("emails.primary", 0, "true"), ("emails.type", 1, "x"),
        (f"{ENTERPRISE}:costCenter", 0, "4130"),
    }  # fmt: skip
    assert [by_path[number] for number, _ in rows.unique] == ["userName"]


def test_an_update_leaves_exactly_the_rows_of_the_new_document(house: House) -> None:
    users = house.resources["User"]
    made = json.loads(
        users.create(house.by, {"userName": "a", "nickName": "x", "emails": [{"value": "1"}, {"value": "2"}]}).body
    )
    users.replace(house.by, made["id"], {"userName": "b", "title": "T", "emails": [{"value": "2"}, {"type": "home"}]})
    wanted = rows_of(users.resource_type, {"userName": "b", "title": "T", "emails": [{"value": "2"}, {"type": "home"}]})
    assert set(house.database.rows("SELECT attribute, element, key FROM value")) == wanted.values
    assert house.database.rows("SELECT user_name, title, display FROM resource") == [("b", "t", None)]
    assert set(house.database.rows("SELECT attribute, digest FROM unique_key")) == wanted.unique


def test_keys_say_tenant_type_and_order() -> None:
    scope = scope_of(5, 3)
    low, high = scope_range(scope)
    for order in (0, 1, 2**34 - 1):
        key = key_of(scope, order)
        assert low <= key < high
        assert scope_in(key) == scope
        assert type_in(key) == 3
        assert tenant_range(scope)[0] <= key < tenant_range(scope)[1]
    assert not low <= key_of(scope_of(5, 4), 0) < high
    assert not tenant_range(scope)[0] <= key_of(scope_of(6, 3), 0) < tenant_range(scope)[1]
    assert key_of(scope_of(2**23 - 1, 63), 2**34 - 1) < 2**63


def test_deleted_orders_are_not_given_again(house: House) -> None:
    users = house.resources["User"]
    first = json.loads(users.create(house.by, {"userName": "a"}).body)["id"]
    (key,) = house.database.row("SELECT key FROM resource") or (0,)
    users.delete(house.by, first)
    users.create(house.by, {"userName": "a"})
    assert house.database.rows("SELECT key FROM resource") == [(key + 1,)]
    assert house.database.rows("SELECT total FROM collection") == [(1,)]


def test_the_time_of_change_never_goes_backwards(house: House) -> None:
    users = house.resources["User"]
    made = json.loads(users.create(house.by, {"userName": "a"}).body)
    house.database.run("UPDATE resource SET modified = '2999-01-01T00:00:00.000'")
    changed = json.loads(users.replace(house.by, made["id"], {"userName": "b"}).body)
    assert changed["meta"]["lastModified"] == "2999-01-01T00:00:00.000Z"
