"""What does an application do for a request, without a server around it? Run by ``benchmarks.instructions``.

Every `mark` is a call that callgrind is told to watch for.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from benchmarks import floor
from scim_server.app import create_app

WARM, COUNT = 30, 100
"""Requests of each kind before counting, and in the shorter of two counts; the longer has twice as many."""


def mark() -> None:
    os.getppid()


def call(app: Callable[..., Iterable[bytes]], target: str, token: str, method: str = "GET", body: bytes = b"") -> int:
    """Send a request to an application and return the size of the answer."""
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


def main() -> None:
    """Count for the server and for the floor, with targets of one kind after another from standard input."""
    name, token = sys.argv[1:]
    kinds = [line.split() for line in sys.stdin]
    app = create_app() if name == "server" else floor.create_app()
    for targets in kinds:
        for target in targets[:WARM]:
            size = call(app, target, token)
    for targets in kinds:
        mark()
        for target in targets[:COUNT]:
            size = call(app, target, token)
        mark()
        for target in targets[COUNT : 3 * COUNT]:
            size = call(app, target, token)
        mark()
    print(size)


if __name__ == "__main__":
    main()
