"""What is each operation of a Bulk about, as far as can be said before a lock is taken? (RFC 7644 section 3.7)"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from scim_server.protocol import bulk
from scim_server.protocol.errors import ScimError, invalid_syntax, too_large
from scim_server.protocol.messages import by_name
from scim_server.protocol.text import check_strings
from scim_server.protocol.wording import say
from scim_server.resources.base import Resources, new_id
from scim_server.resources.references import Circular
from scim_server.resources.values import Draft, Hashes, New, Patch, Whole
from scim_server.tokens import Principal, scope_prefix

_OPERATION, _LIMIT = say("The operation"), say("the limit")
_SHOWN = 16
"""Characters that a result repeats of a method that is none."""


@dataclass(slots=True)
class Step:
    """One operation on its way."""

    method: str | None = None
    bulk_id: str | None = None
    of_type: Resources | None = None
    id: str | None = None
    if_match: str | None = None
    needs: set[int] = field(default_factory=set)
    """The numbers of the operations that create what this one names."""
    made: New | Whole | Patch | None = None
    status: int = 0
    """0 until it has been tried."""
    refusal: ScimError | None = None

    def refuse(self, error: ScimError) -> None:
        """Keep what an operation is refused with, without the traceback, which would hold all that was sent."""
        # A group that would contain itself is wrong by itself elsewhere; here operations contradict one another.
        is_circular = isinstance(error, Circular)
        status, scim_type = (409, None) if is_circular else (error.status, error.scim_type)
        self.refusal = ScimError(status, error.detail, scim_type)

    @property
    def awaits_hash(self) -> bool:
        """Tell whether there is a password to be written that is not hashed yet."""
        draft: Draft | None = self.made.draft if isinstance(self.made, New) else self.made
        return draft is not None and draft.password is not None and draft.password_hash is None

    def hash(self, by: Principal, hashes: Hashes) -> None:
        """Hash the password, if there is one; ``hashes`` are those made for the same resource."""
        assert self.of_type
        if isinstance(self.made, New):
            self.of_type.hash(by, self.made.draft, None, hashes)
        elif self.made:
            self.of_type.hash(by, self.made, self.id, hashes)

    def points_to(self) -> list[str]:
        """Return the ids of what must be there before a resource can be created that points to it."""
        references = self.made.draft.references.values() if isinstance(self.made, New) else ()
        return [id for ids in references for id in ids]


@contextmanager
def refusing(step: Step) -> Iterator[None]:
    """Let what an operation is refused with stand in its result."""
    try:
        yield
    except ScimError as error:
        step.refuse(error)


class Reading:
    """The reading of one Bulk for a caller, with ``kinds`` of resources by their endpoints.

    Operations are validated as single requests are.
    """

    def __init__(self, by: Principal, kinds: Mapping[str, Resources]) -> None:
        self.by = by
        self.kinds = kinds
        self.creators: dict[str, int] = {}
        """The numbers of the operations that create what a bulkId names."""
        self.ids: dict[str, str] = {}
        """The ids that will have what bulkIds name."""
        self.may_refer = True

    def read(self, operations: Sequence[Any], content: bytes, *, is_doubtful: bool) -> list[Step]:
        """Return a step for each operation of the request with this content, whose strings may be doubtful."""
        self.may_refer = bulk.may_refer(content)
        steps = [Step() for _ in operations]
        named: list[Mapping[str, Any]] = []
        for number, (step, operation) in enumerate(zip(steps, operations, strict=True)):
            named.append({})
            with refusing(step):
                named[number] = self._read_envelope(number, step, operation, is_doubtful=is_doubtful)
        for number, (step, members) in enumerate(zip(steps, named, strict=True)):
            if not step.refusal:
                with refusing(step):
                    self._prepare(step, self._read_target(step, members), len(content))
            step.needs.discard(number)
        return steps

    def _read_envelope(self, number: int, step: Step, operation: Any, *, is_doubtful: bool) -> dict[str, Any]:
        """Read what the operations that refer to this one must know."""
        if not isinstance(operation, dict):
            raise invalid_syntax(say("An operation must be an object."))
        members = by_name(operation, _OPERATION)
        if is_doubtful:
            # What a result repeats comes first, so that it can be told which operation is meant.
            check_strings({name: members[name] for name in ("method", "bulkid", "path") if name in members})
        if str(members.get("method")).upper() != "POST":
            self._locate(step, members)
        step.bulk_id = bulk_id if isinstance(bulk_id := members.get("bulkid"), str) else None
        step.method = method[:_SHOWN] if isinstance(method := members.get("method"), str) else None
        step.method = bulk.read_method(members)
        bulk_id = bulk.read_bulk_id(members, step.method)
        if step.method == "POST" and bulk_id:
            if bulk_id in self.creators:
                raise invalid_syntax(say("The bulkId is that of an operation before."))
            step.id = new_id()
            self.creators[bulk_id], self.ids[bulk_id] = number, step.id
        if is_doubtful:
            check_strings(operation)
        return members

    def _locate(self, step: Step, members: Mapping[str, Any]) -> None:
        """Find out which resource an operation is about, whatever else is wrong with it."""
        try:
            endpoint, step.id = bulk.read_target(members, "PUT")
        except ScimError:
            return
        step.of_type = self._kind(endpoint)

    def _kind(self, endpoint: str) -> Resources | None:
        """Return the resources at an endpoint, in any letter case if that is accepted."""
        if endpoint in self.kinds:
            return self.kinds[endpoint]
        found = next((kind for name, kind in self.kinds.items() if name.lower() == endpoint.lower()), None)
        return found if found and self.by.habits.accepts("endpoint-case") else None

    def _read_target(self, step: Step, members: Mapping[str, Any]) -> Any:
        """Find out what an operation is about; return its data with ids in the place of bulkIds."""
        assert step.method
        endpoint, named = bulk.read_target(members, step.method)
        step.of_type = self._kind(endpoint)
        if step.of_type is None:
            raise ScimError(404, say("The path names no endpoint of a resource type."))
        if named is not None:
            step.id, bulk_id = bulk.resolved(named, self.ids)
            step.needs |= {self.creators[bulk_id]} if bulk_id else set()
        self.by.check(f"{scope_prefix(step.of_type.resource_type)}:write")
        step.if_match = bulk.read_version(members)
        data = bulk.read_data(members, step.method)
        if self.may_refer:
            step.needs |= {self.creators[name] for name in bulk.resolve(data or {}, self.ids)}
        return data

    def _prepare(self, step: Step, data: Any, size: int) -> None:
        """Validate what an operation writes, as the single request would."""
        assert step.of_type
        assert step.id
        if size > step.of_type.body_limit:
            _check_size(data, step.of_type.body_limit)
        match step.method:
            case "POST":
                step.made = step.of_type.new(self.by, step.of_type.draft(self.by, data), step.id)
            case "PUT":
                step.made = step.of_type.draft(self.by, data)
            case "PATCH":
                step.made = step.of_type.draft_patch(self.by, data)


def waits(steps: Sequence[Step]) -> list[set[int]]:
    """Return what each operation comes after: those it needs, and the one before it on the same resource."""
    last: dict[str, int] = {}
    found: list[set[int]] = []
    for number, step in enumerate(steps):
        before: set[int] = set()
        if step.method != "POST" and step.id:
            before = {last[step.id]} if step.id in last else before
            last[step.id] = number
        found.append(step.needs | before)
    return found


def _check_size(data: Any, limit: int) -> None:
    """Refuse what would be too large for a request of its own. Raises 413."""
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > limit:
        raise too_large(_LIMIT, limit)
