"""A resource type without behaviour of its own is two JSON entries."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.scim import assert_scim_error, create
from tests.server import Server

DEVICE = "urn:example:params:scim:schemas:Device"
ENTRIES = [
    {
        "id": DEVICE,
        "attributes": [
            {"name": "serial", "required": True, "uniqueness": "server", "caseExact": True},
            {"name": "model", "mutability": "immutable"},
            {"name": "ports", "type": "integer"},
            {"name": "weight", "type": "decimal"},
            {"name": "bought", "type": "dateTime"},
            {"name": "tags", "multiValued": True},
            {"name": "secret", "mutability": "writeOnly", "returned": "never"},
            {"name": "pin", "mutability": "writeOnly"},
            {"name": "displayName", "type": "integer"},
            {"name": "notes", "returned": "request"},
            {"name": "display", "type": "complex", "subAttributes": [
                {"name": "width", "type": "integer", "returned": "always"}, {"name": "height", "type": "integer"},
                {"name": "panel", "mutability": "immutable"},
            ]},
        ],
    },
    {"name": "Device", "endpoint": "/Devices", "schema": DEVICE},
]  # fmt: skip


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory, fresh: Callable[[], dict[str, str]]) -> Iterator[httpx2.Client]:
    directory = tmp_path_factory.mktemp("devices")
    schemas = directory / "further"
    schemas.mkdir()
    (schemas / "device.json").write_text(json.dumps(ENTRIES))
    server = Server(directory, {"SCIM_SCHEMA_DIR": str(schemas), **fresh()}).initialised()
    token = server.command("token", "create", "--name", "x", "--scope", "devices:*").stdout.strip()
    with (
        server.started(),
        httpx2.Client(base_url=server.settings.base_url, headers={"Authorization": f"Bearer {token}"}) as client,
    ):
        yield client


def device(http: httpx2.Client, serial: str, **attributes: Any) -> dict[str, Any]:
    return create(http, "Devices", serial=serial, **attributes)


def test_it_is_discovered_with_every_characteristic_stated(devices: httpx2.Client) -> None:
    assert devices.get("ResourceTypes/Device").json()["endpoint"] == "/Devices"
    serial, model, *_ = devices.get(f"Schemas/{DEVICE}").json()["attributes"]
    assert serial["uniqueness"] == "server"
    assert model == {
        "name": "model", "type": "string", "multiValued": False, "description": "", "required": False,
        "caseExact": False, "mutability": "immutable", "returned": "default", "uniqueness": "none",
    }  # fmt: skip


def test_it_is_created_read_replaced_listed_and_deleted(devices: httpx2.Client) -> None:
    made = device(devices, "A1", model="X", ports=42, weight=1.5, tags=["a", "b", "a"], bought="2026-01-01T09:00:00+09:00",
                  display={"width": 3, "height": 4})  # fmt: skip
    assert made["schemas"] == [DEVICE]
    assert made["meta"]["resourceType"] == "Device"
    assert (made["ports"], made["weight"], made["tags"], made["bought"]) == (
        42,
        1.5,
        ["a", "b"],
        "2026-01-01T00:00:00Z",
    )
    path = f"Devices/{made['id']}"
    assert devices.get(path).json() == made
    replaced = devices.put(path, json={"serial": "A1", "ports": 7}).json()
    assert replaced["model"] == "X"
    assert "weight" not in replaced
    assert devices.get('Devices?filter=serial eq "A1"').json()["Resources"] == [replaced]
    assert devices.get("Devices?filter=ports gt 6 and ports lt 10").json()["totalResults"] == 1
    assert devices.get(f"{path}?attributes=display.height").json() == {"schemas": [DEVICE], "id": made["id"]}
    assert devices.delete(path).status_code == 204
    assert_scim_error(devices.get(path), 404)


def test_it_is_validated(devices: httpx2.Client) -> None:
    for body in ({}, {"serial": 5}, {"serial": "x", "ports": 1.5}, {"serial": "x", "ports": "5x"}, {"serial": "x", "ports": 2**63},
                 {"serial": "x", "weight": True}, {"serial": "x", "tags": "a"}, {"serial": "x", "tags": [5]},
                 {"serial": "x", "bought": "2026-01-01"}, {"serial": "x", "display": {"width": "wide"}}):  # fmt: skip
        assert_scim_error(devices.post("Devices", json=body), 400, "invalidValue")


def test_uniqueness_holds_by_the_attributes_letter_case_rule(devices: httpx2.Client) -> None:
    device(devices, "U1")
    device(devices, "u1")
    assert_scim_error(devices.post("Devices", json={"serial": "U1"}), 409, "uniqueness")


def test_an_immutable_value_stays(devices: httpx2.Client) -> None:
    made = device(devices, "I1", model="X", display={"panel": "lcd", "width": 1})
    path = f"Devices/{made['id']}"
    assert_scim_error(devices.put(path, json={"serial": "I1", "model": "Y"}), 400, "mutability")
    assert_scim_error(devices.put(path, json={"serial": "I1", "display": {"panel": "oled"}}), 400, "mutability")
    assert devices.get(path).json() == made
    assert devices.put(path, json={"serial": "I1", "model": "X"}).json()["display"] == {"panel": "lcd"}
    later = device(devices, "I2")
    assert devices.put(f"Devices/{later['id']}", json={"serial": "I2", "model": "Z"}).json()["model"] == "Z"


def test_what_is_never_returned_is_not_and_cannot_be_searched(devices: httpx2.Client) -> None:
    made = device(devices, "N1", secret="hidden")
    path = f"Devices/{made['id']}"
    for answer in (devices.get(path), devices.get(f"{path}?attributes=secret"), devices.get("Devices"),
                   devices.put(path, json={"serial": "N1", "secret": "changed"})):  # fmt: skip
        assert "secret" not in answer.text
    assert_scim_error(devices.get('Devices?filter=secret sw "h"'), 400, "invalidFilter")


def test_what_is_returned_on_request_is_shown_when_sent_or_named(devices: httpx2.Client) -> None:
    made = device(devices, "R1", notes="text")
    path = f"Devices/{made['id']}"
    assert made["notes"] == "text"
    assert "notes" not in devices.get(path).json()
    assert devices.get(f"{path}?attributes=notes").json()["notes"] == "text"
    assert "notes" not in devices.put(path, json={"serial": "R1", "ports": 1}).json()


def test_numbers_compare_by_value(devices: httpx2.Client) -> None:
    for number in (-10, -9, 0, 9, 10, 100):
        device(devices, f"W{number}", weight=number + 0.5 if number == 9 else number, model="weights")
    for text, expected in (("gt 9", 3), ("le 0", 3), ("eq -9", 1), ("lt -9", 1), ("ge 9.5", 3), ("eq 1e2", 1)):
        answer = devices.get(f'Devices?filter=model eq "weights" and weight {text}').json()
        assert answer["totalResults"] == expected, text


def test_its_scope_is_named_after_its_endpoint(devices: httpx2.Client) -> None:
    assert "users:read" in assert_scim_error(devices.get("Users"), 403)


def test_a_wrong_schema_stops_the_start_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"id": "urn:x", "attributes": [{"name": "1st"}]}')
    done = Server(tmp_path, {"SCIM_SCHEMA_DIR": str(tmp_path)}).command("init")
    assert done.returncode == 1
    assert done.stderr == "scim-server: 1st is not an attribute name.\n"


def test_a_secret_need_not_say_that_it_is_never_returned(devices: httpx2.Client) -> None:
    made = device(devices, "P1", pin="1234", displayName=5)
    assert made["displayName"] == 5
    for answer in (devices.get(f"Devices/{made['id']}"), devices.get(f"Devices/{made['id']}?attributes=pin")):
        assert "1234" not in answer.text
    assert_scim_error(devices.get('Devices?filter=pin sw "1"'), 400, "invalidFilter")
