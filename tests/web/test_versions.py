import threading

import httpx2
import pytest

from tests.conftest import Caller
from tests.scim import assert_scim_error, create_group, create_user


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


def test_of_many_writers_with_one_version_one_wins(caller: Caller) -> None:
    made = create_user(caller.http)
    headers = dict(caller.http.headers) | {"If-Match": made["meta"]["version"]}
    statuses: list[int] = []

    def write(number: int) -> None:
        url = f"{caller.http.base_url}Users/{made['id']}"
        statuses.append(httpx2.put(url, json={"userName": f"u{number}"}, headers=headers).status_code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 15


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
