import httpx2
import pytest

from scim_server.app import create_app
from scim_server.storage.database import Database
from tests.conftest import Caller
from tests.scim import assert_scim_error, create_group, create_user
from tests.server import Server

PUBLIC = {"/scim/v2/ServiceProviderConfig", "/scim/v2/Schemas", "/scim/v2/ResourceTypes", "/scim/v2/Schemas/<id>",
          "/scim/v2/ResourceTypes/<id>"}  # fmt: skip


def test_every_route_needs_a_token_unless_it_is_named_public(server: Server) -> None:
    app = create_app(server.settings)
    tried = 0
    for rule in app.url_map.iter_rules():
        url = server.settings.base_url + rule.rule.removeprefix("/scim/v2").replace("<id>", "x")
        for method in (rule.methods or set()) - {"HEAD"}:
            response = httpx2.request(method, url)
            if rule.rule in PUBLIC and method == "GET":
                assert response.status_code in (200, 404)
            else:
                assert_scim_error(response, 401)
                tried += 1
    assert tried > 20
    assert_scim_error(httpx2.get(f"{server.settings.base_url}/Nope"), 401)
    assert_scim_error(httpx2.post(f"{server.settings.base_url}/Schemas"), 401)


def test_discovery_can_be_closed(tmp_path_factory: pytest.TempPathFactory) -> None:
    closed = Server(tmp_path_factory.mktemp("closed"), {"SCIM_PUBLIC_DISCOVERY": "false"}).initialised()
    token = closed.command("token", "create", "--name", "x").stdout.strip()
    client = create_app(closed.settings).test_client()
    assert client.get("/scim/v2/Schemas").status_code == 401
    assert client.get("/scim/v2/Schemas", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_without_a_token_the_challenge_names_the_scheme(server: Server) -> None:
    response = httpx2.get(f"{server.settings.base_url}/Users")
    assert_scim_error(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="scim"'


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Basic eDp5", "Bearer scim_000000000000_" + "0" * 49, "scim_x", "Bearer \xff"],
)
def test_a_wrong_token_is_401_everywhere(server: Server, header: str) -> None:
    for path in ("Users", "ServiceProviderConfig", "Nope"):
        response = httpx2.get(f"{server.settings.base_url}/{path}", headers={"Authorization": header.encode("latin-1")})
        assert_scim_error(response, 401)
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_the_scheme_is_read_in_any_letter_case(caller: Caller) -> None:
    token = caller.http.headers["Authorization"].split()[1]
    assert caller.http.get("Users", headers={"Authorization": f"bEARER  {token}"}).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["users:read"], {"GET Users"}),
        (["users:write"], {"POST Users"}),
        (["users:*"], {"GET Users", "POST Users"}),
        (["groups:read"], {"GET Groups"}),
        (["groups:*", "services:read"], {"GET Groups", "POST Groups", "GET Services"}),
        (["csv", "bulk", "administrators"], set()),
        (["admin"], {f"{method} {path}" for method in ("GET", "POST") for path in ("Users", "Groups", "Services")}),
    ],
)
def test_a_token_may_do_what_its_scopes_say(caller: Caller, scopes: list[str], allowed: set[str]) -> None:
    http = caller.token_for(*scopes)
    for path in ("Users", "Groups", "Services"):
        for method in ("GET", "POST"):
            body = {"userName": "x", "displayName": "x"} if method == "POST" else None
            response = http.request(method, path, json=body)
            if f"{method} {path}" in allowed:
                assert response.is_success, response.text
            else:
                assert "scope" in assert_scim_error(response, 403)


def test_reading_does_not_let_change_nor_delete(caller: Caller) -> None:
    made = create_user(caller.http)
    reader = caller.token_for("users:read")
    assert_scim_error(reader.put(f"Users/{made['id']}", json={"userName": "x"}), 403)
    assert_scim_error(reader.delete(f"Users/{made['id']}"), 403)
    assert_scim_error(caller.token_for("users:write").get(f"Users/{made['id']}"), 403)
    assert_scim_error(caller.token_for("users:write").post("Users/.search", json={}), 403)
    assert caller.http.get(f"Users/{made['id']}").json() == made


def test_a_revoked_or_expired_token_is_refused_at_once(server: Server, caller: Caller, database: Database) -> None:
    for column in ("revoked", "expires"):
        http = caller.token_for("users:read")
        assert http.get("Users").status_code == 200
        id = http.headers["Authorization"].split("_")[1]
        if column == "revoked":
            assert server.command("token", "revoke", id).returncode == 0
        else:
            with database.transaction():
                database.run("UPDATE token SET expires = '2020-01-01T00:00:00.000' WHERE id = ?", (id,))
        assert_scim_error(http.get("Users"), 401)


def test_a_token_is_never_logged(server: Server, caller: Caller) -> None:
    create_group(caller.http)
    caller.http.get("Users", params={"filter": 'userName eq "confidential"'})
    log = server.logged('"GET /scim/v2/Users"')
    assert caller.http.headers["Authorization"].split("_")[2] not in log
    assert "confidential" not in log
