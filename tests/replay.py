"""Replays what clients send, byte for byte, and tells where an answer is not what the client needs.

A file is a list of steps (`Step`), or an object of ``steps`` and what all of them share. Texts may hold variables: ``{{run}}`` (new in each replay), ``{{uuid}}`` (new each
time), ``{{base}}`` (the SCIM root), ``{{token}}``, ``{{i}}`` (the number of a repetition) and what earlier steps saved; ``{{name|q}}`` is
encoded for a form, ``{{name|pct}}`` percent-encoded, ``{{name|upper}}`` in capitals. In a list of a body, ``{"$each": "name", "slice":
[0, 9], "item": …}`` stands for one item for each value of a saved list, which is ``{{item}}`` in it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import httpx2 as httpx

_Variables = Mapping[str, Any]
_ABSENT = object()
_EMPTY: tuple[Any, ...] = (_ABSENT, None, "", [], {})
_VARIABLE = re.compile(r"\{\{(\w+)(?:\|(\w+))?\}\}")
_ENCODINGS: dict[str | None, Callable[[str], str]] = {
    None: str,
    "q": quote_plus,
    "pct": lambda text: quote(text, safe=""),
    "upper": str.upper,
}
_PART = re.compile(
    r"""\.(?P<name>[\w$-]+) | \['(?P<quoted>[^']*)'\] | \[(?P<index>\d+)\] | \[(?P<every>\*)\]
    | \[\?(?P<member>[\w$]+)==(?:'(?P<text>[^']*)'|(?P<literal>true|false|\d+))\]""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an answer must be; an empty answer of a step that may be 204 needs nothing more."""

    status: Sequence[int]
    """One of these."""
    json: Mapping[str, Any] = field(default_factory=dict)
    """What is at which path of the body: a value or one of `_MATCHERS`.

    Paths are such as ``$.name.givenName``, ``$['urn:…'].department``, ``$.emails[0].value``, ``$.emails[?type=='work'].value``
    (the first that matches) and ``$.Resources[*].id`` (a list).
    """
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A request of a client, or one of our own around it, and what its answer must be."""

    name: str
    method: str
    path: str
    """The end of the request target after the SCIM root, encoded as it is sent."""
    expect: Expected
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Sent in this order, and nothing else but Host, Content-Length and the token; null leaves the token out."""
    body: Any = _ABSENT
    """Sent as compact JSON, members in their order."""
    raw_body: str | None = None
    """Sent as it is, in ``raw_encoding``."""
    raw_encoding: str = "utf-8"
    save: Mapping[str, str] = field(default_factory=dict)
    """Variables, and the paths in the answer where their values are; a repeated step saves lists."""
    unless: str | None = None
    """A variable: when it has been saved the step is left out."""
    repeat: int = 1
    setup: bool = False
    """The client does not send this: the scenario needs it."""
    verify: bool = False
    """The client does not send this: it reads back what the step before did."""
    quirk: str | None = None
    """How the client departs from the RFC."""
    evidence: str
    """How we know: capture, source-code, vendor-doc, or composed by us."""
    source: str


@dataclass(frozen=True)
class Failure:
    """A step whose answer is not what it must be."""

    step: Step
    differences: Sequence[str]
    request: str = "(not sent)"
    answer: str = "(none)"

    def __str__(self) -> str:
        kind = f" [quirk: {self.step.quirk}]" if self.step.quirk else ""
        return "\n  ".join([f"{self.step.name}{kind}", *self.differences, f"> {self.request}", f"< {self.answer}"])


class _UnsavedError(Exception):
    """A variable that an earlier step should have saved."""


def read_steps(file: Path) -> list[Step]:
    """Read the steps of a file. Raises TypeError for a member that no step has."""
    found = json.loads(file.read_text(encoding="utf-8"))
    shared, steps = ({}, found) if isinstance(found, list) else (found, found.pop("steps"))
    return [Step(**{**shared, **step, "expect": Expected(**step["expect"])}) for step in steps]


def replay(http: httpx.Client, steps: Sequence[Step]) -> list[Failure]:
    """Send the steps in their order with the client's root and token, and return those that fail."""
    variables = {
        "run": uuid4().hex[:8],
        "base": str(http.base_url).rstrip("/"),
        "token": http.headers.get("Authorization", "").removeprefix("Bearer "),
    }
    return [failure for step in steps for failure in _replayed(http, step, variables)]


def _replayed(http: httpx.Client, step: Step, variables: dict[str, Any]) -> Iterator[Failure]:
    """Send a step as often as it says, until it fails."""
    if step.unless in variables:
        return
    for number in range(step.repeat):
        variables["i"] = number
        try:
            request = _request(http, step, variables)
            response = http.send(request)
            differences = [*_differences(step.expect, response, variables), *_save(step, response, variables)]
        except _UnsavedError as missing:
            yield Failure(step, [f"{{{{{missing}}}}} was never saved"])
            return
        if differences:
            sent = request.content.decode("utf-8", "replace")
            line = f"{request.method} {request.extensions['target'].decode()} {sent}"
            yield Failure(step, differences, line, f"{response.status_code} {response.text[:2000]}")
            return


# Requests


def _request(http: httpx.Client, step: Step, variables: _Variables) -> httpx.Request:
    """Return the request; its target and headers go past the client, which would normalise and add to them."""
    target = http.base_url.raw_path.rstrip(b"/") + _filled(step.path, variables).encode()
    headers = {"Authorization": http.headers.get("Authorization")} | dict(step.headers)
    return httpx.Request(
        step.method,
        http.base_url,
        headers={name: _filled(value, variables) for name, value in headers.items() if value is not None},
        content=_content(step, variables),
        extensions={"target": target, "timeout": http.timeout.as_dict()},
    )


