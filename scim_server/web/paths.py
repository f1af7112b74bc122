"""Which endpoint does a URL path mean? Empty segments and the public prefix mean nothing."""

import re
from collections.abc import Callable, Iterable
from typing import Any

_Start = Callable[..., Any]
_Application = Callable[[dict[str, Any], _Start], Iterable[bytes]]


class Paths:
    """Serve trailing and double slashes as if absent, and the prefix of the public URL.

    A proxy may pass the prefix on or strip it; both reach the same endpoint. Nothing redirects.
    """

    def __init__(self, application: _Application, prefix: str) -> None:
        self._application = application
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        path = re.sub("/{2,}", "/", environ.get("PATH_INFO") or "/")
        if self._prefix and (path + "/").startswith(self._prefix + "/"):
            path = path[len(self._prefix) :] or "/"
        environ["PATH_INFO"] = path.rstrip("/") or "/"
        return self._application(environ, start_response)
