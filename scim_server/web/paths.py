"""Which endpoint does a URL path mean? Empty segments and the public prefix mean nothing, letter case may."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from scim_server.config import SCIM_ROOT

_Start = Callable[..., Any]
_Application = Callable[[dict[str, Any], _Start], Iterable[bytes]]
OTHER_CASE = "scim_server.other_case"
"""Set in the environment of a request whose endpoint was meant in another letter case."""


class Paths:
    """Serve trailing and double slashes as if absent, and the prefix of the public URL.

    A proxy may pass the prefix on or strip it; both reach the same endpoint. Nothing redirects. The names of
    ``endpoints`` are found in any letter case.
    """

    def __init__(self, application: _Application, prefix: str, endpoints: Collection[str]) -> None:
        self._application = application
        self._prefix = prefix
        self._endpoints = {name.lower(): name for name in endpoints}

    def __call__(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        path = environ.get("PATH_INFO") or "/"
        if "//" in path:
            path = re.sub("/{2,}", "/", path)
        if self._prefix and (path + "/").startswith(self._prefix + "/"):
            path = path[len(self._prefix) :] or "/"
        path = path.rstrip("/") or "/"
        name, slash, rest = path.removeprefix(f"{SCIM_ROOT}/").partition("/")
        meant = self._endpoints.get(name.lower(), name)
        if meant != name and path.startswith(f"{SCIM_ROOT}/"):
            environ[OTHER_CASE] = True
            path = f"{SCIM_ROOT}/{meant}{slash}{rest}"
        environ["PATH_INFO"] = path
        return self._application(environ, start_response)