def _content(step: Step, variables: _Variables) -> bytes | None:
    if step.raw_body is not None:
        return _filled(step.raw_body, variables).encode(step.raw_encoding)
    if step.body is _ABSENT:
        return None
    return json.dumps(_resolved(step.body, variables), separators=(",", ":"), ensure_ascii=False).encode()


def _filled(text: str, variables: _Variables) -> str:
    def value(found: re.Match[str]) -> str:
        name, encoding = found.groups()
        if name != "uuid" and name not in variables:
            raise _UnsavedError(name)
        return _ENCODINGS[encoding](str(uuid4() if name == "uuid" else variables[name]))

    return _VARIABLE.sub(value, text)


def _resolved(value: Any, variables: _Variables) -> Any:
    """Return a JSON value with its variables and ``$each`` filled in."""
    if isinstance(value, str):
        return _filled(value, variables)
    if isinstance(value, dict):
        return {_filled(name, variables): _resolved(member, variables) for name, member in value.items()}
    if isinstance(value, list):
        return [resolved for element in value for resolved in _elements(element, variables)]
    return value


def _elements(element: Any, variables: _Variables) -> list[Any]:
    if not (isinstance(element, dict) and "$each" in element):
        return [_resolved(element, variables)]
    if element["$each"] not in variables:
        raise _UnsavedError(element["$each"])
    values = variables[element["$each"]][slice(*element.get("slice", [None]))]
    return [_resolved(element["item"], {**variables, "item": value}) for value in values]


# Answers


def _differences(expected: Expected, response: httpx.Response, variables: _Variables) -> Iterator[str]:
    """Say what is not as expected; after a wrong status nothing else is worth saying."""
    if response.status_code not in expected.status:
        yield f"the status is {response.status_code}, not {' or '.join(map(str, expected.status))}"
        return
    for name, template in expected.headers.items():
        wanted, header = _filled(template, variables), response.headers.get(name)
        if header != wanted:
            yield f"the header {name} is {header!r}, not {wanted!r}"
    if not response.content and 204 in expected.status:
        return
    body = _body(response)
    for template, value in expected.json.items():
        path, wanted = _filled(template, variables), _resolved(value, variables)
        found = _find(body, path)
        if not _matches(found, wanted):
            yield f"{path} is {'absent' if found is _ABSENT else json.dumps(found)}, not {json.dumps(wanted)}"


def _save(step: Step, response: httpx.Response, variables: dict[str, Any]) -> Iterator[str]:
    if response.status_code not in step.expect.status:
        return
    body = _body(response) if step.save else _ABSENT
    for name, path in step.save.items():
        value = _find(body, path)
        if value is _ABSENT:
            yield f"nothing to save as {name} is at {path}"
        elif step.repeat > 1:
            variables.setdefault(name, []).append(value)
        else:
            variables[name] = value


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        return _ABSENT


def _find(value: Any, path: str) -> Any:
    """Return what is at a path, or `_ABSENT`."""
    path = path.removeprefix("$")
    while path:
        part = _PART.match(path)
        if not part:
            raise ValueError(f"no path begins with {path}")
        path = path[part.end() :]
        if part["every"]:
            found = [_find(element, "$" + path) for element in value] if isinstance(value, list) else None
            return _ABSENT if found is None else [element for element in found if element is not _ABSENT]
        value = _member(value, part) if part["name"] or part["quoted"] else _element(value, part)
    return value


def _member(value: Any, part: re.Match[str]) -> Any:
    return value.get(part["name"] or part["quoted"], _ABSENT) if isinstance(value, dict) else _ABSENT


def _element(value: Any, part: re.Match[str]) -> Any:
    elements = value if isinstance(value, list) else []
    if part["index"]:
        return next(iter(elements[int(part["index"]) :]), _ABSENT)
    wanted = json.loads(part["literal"]) if part["literal"] else part["text"]
    matching = (each for each in elements if isinstance(each, dict) and _same(each.get(part["member"]), wanted))
    return next(matching, _ABSENT)


def _matches(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and len(wanted) == 1:
        [(name, argument)] = wanted.items()
        if name in _MATCHERS:
            return _MATCHERS[name](found, argument)
    return found is not _ABSENT and _same(found, wanted)


def _same(found: Any, wanted: Any) -> bool:
    """Tell whether two JSON values are one, where 1, 1.0 and true are three."""
    return json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def _holds(found: Any, wanted: Any) -> bool:
    """Tell whether a value has all members that are wanted."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return all(name in found and _holds(found[name], value) for name, value in wanted.items())
    return _same(found, wanted)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return wanted in found
    return isinstance(found, list) and any(_holds(element, wanted) for element in found)


def _sorted(elements: Sequence[Any]) -> list[str]:
    return sorted(json.dumps(element, sort_keys=True) for element in elements)


def _length(found: Any) -> int | None:
    if found is _ABSENT or found is None:
        return 0
    return len(found) if isinstance(found, list | str) else None


_MATCHERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$exists": lambda found, wanted: (found is not _ABSENT) == wanted,
    "$empty": lambda found, wanted: (found in _EMPTY) == wanted,
    "$nonempty": lambda found, wanted: (found not in _EMPTY) == wanted,
    "$type": lambda found, wanted: type(found).__name__ == wanted,
    "$asStr": lambda found, wanted: str(found) == wanted,
    "$in": lambda found, wanted: any(found is not _ABSENT and _same(found, each) for each in wanted),
    "$len": lambda found, wanted: _length(found) == wanted,
    "$lenGte": lambda found, wanted: isinstance(found, list) and len(found) >= wanted,
    "$contains": _contains,
    "$notContains": lambda found, wanted: not _contains(found, wanted),
    "$anyOrder": lambda found, wanted: isinstance(found, list) and _sorted(found) == _sorted(wanted),
}
