"""What SCIM says, tested without a server: one assertion for refusals, and resource types made for a test."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from scim_server.protocol.errors import ScimError
from scim_server.protocol.registry import Registry, SchemaError, load_registry
from scim_server.protocol.schema import ResourceType

settings.register_profile("protocol", deadline=None)  # how long an example takes says nothing about SCIM
settings.load_profile("protocol")

DEVICE = "urn:example:scim:schemas:Device"
WARRANTY = "urn:example:scim:schemas:extension:Warranty"


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns, or its refusal."""
    try:
        return function(*arguments)
    except (ScimError, SchemaError) as refusal:
        return refusal


@contextmanager
def refused(scim_type: str | None, detail: str | None = None, status: int = 400) -> Iterator[None]:
    """Assert that the block is refused, with exactly this detail if one is given."""
    with pytest.raises(ScimError) as caught:
        yield
    assert (caught.value.status, caught.value.scim_type) == (status, scim_type), caught.value.detail
    if detail is not None:
        assert caught.value.detail == detail


def schema(*attributes: dict[str, Any], urn: str = DEVICE) -> dict[str, Any]:
    """Return a schema document."""
    return {"id": urn, "attributes": list(attributes)}


def resource_type(*extensions: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Return the document of the resource type Device."""
    device = {"name": "Device", "endpoint": "/Devices", "schema": DEVICE, "schemaExtensions": list(extensions)}
    return device | members


def load(directory: Path, *documents: Any) -> Registry:
    """Build a registry from the bundled schemas and the given documents."""
    (directory / "custom.json").write_text(json.dumps(documents), encoding="utf-8")
    return load_registry(directory)


def device(directory: Path, *attributes: dict[str, Any]) -> ResourceType:
    """Return a resource type with these attributes and no extension."""
    return load(directory, schema(*attributes), resource_type()).resource_types["Device"]


def texts(min_size: int = 0, max_size: int | None = None) -> st.SearchStrategy[str]:
    """Make free text as the gate lets it through, with the characters that JSON escapes."""
    awkward = st.sampled_from(
        [r"\u0000", r"\\u0000", '"', "\\", "\\\\", r"\n", "\n", "\t", '\\"', "\u2028", "e\u0301", "👩\u200d💻"]
    )
    plain = st.characters(codec="utf-8", exclude_categories=["Cc"])
    return st.lists(plain | awkward, min_size=min_size, max_size=max_size).map("".join)


def names() -> st.SearchStrategy[str]:
    """Make member names of any letters, without line breaks."""
    return st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)


def json_values(keys: st.SearchStrategy[str] | None = None, leaves: int = 15) -> st.SearchStrategy[Any]:
    """Make any JSON value that the gate lets through."""
    simple = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts(max_size=8)
    )
    known = names() if keys is None else keys
    return st.recursive(
        simple,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(known, inner, max_size=4),
        max_leaves=leaves,
    )
