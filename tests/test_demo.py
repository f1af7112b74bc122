"""Made-up companies: the same for a seed, and all that a server can be asked about."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scim_server.demo.company import Company
from scim_server.demo.loading import load
from scim_server.protocol.query import Query
from scim_server.resources import listing
from scim_server.storage import documents
from tests.scim import ACCOUNT_GROUP, ENTERPRISE
from tests.server import Server
from tests.storage.conftest import House, housed

COMPANY = Company(users=300, groups=30, largest_group=250, seed=7)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    made = Server(tmp_path_factory.mktemp("demo")).initialised()
    done = made.command("demo", "--users", "300", "--groups", "30", "--largest-group", "250", "--seed", "7")
    assert (done.stdout, done.stderr, done.returncode) == ("Made 300 users and 30 groups.\n", "", 0)
    return made


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, registry: Any) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("company") / "x.db", registry) as house:
        steps: list[int] = []
        load(house.resources, house.by, COMPANY, steps.append)
        assert sum(steps) == COMPANY.size
        yield house


def everything(house: House, name: str) -> list[dict[str, Any]]:
    answer = listing.answer([house.resources[name]], house.by, Query(count=1000))
    found: list[dict[str, Any]] = json.loads(answer if isinstance(answer, bytes) else answer.read())["Resources"]
    return found


def without_ids(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in document.items() if k not in ("id", "meta", "groups")} for document in documents]


def test_the_same_seed_makes_the_same_company() -> None:
    assert list(COMPANY.people()) == list(COMPANY.people())
    assert list(COMPANY.teams()) == list(COMPANY.teams())
    assert list(COMPANY.people()) != list(Company(300, 30, 250, seed=8).people())


def test_half_of_the_people_have_japanese_names(company: House) -> None:
    users = everything(company, "User")
    japanese = [user for user in users if user["name"]["familyName"][0] > "\u3000"]
    assert len(users) == 300
    assert 100 < len(japanese) < 200
    assert {user["preferredLanguage"] for user in japanese} == {"ja"}
    assert len({user["userName"] for user in users}) == 300


def test_all_but_one_have_a_manager(company: House) -> None:
    users = everything(company, "User")
    managers = [user[ENTERPRISE].get("manager", {}).get("displayName") for user in users]
    assert managers[0] is None
    assert all(managers[1:])


def test_groups_hold_users_groups_and_services(company: House) -> None:
    groups = everything(company, "Group")
    sizes = [len(group.get("members", ())) for group in groups]
    assert len(groups) == 30
    assert sizes[0] == 250
    assert all(size > 0 for size in sizes)
    assert {member["type"] for group in groups for member in group["members"]} == {"User", "Group"}
    assert any(group.get(ACCOUNT_GROUP, {}).get("services") for group in groups)


def test_what_is_loaded_is_counted_and_audited(company: House) -> None:
    database = company.database
    assert documents.counts(database, company.resources["User"].scope(company.by)) == (300, 300)
    assert database.rows("SELECT DISTINCT operation FROM audit") == [("create",)]
    assert database.row("SELECT count(*) FROM audit") == (COMPANY.size,)


def test_the_command_fills_an_empty_tenant_only(server: Server) -> None:
    done = server.command("demo", "--users", "5")
    assert done.returncode == 1
    assert done.stderr == "scim-server: The tenant default has users; --force adds to them.\n"


def test_the_command_adds_others_by_force(server: Server) -> None:
    before = server.command("user", "list").stdout.splitlines()
    done = server.command("demo", "--users", "20", "--seed", "7", "--force")
    assert (done.stdout, done.returncode) == ("Made 20 users and 2 groups.\n", 0)
    after = server.command("user", "list").stdout.splitlines()
    assert len(after) == len(before) + 20
    assert len(server.command("group", "list").stdout.splitlines()) == 32


def test_nothing_is_wrong_with_what_is_made(server: Server) -> None:
    done = server.command("check", "--data")
    assert done.returncode == 0, done.stdout
