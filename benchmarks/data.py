"""Which data is measured on? Made-up companies, kept from run to run.

They are in the directory that ``BENCH_DATA`` names, else in ``benchmarks/.data``, and made when they are missing.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from scim_server.protocol import template
from scim_server.resources.users import ENTERPRISE
from scim_server.storage.database import Database
from scim_server.storage.keys import scope_of, scope_range

DIRECTORY = Path(os.environ.get("BENCH_DATA") or Path(__file__).parent / ".data")
_MADE = "made"
"""A file that says that the data is complete."""


class Person(NamedTuple):
    """What a user of the data can be asked for by."""

    key: int
    id: str
    user_name: str
    external_id: str
    family_name: str
    department: str


def prepared(users: int) -> Path:
    """Return the data directory of a server that has so many users."""
    directory = DIRECTORY / str(users)
    if not (directory / _MADE).exists():
        directory.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {"SCIM_DATA_DIR": str(directory)}
        for path in directory.iterdir():
            path.unlink()
        print(f"making {users:,} users in {directory}", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "scim_server"]
        subprocess.run([*command, "init"], env=environment, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*command, "demo", f"--users={users}"], env=environment, check=True)
        (directory / _MADE).touch()
    return directory


def some_people(database: Database, count: int) -> list[Person]:
    """Return some users at random who are in a group, fewer if there are few."""
    (tenant,) = database.row("SELECT number FROM tenant") or (0,)
    (number,) = database.row("SELECT number FROM resource_type WHERE name = 'User'") or (0,)
    low, high = scope_range(scope_of(tenant, number))
    first, last = database.row("SELECT min(key), max(key) FROM resource WHERE key >= ? AND key < ?", (low, high)) or (
        0,
        0,
    )
    wanted = random.sample(range(first, last + 1), min(count * 20, last - first + 1))
    rows = database.rows(
        "SELECT r.key, b.template FROM json_each(?) j CROSS JOIN resource r ON r.key = j.value JOIN body b"
        " ON b.key = r.key WHERE EXISTS (SELECT 1 FROM reference m WHERE m.target = r.key) LIMIT ?",
        (orjson.dumps(wanted).decode(), count),
    )
    return [_person(key, template.stored(text)) for key, text in rows]


def _person(key: int, document: dict[str, Any]) -> Person:
    return Person(
        key,
        document["id"],
        document["userName"],
        document["externalId"],
        document["name"]["familyName"],
        document[ENTERPRISE]["department"],
    )
