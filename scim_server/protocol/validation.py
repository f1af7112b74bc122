"""Is this a resource of its type, and what does it say? (RFC 7643 sections 2 and 3)

Marshmallow fields are built once from each resource type. Loading gives a new document with
canonical names in schema order, canonical values, and without what the client may not set.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, partial
from itertools import islice
from typing import Any

from marshmallow import ValidationError, fields

from scim_server.protocol.errors import ScimError, invalid_syntax, invalid_value
from scim_server.protocol.limits import GROUP_MEMBERS
from scim_server.protocol.messages import by_name, check_schemas, is_unassigned
from scim_server.protocol.schema import Attribute, ResourceType
from scim_server.protocol.text import code_point, has_line_break, invisible, shown
from scim_server.protocol.types import READERS
from scim_server.protocol.wording import Text, say, together

Document = dict[str, Any]
_MOST_PROBLEMS = 5
"""Problems that one answer names; looking for more would only keep the server busy."""
_REQUIRED = say("is required")


def check(resource_type: ResourceType, body: Any) -> Document:
    """Return the resource that a client's body describes, without ``schemas``, ``id`` and ``meta``.

    Names match in any letter case (RFC 7643 section 2.1); null and [] mean absent (2.5); readOnly members are
    dropped (RFC 7644 sections 3.3 and 3.5.1). Raises invalidSyntax when the body has another structure or members that
    the type does not know, invalidValue when a value is missing
    or unfit; the detail names the attribute and never repeats the value.
    """
    if not isinstance(body, dict):
        raise invalid_syntax(say("The body must be a JSON object."))
    fields = _resource(resource_type)
    top = fields.named(body)
    check_schemas(top.get("schemas"), resource_type.schema.id, [e.schema.id for e in resource_type.extensions])
    document: Document = _load(lambda: fields.complete(top), "")
    for extension in resource_type.extensions:
        urn = extension.schema.id
        container = _container(top, urn)
        if container is None and not extension.required:
            continue
        values = _load(partial(_extension(resource_type, urn).load, container or {}), f"{urn}:")
        if values:
            document[urn] = values
        elif extension.required:
            raise invalid_value(say("{path} is required.", path=urn))
    return document


def read_values(attribute: Attribute, values: Any) -> list[Any]:
    """Return the canonical values of a multi-valued attribute; one alone may stand for a list. Raises invalidValue."""
    given = values if isinstance(values, list) else [values]
    loaded: list[Any] = _load(lambda: _field(attribute).deserialize(given), f"{attribute.path}.")
    return loaded


def read_value(attribute: Attribute, value: Any) -> Any:
    """Return a single value, or one value of several, in its canonical form. Raises invalidValue.

    A complex value need not be complete; a sub-attribute that it leaves unassigned stands as None.
    """
    field = _field(attribute)
    single = field.element if isinstance(field, _Several) else field
    read = single.read if isinstance(single, _Object) else single.load
    return _load(lambda: read(value), f"{attribute.path}.")


def schemas_in_use(resource_type: ResourceType, document: Mapping[str, Any]) -> list[str]:
    """Return the URNs that ``schemas`` lists: the type's own and each extension in use (section 3)."""
    used = [e.schema.id for e in resource_type.extensions if e.schema.id in document]
    return [resource_type.schema.id, *used]


def _container(top: Mapping[str, Any], urn: str) -> dict[str, Any] | None:
    container = top.get(urn)
    if is_unassigned(container):
        return None
    if not isinstance(container, dict):
        raise invalid_value(say("{path} must be an object.", path=urn))
    return container


def _load(load: Callable[[], Any], prefix: str) -> Any:
    try:
        return load()
    except ValidationError as error:
        raise _refusal(error, prefix) from None


def _refusal(error: ValidationError, prefix: str) -> ScimError:
    problems = islice(_problems(error.messages, prefix), _MOST_PROBLEMS)
    return invalid_value(say("{problems}.", problems=together("{first}; {second}", problems)))


