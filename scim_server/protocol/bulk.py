"""What does a Bulk ask for, and in which order can it be done? (RFC 7644 section 3.7)"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from scim_server.protocol.errors import ScimError, invalid_syntax, invalid_value
from scim_server.protocol.messages import read_operations
from scim_server.protocol.wording import say

BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
BULK_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
MEMBERS = ("schemas", "operations", "failonerrors")
METHODS = ("POST", "PUT", "PATCH", "DELETE")
_MARK = "bulkId:"
# Where a string may name a resource that another operation creates: as a whole; at the end of a URI; in a filter.
_WHOLE = re.compile(r"()bulkId:(.*)()", re.DOTALL)
_URI = re.compile(r"(.*/)bulkId:([^/]*)(/?)", re.DOTALL)
# The last quote may be missing, so that each character is looked at once.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"?|bulkId:[^\s()\[\]"]+', re.DOTALL)


def read_request(body: Any, most: int) -> tuple[list[Any], int | None]:
    """Return the operations of a BulkRequest and the number of errors after which it ends, None for never.

    Raises invalidSyntax for another message, 413 for more operations than ``most``.
    """
    members, operations = read_operations(body, BULK_REQUEST)
    if len(operations) > most:
        raise ScimError(413, say("The Bulk has more operations than maxOperations ({most}).", most=most))
    errors = members.get("failonerrors")
    if errors is not None and (isinstance(errors, bool) or not isinstance(errors, int) or errors < 0):
        raise invalid_value(say("failOnErrors must be a whole number."))
    return operations, errors or None


def read_method(members: Mapping[str, Any]) -> str:
    """Return the method of an operation. Raises invalidSyntax."""
    method = members.get("method")
    if not isinstance(method, str) or method.upper() not in METHODS:
        raise invalid_syntax(say("method must be one of {methods}.", methods=", ".join(METHODS)))
    return method.upper()


def read_bulk_id(members: Mapping[str, Any], method: str) -> str | None:
    """Return the name that an operation gives the resource it creates. Raises invalidSyntax."""
    bulk_id = members.get("bulkid")
    if bulk_id is None and method == "POST":
        raise invalid_syntax(say("A POST needs a bulkId."))
    if bulk_id is not None and (not isinstance(bulk_id, str) or not bulk_id):
        raise invalid_syntax(say("bulkId must be a string that is not empty."))
    return bulk_id


def read_target(members: Mapping[str, Any], method: str) -> tuple[str, str | None]:
    """Return the endpoint that the path of an operation names, and the id in it. Raises invalidSyntax."""
    path = members.get("path")
    segments = [segment for segment in path.split("/") if segment] if isinstance(path, str) else []
    if any("?" in segment or "#" in segment for segment in segments):
        raise invalid_syntax(say("The path must not have a query or fragment."))
    if method == "POST" and len(segments) == 1:
        return segments[0], None
    if method != "POST" and len(segments) == 2:
        return segments[0], segments[1]
    wanted = "/Users" if method == "POST" else "/Users/{id}"
    raise invalid_syntax(
        say("The path of a {method} must be relative to the SCIM root, such as {path}.", method=method, path=wanted)
    )


def read_data(members: Mapping[str, Any], method: str) -> Any:
    """Return what an operation writes, None for DELETE. Raises invalidSyntax."""
    if method == "DELETE":
        return None
    data = members.get("data")
    if not isinstance(data, dict):
        raise invalid_syntax(say("A {method} needs data, an object.", method=method))
    return data


def read_version(members: Mapping[str, Any]) -> str | None:
    """Return the version that the resource must have. Raises invalidSyntax."""
    found = members.get("version")
    if found is not None and not isinstance(found, str):
        raise invalid_syntax(say("version must be a string."))
    return found


def resolved(text: str, ids: Mapping[str, str]) -> tuple[str, str | None]:
    """Return a string with an id in the place of a bulkId that it consists of, and that bulkId.

    Raises invalidValue when no operation creates it.
    """
    names: set[str] = set()
    return _replaced(text, ids, names, _WHOLE), next(iter(names), None)


def may_refer(content: bytes) -> bool:
    """Tell whether a string of a JSON text may hold a bulkId, which spares most loads the walk of `resolve`."""
    return _MARK.encode() in content or rb"\u" in content


def resolve(data: Any, ids: Mapping[str, str]) -> set[str]:
    """Put ids in the place of all bulkIds in an operation's data, and return these (section 3.7.2).

    Raises invalidValue when no operation creates one of them.
    """
    names: set[str] = set()
    waiting = [data]
    while waiting:
        container = waiting.pop()
        if type(container) is dict:
            for key in [key for key in container if _MARK in key and "[" in key]:
                container[_resolve("path", key, ids, names)] = container.pop(key)
        for key, value in container.items() if type(container) is dict else enumerate(container):
            kind = type(value)
            if kind is str:
                if _MARK in value and not _is_secret(container, key):
                    container[key] = _resolve(key, value, ids, names)
            elif kind is dict or kind is list:
                waiting.append(value)
    return names


def _is_secret(container: Any, key: str | int) -> bool:
    """Tell whether a value is a password, which is no reference, whatever it begins with."""
    if not isinstance(container, dict):
        return False
    path = next((value for name, value in container.items() if name.lower() == "path"), None)
    of_password = isinstance(path, str) and path.strip().lower().rpartition(":")[2] == "password"
    return str(key).lower() == "password" or (str(key).lower() == "value" and of_password)


def _resolve(key: str | int, text: str, ids: Mapping[str, str], names: set[str]) -> str:
    match str(key).lower():
        case "path":
            return _QUOTED.sub(lambda found: _requoted(found[0], ids, names), text)
        case "$ref":
            return _replaced(text, ids, names, _WHOLE, _URI)
        case _:
            return _replaced(text, ids, names, _WHOLE)


def _requoted(quoted: str, ids: Mapping[str, str], names: set[str]) -> str:
    """Return a string of a filter with an id in the place of a bulkId."""
    try:
        text = json.loads(quoted) if quoted.startswith('"') else quoted
    except json.JSONDecodeError:
        # The filter is refused later, with a better reason.
        return quoted
    replaced = _replaced(text, ids, names, _WHOLE, _URI)
    return quoted if replaced == text else json.dumps(replaced, ensure_ascii=False)


def _replaced(text: str, ids: Mapping[str, str], names: set[str], *patterns: re.Pattern[str]) -> str:
    found = next((match for pattern in patterns if (match := pattern.fullmatch(text))), None)
    if not found:
        return text
    before, name, after = found.groups()
    if name not in ids:
        raise invalid_value(say("No operation creates a resource with the bulkId that is named here."))
    names.add(name)
    return f"{before}{ids[name]}{after}"


def in_order(needs: Sequence[Collection[int]]) -> list[list[int]]:
    """Return operations by number so that each follows those it needs, and else in their own order (section 3.7.1).

    One that needs a later one comes right after it. Those that need one another stand together.
    """
    circles = list(_circles(needs))
    circle_of = {number: index for index, circle in enumerate(circles) for number in circle}
    waits: list[set[int]] = []
    followers: dict[int, list[int]] = {}
    for index, circle in enumerate(circles):
        waits.append({circle_of[need] for number in circle for need in needs[number]} - {index})
        for other in waits[index]:
            followers.setdefault(other, []).append(index)
    ready = [(max(circle), index) for index, circle in enumerate(circles) if not waits[index]]
    heapify(ready)
    ordered: list[list[int]] = []
    while ready:
        _, index = heappop(ready)
        ordered.append(circles[index])
        for follower in followers.get(index, ()):
            waits[follower].discard(index)
            if not waits[follower]:
                heappush(ready, (max(circles[follower]), follower))
    return ordered


def _circles(needs: Sequence[Collection[int]]) -> Iterator[list[int]]:
    """Yield the strongly connected components (Tarjan), most of them one operation."""
    low: dict[int, int] = {}
    seen: dict[int, int] = {}
    open_: list[int] = []
    closed: set[int] = set()
    for root in range(len(needs)):
        work = [] if root in seen else [(root, iter(needs[root]))]
        while work:
            node, rest = work[-1]
            if node not in seen:
                seen[node] = low[node] = len(seen)
                open_.append(node)
            for need in rest:
                if need not in seen:
                    work.append((need, iter(needs[need])))
                    break
                if need not in closed:
                    low[node] = min(low[node], seen[need])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == seen[node]:
                    circle: list[int] = []
                    while node not in closed:
                        circle.append(open_.pop())
                        closed.add(circle[-1])
                    yield sorted(circle)
