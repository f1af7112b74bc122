import os
import threading

import httpx2
import pytest

from tests.conftest import Caller
from tests.scim import BULK_REQUEST, PATCH_OP, assert_scim_error, create, create_group, create_user


def tag(response: httpx2.Response) -> str:
    return str(response.headers["ETag"])


def test_a_known_version_is_304_without_a_body(http: httpx2.Client) -> None:
    made = create_user(http)
    version = made["meta"]["version"]
    opaque = version.removeprefix("W/")
    for known in (version, opaque, "*", f'"other", {version}', f'W/"x",{opaque}'):
        response = http.get(f"Users/{made['id']}", headers={"If-None-Match": known})
        assert response.status_code == 304
        assert response.content == b""
        assert "Content-Type" not in response.headers
        assert tag(response) == version
    for unknown in ('W/"x"', '"x"', "x", opaque.strip('"')):
        assert http.get(f"Users/{made['id']}", headers={"If-None-Match": unknown}).status_code == 200
    projected = http.get(f"Users/{made['id']}?attributes=userName", headers={"If-None-Match": version})
    assert projected.status_code == 304


@pytest.mark.parametrize(
    ("endpoint", "attribute"), [("Users", "userName"), ("Groups", "displayName"), ("Services", "displayName")]
)
def test_every_type_has_versions_on_every_method(http: httpx2.Client, endpoint: str, attribute: str) -> None:
    made = create(http, endpoint, **{attribute: "first"})
    path, stale = f"{endpoint}/{made['id']}", made["meta"]["version"]
    assert http.get(path, headers={"If-None-Match": stale}).status_code == 304
    changed = http.put(path, json={attribute: "second"}, headers={"If-Match": stale})
    assert changed.status_code == 200
    assert tag(changed) == changed.json()["meta"]["version"] != stale
    body = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": attribute, "value": "third"}]}
    for method, sent in (("PUT", {attribute: "third"}), ("PATCH", body), ("DELETE", None)):
        assert_scim_error(http.request(method, path, json=sent, headers={"If-Match": stale}), 412)
        assert_scim_error(http.request(method, path, json=sent, headers={"If-Match": f'"x", {stale}'}), 412)
    current = http.get(path, headers={"If-None-Match": stale})
    assert current.json() == changed.json()
    for match in (f'"x", {tag(current)}', "*"):
        patched = http.patch(path, json=body, headers={"If-Match": match})
        assert patched.status_code == 200
    assert http.delete(path, headers={"If-Match": tag(patched)}).status_code == 204
    for method, sent in (("PUT", {attribute: "x"}), ("PATCH", body), ("DELETE", None)):
        assert_scim_error(http.request(method, path, json=sent, headers={"If-Match": "*"}), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_stale_version_is_412_and_nothing_changes(http: httpx2.Client, method: str) -> None:
    made = create_user(http)
    changed = http.put(f"Users/{made['id']}", json={"userName": "bjensen", "title": "Guide"})
    body = {"userName": "other"} if method == "PUT" else None
    for stale in (made["meta"]["version"], '"x"', "nonsense"):
        assert_scim_error(http.request(method, f"Users/{made['id']}", json=body, headers={"If-Match": stale}), 412)
    assert http.get(f"Users/{made['id']}").json() == changed.json()


def test_the_current_version_is_accepted_weak_and_strong(http: httpx2.Client) -> None:
    made = create_user(http)
    version = made["meta"]["version"]
    for title, accepted in (("a", version), ("b", None), ("c", "*"), ("d", None)):
        match = accepted or version.removeprefix("W/")
        response = http.put(
            f"Users/{made['id']}", json={"userName": "bjensen", "title": title}, headers={"If-Match": match}
        )
        assert response.status_code == 200
        version = tag(response)
    assert http.delete(f"Users/{made['id']}", headers={"If-Match": version}).status_code == 204
    assert_scim_error(http.delete(f"Users/{made['id']}", headers={"If-Match": "*"}), 404)


def test_the_version_of_a_user_follows_its_groups(http: httpx2.Client) -> None:
    made = create_user(http)
    create_group(http, "G", made["id"])
    stale = {"If-Match": made["meta"]["version"]}
    assert_scim_error(http.put(f"Users/{made['id']}", json={"userName": "x"}, headers=stale), 412)
    assert http.get(f"Users/{made['id']}", headers={"If-None-Match": made["meta"]["version"]}).status_code == 200


def write(http: httpx2.Client, how: str, path: str, name: str, attribute: str, version: str) -> int:
    """Change one attribute under a version in one of the ways that there are; return the status."""
    operations = {"schemas": [PATCH_OP], "Operations": [{"op": "replace", "path": attribute, "value": name}]}
    headers = {"If-Match": version}
    match how:
        case "PUT":
            return http.put(path, json={attribute: name}, headers=headers).status_code
        case "PATCH":
            return http.patch(path, json=operations, headers=headers).status_code
        case _:
            operation = {"method": "PATCH", "path": f"/{path}", "version": version, "data": operations}
            answer = http.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": [operation]})
            return int(answer.json()["Operations"][0]["status"])


def test_of_32_writers_with_one_version_one_wins(caller: Caller) -> None:
    """Race as often as ETAG_ROUNDS says, in each way that a version can be given, on each type."""
    rounds = int(os.environ.get("ETAG_ROUNDS", "9"))
    kinds = {
        f"{endpoint}/{create(caller.http, endpoint, **{attribute: 'first'})['id']}": attribute
        for endpoint, attribute in (("Users", "userName"), ("Groups", "displayName"), ("Services", "displayName"))
    }
    races = [(how, path) for how in ("PUT", "PATCH", "Bulk") for path in kinds]
    version = ""
    statuses: list[int] = []
    barrier = threading.Barrier(33)

    def race(number: int) -> None:
        with httpx2.Client(base_url=caller.http.base_url, headers=caller.http.headers, timeout=60) as http:
            for turn in range(rounds):
                how, path = races[turn % len(races)]
                barrier.wait(60)
                statuses.append(write(http, how, path, f"{turn} {number}", kinds[path], version))
                barrier.wait(60)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for turn in range(rounds):
        how, path = races[turn % len(races)]
        version = tag(caller.http.get(path))
        statuses.clear()
        barrier.wait(60)
        barrier.wait(60)
        if sorted(statuses) != [200] + [412] * 31:
            barrier.abort()
        assert sorted(statuses) == [200] + [412] * 31, (turn, how, path)
    for thread in threads:
        thread.join()


def test_of_many_creators_of_one_name_one_wins(caller: Caller) -> None:
    statuses: list[int] = []

    def post() -> None:
        response = httpx2.post(f"{caller.http.base_url}Users", json={"userName": "x"}, headers=caller.http.headers)
        statuses.append(response.status_code)

    threads = [threading.Thread(target=post) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] + [409] * 15
    assert caller.http.get("Users").json()["totalResults"] == 1
