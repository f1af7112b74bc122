"""Parts of texts are found by their grams, whatever was written since the index was brought up to date."""

import json
from random import Random
from typing import Any

import pytest

from scim_server.protocol.query import Query
from scim_server.resources import listing
from scim_server.storage import grams
from tests.storage.conftest import House

PARTS = ["山田", "太郎", "ﾔﾏﾀﾞ", "jen", "sen", "Ab", "é", "%_", '"', "\\", "x y", "０１", "ß"]


def found(house: House, text: str) -> set[str]:
    answer = json.loads(listing.answer([house.resources["User"]], house.by, Query(count=1000, filter=text)))
    return {user["userName"] for user in answer["Resources"]}


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_what_contains_a_part_is_found_through_all_changes(
    house: House, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(grams, "_BATCH", batch)
    monkeypatch.setattr(grams, "_LOOK_EVERY", 1)
    users = house.resources["User"]
    random = Random(batch)
    present: dict[str, dict[str, Any]] = {}
    for step in range(150):
        body = {
            "userName": f"{random.choice(PARTS)}{step}{random.choice(PARTS)}",
            "displayName": "".join(random.choices(PARTS, k=3)),
            "title": random.choice([None, *PARTS]),
        }
        what = random.random()
        if what < 0.5 or not present:
            id = json.loads(users.create(house.by, body).body)["id"]
            present[id] = body
        elif what < 0.8:
            id = random.choice(sorted(present))
            users.replace(house.by, id, body)
            present[id] = body
        else:
            id = random.choice(sorted(present))
            users.delete(house.by, id)
            del present[id]
    for part in [*PARTS, "nothing", "jense", "山田太", "太郎山"]:
        for name in ("userName", "displayName", "title"):
            expected = {body["userName"] for body in present.values() if body[name] and part in body[name]}
            assert expected <= found(house, f"{name} co {json.dumps(part)}"), (name, part)
            if part.isascii() and part.islower():
                assert expected == found(house, f"{name} co {json.dumps(part)}")
            ending = {body["userName"] for body in present.values() if body[name] and body[name].endswith(part)}
            assert ending <= found(house, f"{name} ew {json.dumps(part)}"), (name, part)


def test_changed_texts_are_indexed_by_the_hundred(house: House) -> None:
    users = house.resources["User"]
    for number in range(600):
        users.create(house.by, {"userName": f"u{number}"})
    (waiting,) = house.database.row("SELECT count(*) FROM gram_pending") or (0,)
    assert 0 < waiting < 600 - 500
    assert found(house, 'userName co "u59"') == {"u59", *(f"u59{n}" for n in range(10))}


def test_a_change_of_something_else_leaves_the_index_alone(house: House) -> None:
    users = house.resources["User"]
    made = json.loads(users.create(house.by, {"userName": "bjensen", "active": True}).body)
    with house.database.transaction():
        grams.index_pending(house.database)
    users.replace(house.by, made["id"], {"userName": "BJensen", "active": False, "nickName": "Babs"})
    assert house.database.rows("SELECT key FROM gram_pending") == []
    assert found(house, 'userName co "jens"') == {"BJensen"}


def test_the_index_of_one_tenant_does_not_slow_another(house: House) -> None:
    condition = grams.candidates("user_name", "ab", 65)
    assert "rowid >= ? AND rowid < ?" in condition.sql
    assert condition.parameters[1:3] == (65 << 34, 66 << 34)
