"""What do 300 creates in one Bulk cost, against raw SQL of the same rows and against 300 single requests?

Run it as ``python -m benchmarks.bulk``.
"""

import hashlib
import json
import sqlite3
import time
from dataclasses import replace
from typing import Any

from benchmarks.harness import Row, Than, compared, measured, show
from benchmarks.options import Options, read_options
from benchmarks.serving import Running, raw_copy, server
from scim_server.resources.base import new_id
from scim_server.storage.grams import tokens_of

USERS = 300
ROUNDS = 24
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ACCOUNT = "urn:ietf:params:scim:schemas:extension:account:2.0:User"
BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
TABLES = ("resource", "body", "value", "unique_key", "audit")
Rows = dict[str, list[tuple[Any, ...]]]


def user(name: str) -> dict[str, Any]:
    """Return a user with everything that RFC 7643 section 8.3 shows, but for the password."""
    address = {
        "streetAddress": "100 Universal City Plaza",
        "locality": "Hollywood",
        "region": "CA",
        "postalCode": "91608",
        "country": "US",
        "formatted": "100 Universal City Plaza\nHollywood, CA 91608 US",
    }
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE, ACCOUNT],
        "externalId": name,
        "userName": f"{name}@example.com",
        "name": {"formatted": f"Ms. Barbara J {name}, III", "familyName": name, "givenName": "Barbara",
                 "middleName": "Jane", "honorificPrefix": "Ms.", "honorificSuffix": "III"},
        "displayName": f"Babs {name}",
        "nickName": "Babs",
        "profileUrl": f"https://login.example.com/{name}",
        "emails": [{"value": f"{name}@example.com", "type": "work", "primary": True},
                   {"value": f"{name}@jensen.org", "type": "home"}],
        "addresses": [address | {"type": "work", "primary": True}, address | {"type": "home"}],
        "phoneNumbers": [{"value": "555-555-5555", "type": "work"}, {"value": "555-555-4444", "type": "mobile"}],
        "ims": [{"value": f"{name}aim", "type": "aim"}],
        "photos": [{"value": f"https://photos.example.com/{name}/F", "type": "photo"},
                   {"value": f"https://photos.example.com/{name}/T", "type": "thumbnail"}],
        "userType": "Employee",
        "title": "Tour Guide",
        "preferredLanguage": "en-US",
        "locale": "en-US",
        "timezone": "America/Los_Angeles",
        "active": True,
        ENTERPRISE: {"employeeNumber": name, "costCenter": "4130", "organization": "Universal Studios",
                     "division": "Theme Park", "department": "Tour Operations", "manager": {"value": "26118915"}},
        ACCOUNT: {"validFrom": "2026-01-01T00:00:00Z", "validUntil": "2027-12-31T23:59:59Z"},
    }  # fmt: skip


def bulk(running: Running, name: str) -> None:
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": str(n), "data": user(f"{name}{n}")} for n in range(USERS)
    ]
    content = json.dumps({"schemas": [BULK_REQUEST], "Operations": operations}, ensure_ascii=False)
    answer = running.http.post("Bulk", content=content.encode(), headers={"Content-Type": "application/scim+json"})
    assert {result["status"] for result in answer.json()["Operations"]} == {"201"}


def singles(running: Running, name: str) -> None:
    for n in range(USERS):
        assert running.http.post("Users", json=user(f"{name}{n}")).status_code == 201


def rows_of_one_bulk(running: Running, name: str) -> Rows:
    """Send a Bulk and return the rows that it left, by table, as those of other users to come."""
    database = running.database
    keys = {"resource": "key", "body": "key", "value": "resource", "unique_key": "resource", "audit": "number"}
    last = {table: (database.row(f"SELECT max({key}) FROM {table}") or (0,))[0] or 0 for table, key in keys.items()}
    bulk(running, name)
    rows: Rows = {}
    for table, key in keys.items():
        columns = [column[0] for column in database.peewee.execute_sql(f"SELECT * FROM {table} LIMIT 0").description]
        found = database.rows(f"SELECT * FROM {table} WHERE {key} > ? ORDER BY {key}", (last[table],))
        rows[table] = [tuple(map(later, columns, row)) for row in found]
        if table == "resource":
            rows["gram"] = [(later("key", row[0]), tokens_of(dict(zip(columns, row, strict=True)))) for row in found]
    return rows


def later(column: str, value: Any) -> Any:
    """Return a value that must be unique as that of a resource to come, any other as it is."""
    match column:
        case "key" | "resource" | "number" if isinstance(value, int):
            return value + USERS * ROUNDS
        case "id":
            return new_id()
        case "digest":
            return hashlib.sha256(value.encode()).hexdigest()
        case _:
            return value


def insert(raw: sqlite3.Connection, rows: Rows, tables: tuple[str, ...]) -> None:
    raw.execute("BEGIN IMMEDIATE")
    for table in tables:
        holes = ", ".join("?" * len(rows[table][0]))
        columns = " (rowid, grams)" if table == "gram" else ""
        raw.executemany(f"INSERT INTO {table}{columns} VALUES ({holes})", rows[table])
    raw.execute("COMMIT")


def run(options: Options) -> list[Row]:
    with server() as running:
        kept = [rows_of_one_bulk(running, f"kept{n}-") for n in range(ROUNDS)]
        copies = [raw_copy(running, f"raw{n}") for n in range(2)]
        works = {
            f"one Bulk of {USERS} creates": lambda n: bulk(running, f"bulk{n}-"),
            "raw executemany of the same rows": lambda n: insert(copies[0], kept[n], (*TABLES, "gram")),
            "the same without the index of grams": lambda n: insert(copies[1], kept[n], TABLES),
        }
        mine, raw, bare = works
        clocks = {mine: running.cpu, raw: time.process_time, bare: time.process_time}
        times = measured(works, clocks, ROUNDS)
        further = {
            f"{USERS} POSTs over one connection": lambda n: singles(running, f"single{n}-"),
            "one Bulk beside them": lambda n: bulk(running, f"beside{n}-"),
        }
        single, beside = further
        times |= measured(further, dict.fromkeys(further, running.cpu), ROUNDS // 2)
        total = {name: sum(taken.cpu) for name, taken in times.items()}
        note = (
            f"CPU of all rounds, checkpoints of the write-ahead log included: {total[mine] / total[raw]:.2f} x raw,"
            f" {total[mine] / total[bare]:.2f} x raw without grams, {total[beside] / total[single]:.2f} x single POSTs"
        )
        rows = compared(times, {mine: [Than(raw, 3), Than(bare)], beside: Than(single, 0.5)})
        return [replace(rows[0], note=note), *rows[1:]]


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
