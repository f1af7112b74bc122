"""What does a request cost that is refused again and again, against a read?

Run it as ``python -m benchmarks.refusals``.
"""

import json
from collections.abc import Callable

import httpx2 as httpx

from benchmarks.bulk import user
from benchmarks.harness import Row, Than, compared, measured, show
from benchmarks.options import Options, read_options
from benchmarks.serving import server

ROUNDS = 24
REPEATED = 20
JSON = {"Content-Type": "application/scim+json"}
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def patch(op: str, path: str, value: object) -> str:
    return json.dumps({"schemas": [PATCH_OP], "Operations": [{"op": op, "path": path, "value": value}]})


def refused(
    http: httpx.Client, method: str, path: str, status: int, content: str | None = None
) -> Callable[[int], int]:
    """Return what sends a request, and asserts its refusal, several times."""
    stale = {"If-Match": 'W/"0"'} if status == httpx.codes.PRECONDITION_FAILED else {}

    def send(_: int) -> int:
        for _ in range(REPEATED):
            assert http.request(method, path, content=content, headers=JSON | stale).status_code == status
        return REPEATED

    return send


def run(options: Options) -> list[Row]:
    with server() as running:
        http = running.http
        whole = user("u")
        path = f"Users/{http.post('Users', json=whole).json()['id']}"
        secret = json.dumps(whole | {"password": "correct horse"})
        read = "GET a user"
        search = "search by userName"
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
        return compared(
            times,
            {name: Than(read) for name in works if name != read and "whole" not in name}
            # Before it creates a user, a client searches for it.
            | {name: Than(search) for name in works if "whole" in name or "409" in name},
        )


def main() -> None:
    show(run(read_options()))


if __name__ == "__main__":
    main()
