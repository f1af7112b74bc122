"""What does a request cost that is refused again and again, against a read?

Run it as ``python -m benchmarks.refusals``.
"""

import json
from collections.abc import Callable

import httpx2 as httpx

from benchmarks.bulk import user
from benchmarks.harness import measured, server, show

ROUNDS = 24
REPEATED = 20
JSON = {"Content-Type": "application/scim+json"}
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def patch(op: str, path: str, value: object) -> str:
    return json.dumps({"schemas": [PATCH_OP], "Operations": [{"op": op, "path": path, "value": value}]})


def refused(
    http: httpx.Client, method: str, path: str, status: int, content: str | None = None
) -> Callable[[int], None]:
    """Return what sends a request, and asserts its refusal, several times."""
    stale = {"If-Match": 'W/"0"'} if status == httpx.codes.PRECONDITION_FAILED else {}

    def send(_: int) -> None:
        for _ in range(REPEATED):
            assert http.request(method, path, content=content, headers=JSON | stale).status_code == status

    return send


def main() -> None:
    with server() as running:
        http = running.http
        whole = user("u")
        path = f"Users/{http.post('Users', json=whole).json()['id']}"
        secret = json.dumps(whole | {"password": "correct horse"})
        read = f"{REPEATED} reads of a user"
        search = f"{REPEATED} searches by userName"
        found = "Users?filter=userName+eq+%22" + whole["userName"] + "%22"
        works = {
            read: refused(http, "GET", path, 200),
            search: refused(http, "GET", found, 200),
            "401 with another token": refused(httpx.Client(base_url=http.base_url), "GET", path, 401),
            "404 of a PATCH": refused(http, "PATCH", "Users/nobody", 404, patch("replace", "active", value=False)),
            "400 of a path": refused(http, "PATCH", path, 400, patch("Replace", "nosuch", "x")),
            "400 of a value filter": refused(http, "PATCH", path, 400, patch("add", 'emails[value co "?"].type', "x")),
            "400 of a whole user": refused(http, "POST", "Users", 400, json.dumps(whole | {"active": "maybe"})),
            "409 of a whole user": refused(http, "POST", "Users", 409, json.dumps(whole)),
            "409 of one with a password": refused(http, "POST", "Users", 409, secret),
            "412 of one with a password": refused(http, "PUT", path, 412, secret),
        }
        times = measured(works, dict.fromkeys(works, running.cpu), ROUNDS)
        show(
            times,
            {name: (read, None) for name in works if name != read and "whole" not in name}
            # Before it creates a user, a client searches for it.
            | {name: (search, None) for name in works if "whole" in name or "409" in name},
        )


if __name__ == "__main__":
    main()
