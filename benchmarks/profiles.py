"""Where does the time of a request go? By Python's profiler, summed up by what the code belongs to.

Run it as ``python -m benchmarks.profiles``.
"""

import cProfile
import io
import json
import os
import pstats
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

from benchmarks.bulk import user
from benchmarks.data import Person, prepared, some_people
from benchmarks.options import Options, read_options
from benchmarks.serving import server
from scim_server.app import create_app

_USERS = 1000
_MOST = 8


def run(options: Options) -> dict[str, str]:
    """Return a table of shares for each kind of request."""
    with server(1, prepared(_USERS)) as running:
        os.environ |= {"SCIM_DATA_DIR": str(running.settings.data_dir), "SCIM_LOG_LEVEL": "error"}
        people = some_people(running.database, 500)
        app = create_app()
        kinds = {
            "GET a user with groups": [f"Users/{person.id}" for person in people],
            "userName eq": [_search(person) for person in people],
            "list of 100": [f"Users?count=100&startIndex={n}" for n in range(1, 100)],
        }
        calls = {name: [partial(call, app, f"/scim/v2/{path}", running.token) for path in paths]
                 for name, paths in kinds.items()}  # fmt: skip
        bodies = (json.dumps(user(f"profiled{number}")).encode() for number in range(_USERS))
        calls["POST a user"] = [partial(call, app, "/scim/v2/Users", running.token, "POST", body) for body in bodies]
        return {name: profiled(sent) for name, sent in calls.items()}


def _search(person: Person) -> str:
    return "Users?filter=" + quote(f'userName eq "{person.user_name}"')


def call(app: Callable[..., Iterable[bytes]], target: str, token: str, method: str = "GET", body: bytes = b"") -> int:
    """Send a request to an application, without a server around it, and return the size of the answer."""
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": unquote(path), "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8080", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "127.0.0.1",
        "HTTP_ACCEPT": "application/scim+json", "HTTP_AUTHORIZATION": f"Bearer {token}", "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False,
        "CONTENT_TYPE": "application/scim+json", "CONTENT_LENGTH": str(len(body)),
    }  # fmt: skip
    statuses: list[str] = []
    answer = app(environ, lambda status, *_: statuses.append(status))
    size = sum(map(len, answer))
    if close := getattr(answer, "close", None):
        close()
    assert statuses[0][:3] in {"200", "201"}, (statuses, target)
    return size


def profiled(calls: Sequence[Callable[[], object]]) -> str:
    """Return the packages and the functions that take most, with their shares, as a table."""
    warm, counted = calls[: len(calls) // 5], calls[len(calls) // 5 :]
    profile = cProfile.Profile()
    for each in warm:
        each()
    profile.enable()
    for each in counted:
        each()
    profile.disable()
    count = len(counted)
    own: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (path, _, name), (_, called, spent, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        own[_package(path, name)] += spent
        functions[f"{_package(path, name)}: {name.strip('<>')} ({called / count:.1f} calls)"] += spent
    total = sum(own.values())
    lines = ["| share | of | share | function |", "|---|---|---|---|"]
    pairs = zip(own.most_common(_MOST), functions.most_common(_MOST), strict=True)
    lines += [f"| {a / total:.0%} | {package} | {b / total:.0%} | `{name}` |" for (package, a), (name, b) in pairs]
    return "\n".join(lines) + "\n"


def _package(path: str, name: str) -> str:
    if "scim_server" in path:
        return "scim_server." + path.rpartition("scim_server/")[2].removesuffix(".py").replace("/", ".")
    if "site-packages" in path:
        return path.rpartition("site-packages/")[2].split("/")[0].removesuffix(".py")
    if path == "~":
        return "sqlite3" if "sqlite3" in name else "built-in functions"
    return "standard library"


def main() -> None:
    for name, shares in run(read_options()).items():
        print(f"{name}\n{shares}")


if __name__ == "__main__":
    main()
