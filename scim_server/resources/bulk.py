"""How are many operations done in one request? (RFC 7644 section 3.7)

All that can be read, checked and hashed without the database is done first. Then every operation is written in one
transaction, each whole or not at all: creates of one type by the number, whatever else behind a savepoint.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson

from scim_server.protocol import bulk
from scim_server.protocol.errors import ScimError, invalid_syntax, too_large
from scim_server.protocol.text import check_strings, parse_json
from scim_server.protocol.validation import by_name
from scim_server.resources.base import Resources, new_id
from scim_server.resources.references import Circular
from scim_server.resources.shared import Shared
from scim_server.resources.values import New, Patch, Whole
from scim_server.tokens import Principal, scope_prefix

_SHOWN = 16
"""Characters that a result repeats of a method that is none."""


@dataclass(slots=True)
class _Step:
    """One operation on its way."""

    method: str | None = None
    bulk_id: str | None = None
    of_type: Resources | None = None
    id: str | None = None
    data: Any = None
    if_match: str | None = None
    needs: set[int] = field(default_factory=set)
    """The numbers of the operations that create what this one names."""
    follows: set[int] = field(default_factory=set)
    """The number of the operation before it on the same resource."""
    made: New | Whole | Patch | None = None
    status: int = 0
    """0 until it has been tried."""
    refusal: ScimError | None = None

    def refuse(self, error: ScimError) -> None:
        # A group that would contain itself is wrong by itself elsewhere; here operations contradict one another.
        self.refusal = ScimError(409, error.detail) if isinstance(error, Circular) else error

    @property
    def names_rows(self) -> bool:
        """Tell whether a resource to be created points to others that must be there before it."""
        return isinstance(self.made, New) and any(self.made.draft.references.values())


class Bulk:
    """The operations on all resource types in one request."""

    def __init__(self, shared: Shared, kinds: Iterable[Resources]) -> None:
        self.shared = shared
        self.by_endpoint = {kind.resource_type.endpoint.strip("/"): kind for kind in kinds}

    def run(self, by: Principal, content: bytes, keep: Callable[[bytes], None] | None = None) -> bytes:
        """Do a BulkRequest and return the BulkResponse; ``keep`` gets it within the transaction.

        Raises invalidSyntax for another message, invalidValue for a wrong failOnErrors, 413 for too many operations;
        what is wrong with an operation is in its result.
        """
        body, is_doubtful = parse_json(content)
        operations, most = bulk.read_request(body, self.shared.settings.bulk_max_operations)
        steps = self._read(by, operations, len(content), is_doubtful=is_doubtful)
        order = bulk.in_order([step.needs | step.follows for step in steps])
        with self.shared.database.transaction():
            _Writing(self.shared, by, steps, most).do(order)
            answer = self._answer(by, steps)
            if keep:
                keep(answer)
        return answer

    def _read(self, by: Principal, operations: Sequence[Any], size: int, *, is_doubtful: bool) -> list[_Step]:
        """Make everything that can be made before a lock is taken. Passwords are hashed here."""
        steps = [_Step() for _ in operations]
        creators: dict[str, int] = {}
        named: list[Mapping[str, Any]] = []
        for number, (step, operation) in enumerate(zip(steps, operations, strict=True)):
            named.append({})
            with _refusing(step):
                if is_doubtful:
                    check_strings(operation)
                named[number] = self._read_envelope(step, operation)
                if step.method == "POST" and step.bulk_id:
                    if step.bulk_id in creators:
                        raise invalid_syntax("The bulkId is that of an operation before.")
                    creators[step.bulk_id] = number
                    step.id = new_id()
        ids = {bulk_id: id for bulk_id, number in creators.items() if (id := steps[number].id)}
        for number, (step, members) in enumerate(zip(steps, named, strict=True)):
            if not step.refusal:
                with _refusing(step):
                    self._read_target(by, step, members, ids, creators)
                    if step.of_type and size > step.of_type.body_limit:
                        _check_size(step.data, step.of_type.body_limit)
                    step.needs.discard(number)
                    self._prepare(by, step)
        last: dict[str | None, int] = {}
        for number, step in enumerate(steps):
            if step.method != "POST":
                step.follows = {last[step.id]} if step.id in last else set()
                last[step.id] = number
        return steps

    def _read_envelope(self, step: _Step, operation: Any) -> dict[str, Any]:
        if not isinstance(operation, dict):
            raise invalid_syntax("An operation must be an object.")
        members = by_name(operation, "The operation")
        if str(members.get("method")).upper() != "POST":
            self._locate(step, members)
        step.bulk_id = bulk_id if isinstance(bulk_id := members.get("bulkid"), str) else None
        step.method = method[:_SHOWN] if isinstance(method := members.get("method"), str) else None
        step.method = bulk.read_method(members)
        bulk.read_bulk_id(members, step.method)
        return members

    def _locate(self, step: _Step, members: Mapping[str, Any]) -> None:
        """Find out which resource an operation is about, as far as can be told whatever else is wrong."""
        try:
            endpoint, step.id = bulk.read_target(members, "PUT")
        except ScimError:
            return
        step.of_type = self.by_endpoint.get(endpoint)

    def _read_target(
        self,
        by: Principal,
        step: _Step,
        members: Mapping[str, Any],
        ids: Mapping[str, str],
        creators: Mapping[str, int],
    ) -> None:
        """Find out what an operation is about, and put ids in the place of bulkIds."""
        assert step.method
        endpoint, named = bulk.read_target(members, step.method)
        step.of_type = self.by_endpoint.get(endpoint)
        if step.of_type is None:
            raise ScimError(404, "The path names no endpoint of a resource type.")
        if named is not None:
            step.id, bulk_id = bulk.resolved(named, ids)
            step.needs |= {creators[bulk_id]} if bulk_id else set()
        by.check(f"{scope_prefix(step.of_type.resource_type)}:write")
        step.if_match = bulk.read_version(members)
        step.data = bulk.read_data(members, step.method)
        step.needs |= {creators[name] for name in bulk.resolve(step.data or {}, ids)}

    def _prepare(self, by: Principal, step: _Step) -> None:
        """Validate what an operation writes, as the single request would."""
        assert step.of_type
        assert step.id
        match step.method:
            case "POST":
                step.made = step.of_type.new(by, step.of_type.draft(by, step.data), step.id)
            case "PUT":
                step.made = step.of_type.draft(by, step.data, step.id)
            case "PATCH":
                step.made = step.of_type.draft_patch(by, step.data, step.id)

    def _answer(self, by: Principal, steps: Sequence[_Step]) -> bytes:
        versions: dict[str, str] = {}
        for of_type in self.by_endpoint.values():
            if ids := [s.id for s in steps if s.of_type is of_type and s.status and not s.refusal and s.id]:
                versions |= of_type.versions(by, ids)
        never = {s.id for s in steps if s.method == "POST" and (s.refusal or not s.status)}
        results = [self._result(step, versions, never) for step in steps if step.status]
        return orjson.dumps({"schemas": [bulk.BULK_RESPONSE], "Operations": results})

    def _result(self, step: _Step, versions: Mapping[str, str], never: Collection[str | None]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if step.of_type and step.id and step.id not in never:
            result["location"] = self.shared.location(step.of_type.resource_type, quote(step.id, safe=""))
        if step.method:
            result["method"] = step.method
        if step.bulk_id:
            result["bulkId"] = step.bulk_id
        if not step.refusal and step.id and step.id in versions:
            result["version"] = versions[step.id]
        result["status"] = str(step.status)
        if step.refusal:
            result["response"] = step.refusal.body()
        return result


def _check_size(data: Any, limit: int) -> None:
    """Refuse what would be too large for a request of its own. Raises 413."""
    if len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()) > limit:
        raise too_large("the limit", limit)


@contextmanager
def _refusing(step: _Step) -> Iterator[None]:
    """Let what an operation is refused with stand in its result."""
    try:
        yield
    except ScimError as error:
        step.refuse(error)


class _Writing:
    """The writing of one Bulk, within one transaction."""

    def __init__(self, shared: Shared, by: Principal, steps: Sequence[_Step], most: int | None) -> None:
        self.shared = shared
        self.by = by
        self.steps = steps
        self.most = most
        self.refused = 0
        self.batch: list[_Step] = []

    def do(self, order: Iterable[Sequence[int]]) -> None:
        """Do the operations in an order of `bulk.in_order`, until too many were refused."""
        for numbers in order:
            if self._joins_batch(numbers):
                continue
            self._insert_batch()
            # What an operation needs may just have been inserted.
            if not self._is_over() and not self._joins_batch(numbers):
                self._do_circle(numbers) if len(numbers) > 1 else self._do_one(self.steps[numbers[0]])
            if self._is_over():
                return
        self._insert_batch()

    def _is_over(self) -> bool:
        return self.most is not None and self.refused >= self.most

    def _joins_batch(self, numbers: Sequence[int]) -> bool:
        """Put an operation into the batch of creates if it can be inserted together with them."""
        step = self.steps[numbers[0]]
        if len(numbers) > 1 or step.refusal or not isinstance(step.made, New) or step.names_rows:
            return False
        if self.batch and self.batch[0].of_type is not step.of_type:
            return False
        needed = [self.steps[number] for number in step.needs]
        if any(not need.status or need.refusal for need in needed):
            return False
        self.batch.append(step)
        return True

    def _insert_batch(self) -> None:
        batch, self.batch = self.batch, []
        if not batch:
            return
        of_type = batch[0].of_type
        assert of_type
        most = self.most - self.refused if self.most else None
        created = [step.made for step in batch if isinstance(step.made, New)]
        for step, refusal in zip(batch, of_type.insert(self.by, created, most), strict=False):
            if refusal:
                step.refuse(refusal)
            self._finish(step, 201)

    def _do_one(self, step: _Step) -> None:
        status = 0
        if not step.refusal:
            with _refusing(step):
                self._check_needs(step)
                with self.shared.database.savepoint():
                    status = self._write(step)
        self._finish(step, status)

    def _check_needs(self, step: _Step) -> None:
        failed = [number for number in sorted(step.needs) if self.steps[number].refusal]
        if failed:
            raise ScimError(409, f"Operation {failed[0] + 1}, which creates what this one refers to, failed.")

    def _do_circle(self, numbers: Sequence[int]) -> None:
        """Do operations that refer to one another, all or none."""
        steps = [self.steps[number] for number in numbers]
        try:
            with self.shared.database.savepoint():
                for step in _by_rows(steps):
                    self._write_in_circle(step)
        except _CircleFailed:
            for step in steps:
                if not step.refusal:
                    step.refuse(ScimError(409, "The operations that refer to this one and to which it refers failed."))
        for step in steps:
            self._finish(step, 201)

    def _write_in_circle(self, step: _Step) -> None:
        if not step.refusal:
            with _refusing(step):
                self._check_needs(step)
                self._write(step)
        if step.refusal:
            raise _CircleFailed

    def _write(self, step: _Step) -> int:
        """Do one operation and return the status of its success."""
        assert step.of_type
        assert step.id
        match step.made:
            case New():
                (refusal,) = step.of_type.insert(self.by, [step.made])
                if refusal:
                    raise refusal
                return 201
            case Whole():
                step.of_type.change(self.by, step.id, step.made, step.if_match)
                return 200
            case Patch():
                key = step.of_type.change(self.by, step.id, step.made, step.if_match)
                return 200 if step.of_type.answers_patch(key) else 204
            case None:
                step.of_type.remove(self.by, step.id, step.if_match)
                return 204

    def _finish(self, step: _Step, status: int) -> None:
        step.status = step.refusal.status if step.refusal else status
        self.refused += step.refusal is not None


class _CircleFailed(Exception):
    """One of several operations that refer to one another failed."""


def _by_rows(steps: Sequence[_Step]) -> list[_Step]:
    """Return the operations of a circle so that those that must be there come before what points to them.

    Only what a document says of others may come before them. Raises _CircleFailed when nothing can be first.
    """
    numbers = {step.id: number for number, step in enumerate(steps)}
    needs: list[set[int]] = []
    for step in steps:
        named = step.made.draft.references.values() if isinstance(step.made, New) else ()
        needs.append({numbers[id] for ids in named for id in ids if id in numbers})
    order = bulk.in_order(needs)
    for circle in order:
        if len(circle) > 1:
            for number in circle:
                steps[number].refuse(ScimError(409, "Groups that contain one another cannot be created."))
            raise _CircleFailed
    return [steps[number] for (number,) in order]
