"""Is this a resource of its type, and what does it say? (RFC 7643 sections 2 and 3)

Marshmallow classes are built once from each resource type. Loading gives a new document with
canonical names in schema order, canonical values, and without what the client may not set.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load

from scim_server.protocol.errors import ScimError, invalid_syntax, invalid_value
from scim_server.protocol.limits import GROUP_MEMBERS
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.text import has_line_break, invisible
from scim_server.protocol.types import READERS

Document = dict[str, Any]
_RESOURCES = "urn:ietf:params:scim:schemas:core:2.0:"
_MOST_PROBLEMS = 5
"""Problems that one answer names; looking for more would only keep the server busy."""


def check(resource_type: ResourceType, body: Any) -> Document:
    """Return the resource that a client's body describes, without ``schemas``, ``id`` and ``meta``.

    Names match in any letter case (RFC 7643 section 2.1); null, [] and "" mean absent (2.5);
    unknown and readOnly members are dropped (RFC 7644 sections 3.3 and 3.5.1).
    Raises invalidSyntax when the body has another structure, invalidValue when a value is missing
    or unfit; the detail names the attribute and never repeats the value.
    """
    if not isinstance(body, dict):
        raise invalid_syntax("The body must be a JSON object.")
    top = by_name(body, resource_type.name)
    check_schemas(top.get("schemas"), resource_type.schema.id, _RESOURCES)
    document = _load(_class_for(resource_type), top, "")
    for extension in resource_type.extensions:
        urn = extension.schema.id
        container = _container(resource_type, top, urn)
        if container is None and not extension.required:
            continue
        values = _load(_class_for_extension(resource_type, urn), container or {}, f"{urn}:")
        if values:
            document[urn] = values
        elif extension.required:
            raise invalid_value(f"{urn} is required.")
    return document


def read_values(attribute: Attribute, values: Any) -> list[Any]:
    """Return the canonical values of a multi-valued attribute; one alone may stand for a list. Raises invalidValue."""
    given = values if isinstance(values, list) else [values]
    loaded: list[Any] = _read(attribute, lambda: _field(attribute).deserialize(given))
    return loaded


def read_value(attribute: Attribute, value: Any) -> Any:
    """Return a single value, or one value of several, in its canonical form. Raises invalidValue.

    A complex value need not be complete; a sub-attribute that it leaves unassigned stands as None.
    """
    field = _field(attribute)
    single = field.element if isinstance(field, _Several) else field
    return _read(attribute, lambda: single.read(value) if isinstance(single, _Complex) else single.load(value))


def _read(attribute: Attribute, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ValidationError as error:
        raise _refusal(error, f"{attribute.path}.") from None


def is_unassigned(value: Any) -> bool:
    """Tell whether a value means that the attribute is absent (RFC 7643 section 2.5)."""
    return value is None or value in ("", [], {})


def schemas_in_use(resource_type: ResourceType, document: Mapping[str, Any]) -> list[str]:
    """Return the URNs that ``schemas`` lists: the type's own and each extension in use (section 3)."""
    used = [e.schema.id for e in resource_type.extensions if e.schema.id in document]
    return [resource_type.schema.id, *used]


