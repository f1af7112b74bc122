"""Whatever accounts are like, a file of them can be imported again: export and import are each other's inverse."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Caller
from tests.scim import ACCOUNT_USER, ENTERPRISE
from tests.server import Server
from tests.web.test_csv import BOM, NAMES, done, export, in_zone, url

ZONES = ("UTC", "Asia/Tokyo", "America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe")
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=30)
_ODD = st.sampled_from(["=1", "'x", "''", "-", "@a\tb", "\r\n", "\n", '"', '";"', ",", ";", "\\", "\\;", " ", "　", "〜", "髙", "0", "１", "2024/1/1", "😀"])  # fmt: skip
_TEXT = st.lists(
    _ODD | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=4), min_size=1, max_size=3
).map("".join)
_NAME = _TEXT.filter(lambda text: text.strip() and text.isprintable())
_TIME = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
_USER = st.fixed_dictionaries(
    {},
    optional={
        "displayName": _TEXT,
        "name": st.fixed_dictionaries({}, optional={"formatted": _TEXT, "familyName": _TEXT}),
        "userType": st.sampled_from(["User", "Administrator", "ADMINISTRATOR", "Employee", "０"]),
        "active": st.booleans(),
        "phoneNumbers": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["mobile", "work", "fax", "Mobile"])},
                optional={"value": _TEXT, "display": _TEXT},
            ),
            max_size=4,
        ),
        ENTERPRISE: st.fixed_dictionaries({}, optional={"organization": _TEXT, "department": _TEXT}),
        ACCOUNT_USER: st.fixed_dictionaries({}, optional={"validFrom": _TIME, "validUntil": _TIME}),
    },
)


def bulk(http: httpx2.Client, endpoint: str, resources: list[dict[str, Any]]) -> list[str]:
    """Create resources, as far as they are not refused, and return their ids."""
    operations = [
        {"method": "POST", "path": f"/{endpoint}", "bulkId": f"b{number}", "data": data}
        for number, data in enumerate(resources)
    ]
    if not operations:
        return []
    results = http.post("Bulk", json={"Operations": operations}).json()["Operations"]
    return [result["location"].rpartition("/")[2] for result in results if result["status"] == "201"]


def everything(http: httpx2.Client) -> Any:
    """Return all that can be seen of a tenant, versions included."""
    found = [http.get(endpoint, params={"count": 1000}).json() for endpoint in ("Users", "Groups")]
    return json.dumps(found, sort_keys=True)


@SLOW
@given(data=st.data())
def test_what_is_exported_can_be_imported_and_changes_nothing(
    server: Server, callers: Callable[[], Caller], data: st.DataObject
) -> None:
    caller = callers()
    in_zone(server, caller, data.draw(st.sampled_from(ZONES)))
    http = caller.http
    users = data.draw(st.lists(_USER, max_size=8))
    names = data.draw(st.lists(_NAME, min_size=len(users), max_size=len(users)))
    ids = bulk(http, "Users", [user | {"userName": name} for user, name in zip(users, names, strict=True)])
    groups = []
    for name in data.draw(st.lists(_NAME, max_size=4)):
        members = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
        groups.append({"displayName": name, "members": [{"value": member} for member in members]})
    bulk(http, "Groups", groups)
    before = everything(http)
    for query in ("", "?lang=en"):
        content = http.get(url(http, f"csv/accounts{query}")).content
        assert done(http, content)["counts"] == {"create": 0, "edit": 0, "delete": 0, "untouched": len(ids)}
        assert everything(http) == before


def test_300_odd_accounts_change_nothing(server: Server, caller: Caller) -> None:
    in_zone(server, caller, "Asia/Tokyo")
    http = caller.http
    odd = ["=1+1", "'x", "a\r\nb", '"q"', "a,b;c\\", " a ", "〜😀", "髙"]
    users = [
        {
            "userName": f"{odd[n % 8].replace(chr(13), '').replace(chr(10), '')}{n}",
            "displayName": odd[(n + 1) % 8],
            "userType": ("Employee", "administrator")[n % 2],
            "phoneNumbers": [{"type": "mobile", "value": odd[(n + 2) % 8]}, {"type": "mobile", "value": "2"}],
            ACCOUNT_USER: {"validUntil": f"2030-01-01T{n % 24:02}:00:00.5Z"},
        }
        for n in range(300)
    ]
    ids = bulk(http, "Users", users)
    assert len(ids) == 300
    bulk(
        http,
        "Groups",
        [{"displayName": name, "members": [{"value": id} for id in ids[n::3]]} for n, name in enumerate(odd)],
    )
    before = everything(http)
    assert done(http, export(http))["counts"]["untouched"] == 300
    assert everything(http) == before


_GROUP_NAMES = ["営業", "a;b", "c\\", "=x", "'y", "\\;", "z z"]
_CELL = st.just("") | _TEXT.filter(lambda text: text.strip())
_DAY = st.dates().map(lambda day: f"{day.year:04}/{day.month:02}/{day.day:02}")
_ROW = st.tuples(
    _TEXT.filter(lambda text: text.strip()), st.sampled_from("01"), _CELL, _CELL,
    st.lists(st.integers(0, len(_GROUP_NAMES) - 1), min_size=1, max_size=3, unique=True).map(sorted),
    _CELL, _CELL, st.tuples(_DAY, st.just("") | _DAY), st.sampled_from("01"),
)  # fmt: skip


def file_of(rows: list[Any]) -> bytes:
    """Return a file as an export writes it, row n for the address u<n>."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(NAMES)
    for number, (name, kind, organization, department, groups, mobile, phone, days, status) in enumerate(rows):
        first, last = sorted(days) if days[1] else days
        listed = ";".join(_GROUP_NAMES[n].replace("\\", "\\\\").replace(";", "\\;") for n in groups)
        cells = [
            f"u{number}@example.com",
            name,
            kind,
            organization,
            department,
            listed,
            mobile,
            phone,
            first,
            last,
            status,
            "0",
        ]
        writer.writerow([f"'{cell}" if cell.startswith(tuple("=+-@\t\r'")) else cell for cell in cells])
    return BOM + buffer.getvalue().encode()


@SLOW
@given(first=st.lists(_ROW, max_size=6), second=st.lists(_ROW, max_size=6), zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/Sao_Paulo"]))  # fmt: skip
def test_what_is_imported_is_exported_as_it_was(
    server: Server, callers: Callable[[], Caller], first: list[Any], second: list[Any], zone: str
) -> None:
    caller = callers()
    in_zone(server, caller, zone)
    http = caller.http
    bulk(http, "Groups", [{"displayName": name} for name in _GROUP_NAMES])
    assert done(http, file_of(first))["counts"]["create"] == len(first)
    assert export(http) == file_of(first)
    # Edits of the same accounts, and further ones.
    done(http, file_of(second))
    rest = first[len(second) :]
    assert export(http) == file_of(second + rest)
    assert done(http, file_of(second))["counts"]["untouched"] == len(second)
