"""Who works for a made-up company of some size, in which groups?"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from scim_server.demo import words
from scim_server.resources.accounts import ACCOUNT
from scim_server.resources.groups import EXTENSION
from scim_server.resources.users import ENTERPRISE

_REPORTS = 8
_LONGEST = 200
_NESTED = 10


class Group(NamedTuple):
    """A group without ids: what holds for it, and the numbers of its users, groups and services from 0."""

    document: dict[str, Any]
    users: list[int]
    groups: list[int]
    services: list[int]


@dataclass(frozen=True, slots=True)
class Company:
    """People, groups and services that are the same for the same seed.

    People are numbered from ``first``, groups from ``first_group``: a second company shares no name with the first.
    """

    users: int
    groups: int
    largest_group: int
    seed: int
    first: int = 0
    first_group: int = 0

    @property
    def size(self) -> int:
        """Return how many resources there are."""
        return self.users + self.groups + len(words.SERVICES)

    def people(self) -> Iterator[dict[str, Any]]:
        """Yield every user, without the manager."""
        random = Random(f"{self.seed} people")  # noqa: S311
        for number in range(self.first, self.first + self.users):
            yield _person(random, number)

    def manager_of(self, number: int) -> int | None:
        """Return the number of a user's manager, one before: each has eight reports, and one has no manager."""
        return (number - 1) // _REPORTS if number else None

    def teams(self) -> Iterator[Group]:
        """Yield every group: the first is the largest, and every tenth holds a few before it."""
        random = Random(f"{self.seed} groups")  # noqa: S311
        for number in range(self.groups):
            size = self.largest_group if number == 0 else min(_LONGEST, int(3 * random.paretovariate(0.9)))
            users = random.sample(range(self.users), min(size, self.users))
            nested = random.sample(range(1, number), 2) if number > 2 and number % _NESTED == 0 else []
            services = sorted(random.sample(range(len(words.SERVICES)), random.randrange(4)))
            document = {
                "displayName": self._group_name(random, number),
                "externalId": f"G{self.first_group + number:06d}",
            }
            yield Group(document, users, nested, services)

    def _group_name(self, random: Random, number: int) -> str:
        number += self.first_group
        return f"{random.choice(words.DEPARTMENTS)} {random.choice(words.GROUPS)} {number:04d}"

    def services(self) -> list[dict[str, Any]]:
        """Return what the company's people use."""
        return [{"displayName": f"{name} {self.first}" if self.first else name} for name in words.SERVICES]


def with_references(group: Group, users: list[str], groups: list[str], services: list[str]) -> dict[str, Any]:
    """Return a group's document with the ids of what it refers to."""
    document = group.document | {"members": [{"value": id} for id in (*users, *groups)]}
    return document | ({EXTENSION: {"services": [{"value": id} for id in services]}} if services else {})


def _person(random: Random, number: int) -> dict[str, Any]:
    is_japanese = random.random() < 0.5
    if is_japanese:
        family, given = random.choice(words.JAPANESE_FAMILY), random.choice(words.JAPANESE_GIVEN)
        shown = f"{family.written} {given.written}"
    else:
        family, given = random.choice(words.LATIN_FAMILY), random.choice(words.LATIN_GIVEN)
        shown = f"{given.written} {family.written}"
    address = f"{given.latin}.{family.latin}.{number}@example.com"
    kind = random.choice(words.USER_TYPES)
    document: dict[str, Any] = {
        "userName": address,
        "externalId": f"{random.getrandbits(64):016x}{number:08x}",
        "name": {"familyName": family.written, "givenName": given.written, "formatted": shown},
        "displayName": shown,
        "title": random.choice(words.JAPANESE_TITLES if is_japanese else words.TITLES),
        "userType": kind,
        "preferredLanguage": "ja" if is_japanese else "en",
        "active": random.random() < 0.96,
        "emails": _emails(random, address, number),
        "phoneNumbers": _numbers(random, is_japanese),
        ENTERPRISE: {
            "employeeNumber": f"{number:07d}",
            "department": random.choice(words.DEPARTMENTS),
            "division": random.choice(words.DIVISIONS),
        },
        ACCOUNT: _window(random, kind),
    }
    if random.random() < 0.2:
        document["addresses"] = [_address(random)]
    return document


def _emails(random: Random, address: str, number: int) -> list[dict[str, Any]]:
    emails: list[dict[str, Any]] = [{"value": address, "type": "work", "primary": True}]
    if random.random() < 0.3:
        emails.append({"value": f"home.{number}@example.net", "type": "home"})
    return emails


def _numbers(random: Random, is_japanese: bool) -> list[dict[str, Any]]:
    line = random.randrange(10**8)
    area, mobile = ("+81-3", "+81-90") if is_japanese else ("+1-212", "+1-917")
    numbers = [{"value": f"{area}-{line // 10_000:04d}-{line % 10_000:04d}", "type": "work"}]
    if random.random() < 0.4:
        line = random.randrange(10**8)
        numbers.append({"value": f"{mobile}-{line // 10_000:04d}-{line % 10_000:04d}", "type": "mobile"})
    return numbers


def _window(random: Random, kind: str) -> dict[str, str]:
    begins = f"{random.randrange(1995, 2026)}-{random.randrange(1, 13):02d}-01T00:00:00Z"
    return {"validFrom": begins} | ({} if kind == "Employee" else {"validUntil": "2040-12-31T23:59:59Z"})


def _address(random: Random) -> dict[str, Any]:
    city, region, code, country = random.choice(words.CITIES)
    street = f"{random.randrange(1, 30)}-{random.randrange(1, 20)}"
    return {
        "streetAddress": street, "locality": city, "region": region, "postalCode": code, "country": country,
        "type": "work",
    }  # fmt: skip