def by_name(members: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return an object's members by lower-case name; two names that differ in case only are refused."""
    found = {name.lower(): value for name, value in members.items()}
    if len(found) != len(members):
        raise invalid_syntax(f"{where} has two members whose names differ in letter case only.")
    return found


def check_schemas(schemas: Any, wanted: str, foreign: str | tuple[str, ...]) -> None:
    """Tolerate missing and unknown URNs, but not others with the prefixes of what is foreign instead of the wanted one.

    Raises invalidSyntax.
    """
    if schemas is None:
        return
    if not isinstance(schemas, list) or not all(isinstance(urn, str) for urn in schemas):
        raise invalid_syntax("schemas must be an array of strings.")
    listed = {urn.lower() for urn in schemas}
    if wanted.lower() not in listed and any(urn.startswith(foreign) for urn in listed):
        raise invalid_syntax(f"schemas must contain {wanted}.")


def _container(resource_type: ResourceType, top: Mapping[str, Any], urn: str) -> dict[str, Any] | None:
    container = top.get(urn.lower())
    if is_unassigned(container):
        return None
    if not isinstance(container, dict):
        raise invalid_value(f"{urn} must be an object.")
    return container


def _load(schema: Schema, members: Mapping[str, Any], prefix: str) -> Document:
    try:
        loaded: Document = schema.load(members)
    except ValidationError as error:
        raise _refusal(error, prefix) from None
    return loaded


def _refusal(error: ValidationError, prefix: str) -> ScimError:
    problems = list(_problems(error.messages, prefix))
    return invalid_value("; ".join(problems[:_MOST_PROBLEMS]) + ".")


def _problems(messages: Any, path: str) -> Iterable[str]:
    """Flatten marshmallow's messages to ``emails[0].value must be a string``."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            if name == "_schema":
                yield from _problems(inner, path)
            elif isinstance(name, int):
                yield from _problems(inner, f"{path.removesuffix('.')}[{name}].")
            else:
                yield from _problems(inner, f"{path}{name}.")
    else:
        yield from (f"{path.removesuffix('.')} {message}" for message in messages)


class _Base(Schema):
    """Schema over canonical names; subclasses carry the fields of the attributes they were built from."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def use_canonical_names(self, members: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        """Rename members to the schema's spelling and drop those that are unassigned (section 2.5)."""
        given = by_name(members, "The body")
        return {
            name: value
            for name in self.fields
            if (value := given.get(name.lower())) is not None and not is_unassigned(value)
        }

    @post_load
    def drop_unassigned(self, values: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Drop values of which nothing was left, unless they are required."""
        emptied = [name for name, value in values.items() if is_unassigned(value)]
        if missing := {name: ["is required"] for name in emptied if self.fields[name].required}:
            raise ValidationError(missing)
        return {name: value for name, value in values.items() if name not in emptied}


class _Value(fields.Field[Any]):
    """A single value of a simple type."""

    default_error_messages = {"required": "is required"}  # noqa: RUF012

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(required=attribute.required)
        self.read_type = READERS["string" if attribute.unchecked else attribute.type]
        self.canonical = {} if attribute.case_exact else {value.lower(): value for value in attribute.canonical_values}
        self.identifies = attribute.uniqueness != "none" and attribute.type == "string"
        self.is_plain = not (self.canonical or self.identifies or attribute.required)
        self.is_plain_text = self.is_plain and self.read_type is READERS["string"]

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return self.load(value)

    def load(self, value: Any) -> Any:
        """Return the canonical value."""
        try:
            value = self.read_type(value)
        except ValueError as problem:
            raise ValidationError(str(problem)) from None
        if isinstance(value, str) and not self.is_plain:
            self._check_text(value)
            return self.canonical.get(value.lower(), value)
        return value

    def _check_text(self, value: str) -> None:
        if self.required and not value.strip():
            raise ValidationError("must not be blank")
        if self.identifies:
            if has_line_break(value):
                raise ValidationError("must not contain line breaks or tabs")
            if char := invisible(value):
                raise ValidationError(f"must not contain the invisible character U+{ord(char):04X}")


class _Complex(fields.Field[Any]):
    """A single complex value."""

    default_error_messages = {"required": "is required"}  # noqa: RUF012

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(required=attribute.required)
        self.subs = {a.name: _Value(a) for a in attribute.sub_attributes if a.mutability != "readOnly"}
        self.needed = [name for name, sub in self.subs.items() if sub.required]

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return self.load(value, attr)

    def load(self, value: Any, where: str | None = None) -> Document:
        """Return the canonical value, which must be complete."""
        loaded = self.read(value, where)
        if None in loaded.values():
            loaded = {name: member for name, member in loaded.items() if member is not None}
        if missing := {name: ["is required"] for name in self.needed if name not in loaded}:
            raise ValidationError(missing)
        return loaded

    def read(self, value: Any, where: str | None = None) -> Document:
        """Return the sub-attributes that an object names, None for those that it leaves unassigned."""
        if not isinstance(value, dict):
            raise ValidationError("must be an object")
        given = value
        if not value.keys() <= self.subs.keys():
            named = by_name(value, where or "An object")
            given = {name: named[name.lower()] for name in self.subs if name.lower() in named}
        try:
            return {
                name: None if is_unassigned(given[name]) else sub.load(given[name])
                for name, sub in self.subs.items()
                if name in given
            }
        except ValidationError:
            raise ValidationError(dict(self._problems(given))) from None

    def _problems(self, given: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        for name, sub in self.subs.items():
            if not is_unassigned(given.get(name)):
                try:
                    sub.load(given[name])
                except ValidationError as error:
                    yield name, error.messages


class _Several(fields.Field[Any]):
    """Several values: at most one primary, no (type, value) pair twice (section 2.4)."""

    default_error_messages = {"required": "is required"}  # noqa: RUF012

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(required=attribute.required)
        # What points to a resource must say to which one: it is kept for that check even when it says nothing.
        self.points = attribute.sub("$ref") is not None
        self.element = _Complex(attribute) if attribute.sub_attributes else _Value(attribute)
        value = attribute.sub("value")
        only_value = {sub.name for sub in attribute.sub_attributes if sub.required} <= {"value"}
        self.takes_names = self.points and only_value and value is not None and _Value(value).is_plain_text

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("must be an array")
        if self.points:
            self._check_targets(value)
        if self.names_alone(value):
            return list({element["value"]: element for element in value}.values())
        elements: list[Any] = []
        errors: dict[str | int, Any] = {}
        for index, element in enumerate(value):
            if is_unassigned(element) and not (self.points and isinstance(element, dict)):
                continue
            try:
                elements.append(self.element.load(element))
            except ValidationError as error:
                errors[index] = error.messages
                if len(errors) == _MOST_PROBLEMS:
                    break
        if errors:
            raise ValidationError(errors)
        if sum(1 for element in elements if isinstance(element, dict) and element.get("primary")) > 1:
            raise ValidationError("must not have more than one primary value")
        return _without_repeats(elements if self.points else [e for e in elements if e != {}])

    def _check_targets(self, value: list[Any]) -> None:
        if len(value) > GROUP_MEMBERS:
            raise ValidationError(f"must not have more than {GROUP_MEMBERS} values")
        if value and all(element in (None, "", []) for element in value):
            # Passed over, they would empty a group.
            raise ValidationError("must name resources")

    def names_alone(self, elements: list[Any]) -> bool:
        """Tell whether elements only name their targets, as those of large groups do: nothing in them can be unfit."""
        return self.takes_names and all(
            type(element) is dict and len(element) == 1 and type(element.get("value")) is str and element["value"]
            for element in elements
        )


def _without_repeats(elements: list[Any]) -> list[Any]:
    kept: dict[Any, Any] = {}
    for index, element in enumerate(elements):
        if not isinstance(element, dict):
            kept.setdefault(element, element)
        else:
            mark = (element.get("type"), element["value"]) if "value" in element else index
            first = kept.setdefault(mark, element)
            if element.get("primary"):
                first["primary"] = True
    return list(kept.values())


@cache
def _field(attribute: Attribute) -> _Value | _Complex | _Several:
    if attribute.multi_valued:
        return _Several(attribute)
    return _Complex(attribute) if attribute.sub_attributes else _Value(attribute)


@cache
def _class_for(resource_type: ResourceType) -> Schema:
    own = (resource_type.common["externalId"], *resource_type.schema.attributes)
    return _schema(own)


@cache
def _class_for_extension(resource_type: ResourceType, urn: str) -> Schema:
    return _schema(resource_type.by_urn[urn.lower()].attributes)


def _schema(attributes: Iterable[Attribute]) -> Schema:
    settable = {a.name: _field(a) for a in attributes if a.mutability != "readOnly"}
    schema: Schema = type("Members", (_Base,), settable)()
    return schema
