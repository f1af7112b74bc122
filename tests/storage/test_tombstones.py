"""Deleted resources: what comes back, what waits, what is refused, and what nobody finds any more."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scim_server import clock, idempotency, outbox, tenants, tokens
from scim_server.protocol.query import Query
from scim_server.protocol.registry import Registry
from scim_server.resources import listing, tombstones
from scim_server.resources.tombstones import Restored
from scim_server.storage import grams
from scim_server.storage import tombstones as kept
from scim_server.storage.keys import scope_of
from scim_server.storage.tombstones import EVER, TombstoneError
from tests.conftest import ON_SQLITE
from tests.scim import PATCH_OP
from tests.storage.conftest import House, housed
from tests.storage.plans import assert_uses_indexes

_names = count(1)


def create(house: House, kind: str, **attributes: Any) -> str:
    body = house.resources[kind].create(house.by, attributes).body
    assert isinstance(body, bytes)
    return str(json.loads(body)["id"])


def user(house: House, user_name: str, /, **attributes: Any) -> str:
    return create(house, "User", userName=user_name, **attributes)


def group(house: House, name: str, *members: str, **attributes: Any) -> str:
    return create(house, "Group", displayName=name, members=[{"value": id} for id in members], **attributes)


def shown(house: House, kind: str, id: str) -> dict[str, Any]:
    body = house.resources[kind].read(house.by, id).body
    assert isinstance(body, bytes)
    document: dict[str, Any] = json.loads(body)
    return document


def apart(document: dict[str, Any]) -> dict[str, Any]:
    """Return a resource without what a restore may change."""
    meta = {name: value for name, value in document["meta"].items() if name not in ("version", "lastModified")}
    return document | {"meta": meta}


def found(house: House, kind: str, filter: str | None = None) -> list[str]:
    body = listing.answer([house.resources[kind]], house.by, Query(filter=filter))
    assert isinstance(body, bytes)
    answer = json.loads(body)
    assert answer["totalResults"] == len(answer["Resources"])
    return [resource["id"] for resource in answer["Resources"]]


def delete(house: House, kind: str, id: str) -> None:
    house.resources[kind].delete(house.by, id)


def restore(house: House, kind: str, id: str) -> Restored:
    return tombstones.restore(house.resources[kind], house.by, id)


def purge(house: House, *ids: str) -> int:
    types = house.database.type_numbers([])
    page = [kept.find(house.database, id) for id in ids]
    return tombstones.purge(house.database, "cli", types, [page])


def members_of(house: House, id: str) -> list[str]:
    return [member["value"] for member in shown(house, "Group", id).get("members", [])]


def audit_of(house: House, id: str) -> list[tuple[str, str]]:
    return house.database.rows("SELECT operation, attributes FROM audit WHERE resource_id = ? ORDER BY number", (id,))


EXTENSION = "urn:ietf:params:scim:schemas:extension:account:2.0:Group"


@pytest.fixture
def rich(house: House) -> dict[str, tuple[str, str]]:
    """One resource of each type with everything that is kept beside the document."""
    boss = user(house, "boss", displayName="The Boss")
    someone = user(
        house, "bjensen", displayName="Babs Jensen", password="correct horse", name={"familyName": "Jensen"},
        emails=[{"value": "b@example.com", "type": "work", "primary": True}], manager={"value": boss}, externalId="e1",
    )  # fmt: skip
    service = create(house, "Service", displayName="Mail")
    inner = group(house, "Guides", someone)
    extension = {EXTENSION: {"services": [{"value": service}]}}
    outer = group(house, "Everybody", inner, boss, **extension)
    return {
        "boss": ("User", boss),
        "someone": ("User", someone),
        "service": ("Service", service),
        "inner": ("Group", inner),
        "outer": ("Group", outer),
    }


@pytest.mark.parametrize("name", ["boss", "someone", "service", "inner", "outer"])
def test_what_comes_back_is_what_was_there(house: House, rich: dict[str, tuple[str, str]], name: str) -> None:
    kind, id = rich[name]
    before = {key: shown(house, *each) for key, each in rich.items()}
    lists = {kind: found(house, kind) for kind in ("User", "Group", "Service")}
    delete(house, kind, id)
    assert id not in found(house, kind)
    restored = restore(house, kind, id)
    assert restored.regained.waiting == 0
    after = {key: shown(house, *each) for key, each in rich.items()}
    assert {key: apart(each) for key, each in after.items()} == {key: apart(each) for key, each in before.items()}
    assert {kind: found(house, kind) for kind in lists} == lists
    assert after[name]["meta"]["lastModified"] > before[name]["meta"]["lastModified"]
    number = [int(each[name]["meta"]["version"].strip('W/"').split("-")[0]) for each in (before, after)]
    assert number[1] == number[0] + 1
    assert audit_of(house, id)[-1][0] == "restore"
    assert house.database.row("SELECT count(*) FROM tombstone") == (0,)


def test_who_regains_a_member_gets_a_new_version_and_an_audit_row(
    house: House, rich: dict[str, tuple[str, str]]
) -> None:
    inner = rich["inner"][1]
    delete(house, *rich["someone"])
    before = shown(house, "Group", inner)["meta"]
    restore(house, *rich["someone"])
    after = shown(house, "Group", inner)["meta"]
    assert after["version"] != before["version"]
    assert after["lastModified"] > before["lastModified"]
    assert audit_of(house, inner)[-1] == ("replace", "members")


def test_what_was_deleted_is_found_by_nothing_and_what_came_back_by_everything(
    house: House, rich: dict[str, tuple[str, str]]
) -> None:
    id = rich["someone"][1]
    filters = (
        'userName eq "bjensen"', 'displayName co "bs jen"', 'name.familyName sw "Jen"', 'emails.value eq "b@example.com"',
        'externalId eq "e1"', f'id eq "{id}"', 'groups.display eq "Guides"', 'emails[type eq "work" and primary eq true]',
        'userName co "je"',
    )  # fmt: skip
    for text in filters:
        assert id in found(house, "User", text), text
    delete(house, "User", id)
    for text in filters:
        assert id not in found(house, "User", text), text
    assert not found(house, "Group", f'members.value eq "{id}"')
    restore(house, "User", id)
    for text in filters:
        assert id in found(house, "User", text), text
    assert found(house, "Group", f'members.value eq "{id}"') == [rich["inner"][1]]


def test_a_password_and_own_tokens_do_not_come_back(house: House) -> None:
    id = user(house, "bjensen", password="correct horse")
    own = tokens.create(house.database, b"k" * 32, house.by.tenant, "own", ["users:read"], 1, "bjensen")
    delete(house, "User", id)
    restore(house, "User", id)
    assert house.database.row("SELECT count(*) FROM password") == (0,)
    assert tokens.Authenticator(house.database, b"k" * 32, frozenset()).principal(own) is None
    assert shown(house, "User", id)["userName"] == "bjensen"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("back", [(0, 1), (1, 0)])
def test_a_reference_between_two_deleted_ones_comes_back_with_the_second(
    house: House, order: Sequence[int], back: Sequence[int]
) -> None:
    member = user(house, "bjensen")
    both = (("Group", group(house, "Guides", member)), ("User", member))
    for index in order:
        delete(house, *both[index])
    first = restore(house, *both[back[0]])
    # The reference waits as long as the tombstone that has it was not the one of the first.
    assert (len(first.regained.holders), first.regained.targets) == (0, 0)
    restore(house, *both[back[1]])
    assert members_of(house, both[0][1]) == [member]
    assert shown(house, "User", member)["groups"][0]["value"] == both[0][1]


def test_a_reference_survives_several_rounds(house: House) -> None:
    member = user(house, "bjensen")
    guides = group(house, "Guides", member)
    delete(house, "Group", guides)
    for _ in range(3):
        delete(house, "User", member)
        restore(house, "Group", guides)
        delete(house, "Group", guides)
        restore(house, "User", member)
    restore(house, "Group", guides)
    assert members_of(house, guides) == [member]


def test_a_name_that_is_taken_again_refuses(house: House) -> None:
    first, guides = user(house, "bjensen"), group(house, "Guides")
    delete(house, "User", first)
    delete(house, "Group", guides)
    second, others = user(house, "BJENSEN"), group(house, "guides")
    for kind, id, path, holder in (("User", first, "userName", second), ("Group", guides, "displayName", others)):
        with pytest.raises(TombstoneError) as refusal:
            restore(house, kind, id)
        assert f"its {path} belongs to the {kind} {holder} by now" in str(refusal.value)
        assert kept.find(house.database, id)
        delete(house, kind, holder)
        restore(house, kind, id)
        assert found(house, kind) == [id]


def test_group_names_may_collide_where_they_need_not_be_unique(house: House) -> None:
    tenant = tenants.create(house.database, "loose", "Example Company", policies=())
    loose = House(house.database, house.resources, replace(house.by, tenant=tenant))
    first = group(loose, "Guides")
    delete(loose, "Group", first)
    second = group(loose, "Guides")
    restore(loose, "Group", first)
    assert found(loose, "Group", 'displayName eq "guides"') == [first, second]


def test_a_group_that_would_contain_itself_stays_deleted(house: House) -> None:
    inner, outer = group(house, "Inner"), group(house, "Outer")
    middle = group(house, "Middle", inner)
    add = {"op": "add", "path": "members", "value": [{"value": middle}]}
    house.resources["Group"].patch(house.by, outer, {"schemas": [PATCH_OP], "Operations": [add]})
    delete(house, "Group", middle)
    add = add | {"value": [{"value": outer}]}
    house.resources["Group"].patch(house.by, inner, {"schemas": [PATCH_OP], "Operations": [add]})
    before = shown(house, "Group", outer)
    with pytest.raises(TombstoneError, match="had the member Inner, which has come to contain what contains it"):
        restore(house, "Group", middle)
    assert shown(house, "Group", outer) == before
    remove = {"op": "remove", "path": "members"}
    house.resources["Group"].patch(house.by, inner, {"schemas": [PATCH_OP], "Operations": [remove]})
    restore(house, "Group", middle)
    assert members_of(house, outer) == [middle]
    assert members_of(house, middle) == [inner]


def test_what_lives_or_never_was_cannot_be_restored(house: House) -> None:
    id = user(house, "bjensen")
    with pytest.raises(TombstoneError, match="is not deleted"):
        restore(house, "User", id)
    with pytest.raises(TombstoneError, match="There is no deleted resource 'nobody'"):
        restore(house, "User", "nobody")


class TestPurge:
    def test_references_to_what_is_purged_go_too(self, house: House) -> None:
        member, other = user(house, "bjensen"), user(house, "other")
        guides = group(house, "Guides", member, other)
        delete(house, "Group", guides)
        delete(house, "User", member)
        restore(house, "Group", guides)
        delete(house, "Group", guides)
        delete(house, "User", other)
        assert purge(house, member) == 1
        assert kept.needs_scrubbing(house.database)
        assert kept.scrub(house.database)
        assert not kept.needs_scrubbing(house.database)
        assert len(house.database.rows("SELECT * FROM lost_reference")) == 1
        with pytest.raises(TombstoneError):
            restore(house, "User", member)
        restore(house, "Group", guides)
        restore(house, "User", other)
        assert members_of(house, guides) == [other]
        assert audit_of(house, member)[-1] == ("purge", "")

    def test_what_was_restored_meanwhile_stays(self, house: House) -> None:
        id = user(house, "bjensen", password="correct horse")
        delete(house, "User", id)
        page = [kept.find(house.database, id)]
        restore(house, "User", id)
        own = tokens.create(house.database, b"k" * 32, house.by.tenant, "own", ["users:read"], 1, "bjensen")
        assert tombstones.purge(house.database, "cli", house.database.type_numbers([]), [page]) == 0
        assert shown(house, "User", id)
        assert tokens.Authenticator(house.database, b"k" * 32, frozenset()).principal(own)

    def test_what_was_restored_and_deleted_again_meanwhile_stays(self, house: House) -> None:
        id = user(house, "bjensen")
        delete(house, "User", id)
        page = [kept.find(house.database, id)]
        while clock.now() <= page[0].deleted:
            pass
        restore(house, "User", id)
        delete(house, "User", id)
        assert tombstones.purge(house.database, "cli", house.database.type_numbers([]), [page]) == 0
        restore(house, "User", id)

    def test_mail_that_was_not_sent_goes_with_what_was_said_of_it(self, house: House) -> None:
        gone, stays = user(house, "bjensen"), user(house, "jsmith")
        outbox.queue(house.database, house.by.tenant.number, "example.com", [gone, stays])
        house.database.run("UPDATE outbox SET last_error = '550 no mailbox bjensen@example.com', next_at = NULL")
        delete(house, "User", gone)
        purge(house, gone)
        assert house.database.rows("SELECT resource_id FROM outbox") == [(stays,)]

    def test_tokens_of_the_user_and_answers_from_before_go(self, house: House) -> None:
        id = user(house, "bjensen")
        tokens.create(house.database, b"k" * 32, house.by.tenant, "Babs's laptop", ["users:read"], 1, "bjensen")
        (token,) = [row.id for row in tokens.every(house.database, house.by.tenant)]
        house.database.run("INSERT INTO habit VALUES (?, 'empty-text', 1, '2026')", (token,))
        answers = idempotency.Answers(house.database, b"k" * 32)
        before, after = (answers.request("t", "POST", "/Users", key, b"") for key in ("before", "after"))
        answers.keep_refusal(before, idempotency.Reply(201, {}, b'{"display":"Babs"}'))
        delete(house, "User", id)
        while clock.now() <= kept.find(house.database, id).deleted:
            pass
        answers.keep_refusal(after, idempotency.Reply(409, {}, b"{}"))
        purge(house, id)
        assert answers.find(before) is None
        assert answers.find(after)
        assert house.database.row("SELECT (SELECT count(*) FROM token), (SELECT count(*) FROM habit)") == (0, 0)

    def test_what_another_purge_forgets_meanwhile_is_not_taken_for_scrubbed(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = user(house, "bjensen"), user(house, "jsmith")
        delete(house, "User", first)
        delete(house, "User", second)
        purge(house, first)
        rewrite = house.database.rewrite

        def overtaken() -> bool:
            done = rewrite()
            purge(house, second)
            return done

        with monkeypatch.context() as patch:
            patch.setattr(house.database, "rewrite", overtaken)
            assert kept.scrub(house.database)
        assert kept.needs_scrubbing(house.database)
        assert kept.scrub(house.database)
        assert not kept.needs_scrubbing(house.database)

    @ON_SQLITE
    def test_pages_go_by_index_and_cost_no_more_than_they_hold(self, house: House, statements: Any) -> None:
        ids = [user(house, f"user{number}") for number in range(5)]
        for id in reversed(ids):
            delete(house, "User", id)
        scopes = [scope_of(house.by.tenant.number, number) for number in house.database.type_numbers([]).values()]
        seen = statements(lambda: list(kept.walk(house.database, scopes, EVER)))
        assert_uses_indexes(house.database, seen)
        pages = list(kept.walk(house.database, scopes, EVER))
        assert sorted(each.id for page in pages for each in page) == sorted(ids)
        times = [each.deleted for page in pages for each in page]
        assert times == sorted(times)
        assert kept.count(house.database, scopes, EVER) == 5
        assert kept.count(house.database, scopes, times[0]) == 0

    @ON_SQLITE
    def test_no_token_of_the_index_is_left(self, house: House) -> None:
        many = [user(house, f"user{number}", displayName=f"User {number}") for number in range(130)]
        gone = user(house, "zzyzx", displayName="Qqxw Vvkj")
        # Indexed before, pending now, and in several segments.
        with house.database.transaction():
            grams.index_pending(house.database)
        delete(house, "User", gone)
        delete(house, "User", many[0])
        purge(house, gone, many[0])
        kept.scrub(house.database)
        house.database.run("CREATE VIRTUAL TABLE temp.terms USING fts5vocab(main, gram, row)")
        terms = {term for (term,) in house.database.rows("SELECT term FROM terms")}
        assert terms
        tokens_left = {row for row in terms if b"zz".hex() in row or b"qq".hex() in row}
        assert not tokens_left
        assert house.database.row("SELECT count(*) FROM gram_pending") == (0,)
        assert found(house, "User", 'displayName co "user 1"')[:2] == [many[1], many[10]]


# A model: references are remembered until both sides live, or one of them is purged.

USERS, GROUPS = 3, 3


@pytest.fixture(scope="module")
def shared_house(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("model") / "x.db", registry) as house:
        yield house


class Model:
    """What should be: the resources that live, their names, and the references that are remembered."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.kinds: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.live: list[str] = []
        self.purged: set[str] = set()
        self.edges: set[tuple[str, str]] = set()
        for number in range(USERS):
            self.add("User", user(house, f"user{number}"), f"user{number}")
        for number in range(GROUPS):
            self.add("Group", group(house, f"group{number}"), f"group{number}")
        self.ids = list(self.live)

    def add(self, kind: str, id: str, name: str) -> None:
        self.kinds[id], self.names[id] = kind, name
        self.live.append(id)

    def visible(self) -> set[tuple[str, str]]:
        return {(source, target) for source, target in self.edges if source in self.live and target in self.live}

    def has_circle(self) -> bool:
        edges = self.visible()

        def reaches(start: str, id: str, seen: set[str]) -> bool:
            inner = {target for source, target in edges if source == id} - seen
            return start in inner or any(reaches(start, each, seen | inner) for each in inner)

        return any(reaches(id, id, set()) for id in self.live)

    def delete(self, id: str) -> None:
        if id in self.live:
            delete(self.house, self.kinds[id], id)
            self.live.remove(id)

    def restore(self, id: str) -> None:
        if id in self.live or id in self.purged:
            return
        is_taken = any(self.kinds[each] == self.kinds[id] and self.names[each] == self.names[id] for each in self.live)
        self.live.append(id)
        if is_taken or self.has_circle():
            self.live.remove(id)
            with pytest.raises(TombstoneError):
                restore(self.house, self.kinds[id], id)
        else:
            restore(self.house, self.kinds[id], id)

    def purge(self, id: str) -> None:
        if id in self.live or id in self.purged:
            return
        purge(self.house, id)
        kept.scrub(self.house.database)
        self.purged.add(id)
        self.edges = {edge for edge in self.edges if id not in edge}

    def join(self, source: str, target: str) -> None:
        if source not in self.live or target not in self.live or self.kinds[source] != "Group":
            return
        old = set(self.edges)
        self.edges.add((source, target))
        if self.has_circle():
            self.edges = old
            return
        self.patch(source, {"op": "add", "path": "members", "value": [{"value": target}]})

    def part(self, source: str, target: str) -> None:
        if (source, target) in self.visible():
            self.edges.discard((source, target))
            self.patch(source, {"op": "remove", "path": f'members[value eq "{target}"]'})

    def rename(self, id: str, name: str) -> None:
        if id in self.live and not any(self.names[each] == name for each in self.live):
            path = "userName" if self.kinds[id] == "User" else "displayName"
            resources = self.house.resources[self.kinds[id]]
            change = {"op": "replace", "path": path, "value": name}
            resources.patch(self.house.by, id, {"schemas": [PATCH_OP], "Operations": [change]})
            self.names[id] = name

    def patch(self, id: str, operation: dict[str, Any]) -> None:
        self.house.resources["Group"].patch(self.house.by, id, {"schemas": [PATCH_OP], "Operations": [operation]})

    def check(self) -> None:
        edges = self.visible()
        for kind, path in (("User", "userName"), ("Group", "displayName")):
            live = sorted(id for id in self.live if self.kinds[id] == kind)
            assert sorted(found(self.house, kind)) == live
            for id in self.ids:
                named = sorted(each for each in live if self.names[each] == self.names[id])
                for operator in ("eq", "co"):
                    wanted = found(self.house, kind, f'{path} {operator} "{self.names[id]}"')
                    assert sorted(wanted) == named
        for id in self.live:
            document = shown(self.house, self.kinds[id], id)
            holders = {source for source, target in edges if target == id}
            assert set(found(self.house, "Group", f'members.value eq "{id}"')) == holders
            if self.kinds[id] == "Group":
                assert {member["value"] for member in document.get("members", [])} == {t for s, t in edges if s == id}
            else:
                direct = {each["value"] for each in document.get("groups", []) if each["type"] == "direct"}
                assert direct == holders


_id = st.integers(0, USERS + GROUPS - 1)
_of_group = st.integers(USERS, USERS + GROUPS - 1)
_step = st.one_of(
    st.tuples(st.just("delete"), _id),
    st.tuples(st.just("restore"), _id),
    st.tuples(st.just("join"), _of_group, _id),
    st.tuples(st.just("join"), _of_group, _id),
    st.tuples(st.just("part"), _of_group, _id),
    st.tuples(st.just("rename"), _id, st.sampled_from(["user0", "group1", "another"])),
    st.tuples(st.just("purge"), _id),
)


@settings(
    max_examples=int(os.environ.get("TOMBSTONE_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(_step, max_size=25))
def test_any_sequence_leaves_what_the_model_says(shared_house: House, steps: list[tuple[Any, ...]]) -> None:
    tenant = tenants.create(shared_house.database, f"model{next(_names)}", "Example Company")
    model = Model(House(shared_house.database, shared_house.resources, replace(shared_house.by, tenant=tenant)))
    for name, *arguments in steps:
        values = [model.ids[value] if isinstance(value, int) else value for value in arguments]
        getattr(model, name)(*values)
        model.check()
    for id in model.ids:
        model.restore(id)
    model.check()