def _problems(messages: Any, path: str) -> Iterable[Text]:
    """Flatten marshmallow's messages to ``emails[0].value must be a string``."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            if isinstance(name, int):
                yield from _problems(inner, f"{path.removesuffix('.')}[{name}].")
            else:
                yield from _problems(inner, f"{path}{name}.")
    else:
        yield from (say("{path} {phrase}", path=path.removesuffix("."), phrase=message) for message in messages)


class _Field(fields.Field[Any]):
    """A marshmallow field that is read by ``load``; values in ``nothing`` mean that it is absent."""

    nothing: tuple[Any, ...] = (None, [], {})

    def load(self, value: Any) -> Any:
        """Return the canonical value. Raises ValidationError."""
        raise NotImplementedError

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return self.load(value)


class _Value(_Field):
    """A single value of a simple type."""

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(required=attribute.required)
        self.read_type = READERS["string" if attribute.unchecked else attribute.type]
        self.canonical = {} if attribute.case_exact else {value.lower(): value for value in attribute.canonical_values}
        self.as_is = frozenset(self.canonical.values())
        self.identifies = attribute.uniqueness != "none" and attribute.type == "string"
        self.is_plain = not (self.canonical or self.identifies or attribute.required)
        self.is_plain_text = self.is_plain and self.read_type is READERS["string"]

    def load(self, value: Any) -> Any:
        """Return the canonical value."""
        if type(value) is str and value in self.as_is:
            return value
        if value == "":
            raise ValidationError(say("must not be an empty text; null clears it"))
        try:
            value = self.read_type(value)
        except ValueError as problem:
            raise ValidationError(problem.args[0]) from None
        if not self.is_plain and isinstance(value, str):
            if self.required or self.identifies:
                self._check_text(value)
            return self.canonical.get(value.lower(), value)
        return value

    read_assigned = load

    def _check_text(self, value: str) -> None:
        if self.required and not value.strip():
            raise ValidationError(say("must not be blank"))
        if self.identifies:
            if has_line_break(value):
                raise ValidationError(say("must not contain line breaks or tabs"))
            if char := invisible(value):
                raise ValidationError(say("must not contain the invisible character {char}", char=code_point(char)))


class _Object(_Field):
    """The members of an object: of a resource, of an extension, of one complex value; and names of further ones."""

    def __init__(
        self,
        members: Mapping[str, "_Value | _Object | _Several"],
        where: str,
        *,
        required: bool = False,
        further: Iterable[str] = (),
    ) -> None:
        super().__init__(required=required)
        self.where = where
        self.members = members
        self.names = {name.lower(): name for name in (*members, *further)}
        self.known = frozenset(self.names.values())
        self.needed = {name for name, member in members.items() if member.required}
        self.plan = [
            (name, isinstance(member, _Value) and member.is_plain_text, member.nothing, member.read_assigned)
            for name, member in members.items()
        ]

    def load(self, value: Any) -> Document:
        """Return the canonical members, which must be complete."""
        return self.complete(self.named(value))

    def read(self, value: Any) -> Document:
        """Return the members that an object names, None for those that it leaves unassigned (section 2.5)."""
        given = self.named(value)
        loaded = self._read(given, ())
        return {name: loaded.get(name) for name in self.members if name in given}

    def read_assigned(self, value: Any) -> Document | None:
        """Return the canonical members, None when there are none."""
        return self.load(value) or None

    def named(self, value: Any) -> Mapping[str, Any]:
        """Return the members, whose names match in any letter case (section 2.1). Raises invalidSyntax for others."""
        if not isinstance(value, dict):
            raise ValidationError(say("must be an object"))
        if value.keys() <= self.known:
            return value
        given = by_name(value, self.where)
        if unknown := next((name for name in given if name not in self.names), None):
            raise invalid_syntax(say("{where} has no attribute {name}.", where=self.where, name=shown(unknown)))
        return {name: given[lower] for lower, name in self.names.items() if lower in given}

    def complete(self, given: Mapping[str, Any]) -> Document:
        """Return the canonical members of an object whose names are, which must be complete."""
        loaded = self._read(given, self.needed)
        if not self.needed <= loaded.keys():
            missing = self.needed - set(loaded)
            raise ValidationError({name: [_REQUIRED] for name in self.members if name in missing})
        return loaded

    def _read(self, given: Mapping[str, Any], needed: Collection[str]) -> Document:
        loaded: Document = {}
        try:
            for name, is_plain_text, nothing, read_assigned in self.plan:
                if name in given:
                    value = given[name]
                    if not (is_plain_text and value and type(value) is str and value.isascii()):
                        value = None if not value and value in nothing else read_assigned(value)
                    if value is not None:
                        loaded[name] = value
        except ValidationError:
            raise ValidationError(dict(self._problems(given, needed))) from None
        return loaded

    def _problems(self, given: Mapping[str, Any], needed: Collection[str]) -> Iterable[tuple[str, Any]]:
        for name, member in self.members.items():
            value = given.get(name)
            try:
                is_missing = value in member.nothing or member.read_assigned(value) is None
            except ValidationError as error:
                yield name, error.messages
            else:
                if is_missing and name in needed:
                    yield name, [_REQUIRED]


class _Several(_Field):
    """Several values: at most one primary, no (type, value) pair twice (section 2.4)."""

    # An object is no array: taken for nothing, it would empty a group.
    nothing = (None, [])

    def __init__(self, attribute: Attribute) -> None:
        super().__init__(required=attribute.required)
        # What lists a resource must say which one: it is kept for that check even when it says nothing.
        self.points = attribute.lists_resources
        self.element = _single(attribute)
        value = attribute.sub("value")
        only_value = {sub.name for sub in attribute.sub_attributes if sub.required} <= {"value"}
        self.takes_names = self.points and only_value and value is not None and _Value(value).is_plain_text

    def read_assigned(self, value: Any) -> list[Any] | None:
        """Return the canonical values, None when there are none."""
        return self.load(value) or None

    def load(self, value: Any) -> list[Any]:
        """Return the canonical values of an array."""
        if not isinstance(value, list):
            raise ValidationError(say("must be an array"))
        if self.points:
            self._check_targets(value)
        if self.names_alone(value):
            return list({element["value"]: element for element in value}.values())
        elements = self._elements(value)
        if isinstance(self.element, _Object):
            if len([element for element in elements if element.get("primary")]) > 1:
                raise ValidationError(say("must not have more than one primary value"))
            if not self.points:
                elements = [element for element in elements if element]
        return _without_repeats(elements) if len(elements) > 1 else elements

    def _elements(self, value: list[Any]) -> list[Any]:
        elements: list[Any] = []
        errors: dict[str | int, Any] = {}
        for index, element in enumerate(value):
            if not element and is_unassigned(element) and not (self.points and isinstance(element, dict)):
                continue
            try:
                elements.append(self.element.load(element))
            except ValidationError as error:
                errors[index] = error.messages
                if len(errors) == _MOST_PROBLEMS:
                    break
        if errors:
            raise ValidationError(errors)
        return elements

    def _check_targets(self, value: list[Any]) -> None:
        if len(value) > GROUP_MEMBERS:
            raise ValidationError(say("must not have more than {most} values", most=GROUP_MEMBERS))
        if value and all(element in (None, "", []) for element in value):
            # Passed over, they would empty a group.
            raise ValidationError(say("must name resources"))

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
def _field(attribute: Attribute) -> _Value | _Object | _Several:
    return _Several(attribute) if attribute.multi_valued else _single(attribute)


def _single(attribute: Attribute) -> _Value | _Object:
    if not attribute.sub_attributes:
        return _Value(attribute)
    return _settable(attribute.sub_attributes, attribute.path, required=attribute.required)


@cache
def _resource(resource_type: ResourceType) -> _Object:
    attributes = (resource_type.common["externalId"], *resource_type.schema.attributes)
    urns = [extension.schema.id for extension in resource_type.extensions]
    return _settable(attributes, resource_type.name, ("schemas", "id", "meta", *urns))


@cache
def _extension(resource_type: ResourceType, urn: str) -> _Object:
    # Models of clients repeat schemas in it, which says nothing.
    return _settable(resource_type.by_urn[urn.lower()].attributes, urn, ("schemas",))


def _settable(
    attributes: Sequence[Attribute], where: str, further: Sequence[str] = (), *, required: bool = False
) -> _Object:
    members = {a.name: _field(a) for a in attributes if a.mutability != "readOnly"}
    others = [a.name for a in attributes if a.name not in members]
    return _Object(members, where, required=required, further=(*others, *further))
