"""SQL finds exactly what the evaluator finds, for any documents and filters."""

import json
import os
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_server import tenants
from scim_server.protocol import filter
from scim_server.protocol.habits import ALL, Habits
from scim_server.protocol.match import matches
from scim_server.protocol.query import Query
from scim_server.resources import listing
from scim_server.resources.base import Resources
from scim_server.storage import grams
from scim_server.tokens import Principal
from tests.filters import INSTANTS, WORDS, Maker
from tests.scim import ACCOUNT_GROUP, ACCOUNT_USER, ENTERPRISE
from tests.storage.conftest import House

BATCHES = int(os.environ.get("ORACLE_BATCHES", "1"))
"""Batches of 200 documents and 100 filters: 20,000 pairs each. More on demand."""
USERS, GROUPS, FILTERS = 160, 40, 100


def user(make: Maker) -> dict[str, Any]:
    document = make.some(
        title=make.word, nickName=make.word, externalId=make.word, displayName=make.word,
        active=lambda: make.random.random() < 0.5,
        name=lambda: make.some(familyName=make.word, givenName=make.word),
        emails=lambda: make.several(value=make.word, type=lambda: make.random.choice(["work", "home"]), display=make.word),
        phoneNumbers=lambda: make.several(value=make.word, type=make.word),
        x509Certificates=lambda: make.several(value=lambda: make.random.choice(["AA==", "AQ=="])),
    )  # fmt: skip
    instant = lambda: make.random.choice(INSTANTS)  # noqa: E731
    document[ENTERPRISE] = make.some(department=make.word, costCenter=make.word)
    document[ACCOUNT_USER] = make.some(validFrom=instant, validUntil=instant)
    return document


def everything(resources: Resources, by: Principal) -> list[dict[str, Any]]:
    page = listing.answer([resources], by, Query(count=1000))
    found: list[dict[str, Any]] = json.loads(page)["Resources"]
    return found


@settings(max_examples=BATCHES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_sql_and_evaluator_agree(house: House, seed: int) -> None:
    make = Maker(Random(seed))
    number = len(tenants.every(house.database))
    tenant = tenants.create(house.database, f"batch-{number}", "Ａb", policies=())
    by = Principal("test", tenant, frozenset({"admin"}), habits=Habits(ALL))
    users, groups, services = (house.resources[name] for name in ("User", "Group", "Service"))

    def create(resources: Resources, body: dict[str, Any]) -> str:
        return str(json.loads(resources.create(by, body).body)["id"])

    service_ids = [create(services, {"displayName": name}) for name in ("a", "山", "B")]
    user_ids: list[str] = []
    for index in range(USERS):
        document = user(make) | {"userName": f"{make.name()}{index}{make.name()}"}
        if user_ids and make.random.random() < 0.2:
            document[ENTERPRISE]["manager"] = {"value": make.random.choice(user_ids)}
        user_ids.append(create(users, document))
        if index == USERS // 2:
            # Half of the texts are found by the index, half of them while they wait for it.
            with house.database.transaction():
                grams.index_pending(house.database)
    group_ids: list[str] = []
    for _ in range(GROUPS):
        members = make.random.choices(user_ids, k=make.random.randrange(4))
        members += make.random.choices(group_ids, k=make.random.randrange(3)) if group_ids else []
        grants = make.random.choices(service_ids, k=make.random.randrange(2))
        body = {"displayName": make.word(), "members": [{"value": id} for id in members]}
        group_ids.append(create(groups, body | {ACCOUNT_GROUP: {"services": [{"value": id} for id in grants]}}))

    found = 0
    for resources, share in ((users, FILTERS * 3 // 4), (groups, FILTERS // 4)):
        documents = everything(resources, by)
        location = documents[3]["meta"]["location"]
        known = [*user_ids[:2], *group_ids[:3], service_ids[0], location, "User", "Ab", "山", ENTERPRISE]
        make = Maker(make.random, [*WORDS, *known])
        for _ in range(share):
            text = make.filter(resources.resource_type, documents)
            node = filter.parse(text, resources.resource_type)
            expected = [document["id"] for document in documents if matches(node, document)]
            answer = json.loads(listing.answer([resources], by, Query(count=1000, filter=text)))
            assert [document["id"] for document in answer["Resources"]] == expected, text
            assert answer["totalResults"] == len(expected), text
            found += 0 < len(expected) < len(documents)
    # Filters that select all or nothing would prove little.
    assert found > FILTERS // 4
