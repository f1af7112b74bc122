"""How are many operations done in one request? (RFC 7644 section 3.7)

All that can be read, checked and hashed without the database is done first. Then every operation is written in one
transaction, each whole or not at all: creates of one type by the number, whatever else behind a savepoint.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import orjson

from scim_server.protocol import bulk, limits
from scim_server.protocol.compatibility import read_message
from scim_server.protocol.errors import ScimError
from scim_server.protocol.text import parse_json
from scim_server.protocol.wording import say
from scim_server.resources.base import Resources
from scim_server.resources.shared import Shared
from scim_server.resources.steps import Reading, Step, refusing, waits
from scim_server.resources.values import Hashes, New, Patch, Whole
from scim_server.tokens import Principal


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
        operations, most = read_message(
            lambda sent: bulk.read_request(sent, self.shared.settings.bulk_max_operations),
            body,
            bulk.BULK_REQUEST,
            bulk.MEMBERS,
            by.habits,
        )
        steps = Reading(by, self.by_endpoint).read(operations, content, is_doubtful=is_doubtful)
        order = bulk.in_order(waits(steps))
        hashes: dict[str | None, Hashes] = defaultdict(dict)
        if any(step.awaits_hash for step in steps):
            # Hashing a password costs as much as fifty operations, so what is refused comes to light before.
            tried = [replace(step) for step in steps]
            with self.shared.database.rehearsal():
                _Writing(self.shared, by, tried, most).do(order)
            for step, outcome in zip(steps, tried, strict=True):
                if outcome.status and not outcome.refusal:
                    step.hash(by, hashes[step.id])
        with self.shared.database.transaction():
            _Writing(self.shared, by, steps, most, hashes).do(order)
            answer = self._answer(by, steps)
            if keep:
                keep(answer)
        return answer

    def _answer(self, by: Principal, steps: Sequence[Step]) -> bytes:
        versions: dict[str, str] = {}
        for of_type in self.by_endpoint.values():
            if ids := [s.id for s in steps if s.of_type is of_type and s.status and not s.refusal and s.id]:
                versions |= of_type.versions(by, ids)
        never = {s.id for s in steps if s.method == "POST" and (s.refusal or not s.status)}
        results = [self._result(step, versions, never, by.language) for step in steps if step.status]
        return orjson.dumps({"schemas": [bulk.BULK_RESPONSE], "Operations": results})

    def _result(
        self, step: Step, versions: Mapping[str, str], never: Collection[str | None], language: str
    ) -> dict[str, Any]:
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
            result["response"] = step.refusal.body(language)
        return result


class _Writing:
    """The writing of one Bulk, within one transaction.

    ``hashes`` are those made of passwords, by the id of the resource; without them it is a rehearsal.
    """

    def __init__(
        self,
        shared: Shared,
        by: Principal,
        steps: Sequence[Step],
        most: int | None,
        hashes: Mapping[str | None, Hashes] | None = None,
    ) -> None:
        self.shared = shared
        self.by = by
        self.steps = steps
        self.most = most
        self.hashes = hashes
        self.refused = 0
        self.ends = time.monotonic() + limits.BULK_SECONDS
        self.batch: list[Step] = []

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
        if len(numbers) > 1 or step.refusal or not isinstance(step.made, New) or step.points_to():
            return False
        if self.batch and self.batch[0].of_type is not step.of_type:
            return False
        needed = [self.steps[number] for number in step.needs]
        if any(not need.status or need.refusal for need in needed):
            return False
        if self._await_hashes([step]):
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

    def _do_one(self, step: Step) -> None:
        status = 0
        if not step.refusal:
            with refusing(step):
                if time.monotonic() > self.ends:
                    raise ScimError(503, say("The operations before it took too long. Send this one again."))
                self._check_needs(step)
                self._hash([step], lambda: self._write(step))
                with self.shared.database.savepoint():
                    status = self._write(step)
        self._finish(step, status)

    def _check_needs(self, step: Step) -> None:
        failed = [number for number in sorted(step.needs) if self.steps[number].refusal]
        if failed:
            detail = say("Operation {number}, which creates what this one refers to, failed.", number=failed[0] + 1)
            raise ScimError(409, detail)

    def _do_circle(self, numbers: Sequence[int]) -> None:
        """Do operations that refer to one another, all or none."""
        steps = [self.steps[number] for number in numbers]
        try:
            ordered = _by_rows(steps)
            self._hash(steps, lambda: self._write_circle(ordered))
            with self.shared.database.savepoint():
                self._write_circle(ordered)
        except _CircleFailed:
            failed = ScimError(409, say("The operations that refer to this one and to which it refers failed."))
            for step in steps:
                if not step.refusal:
                    step.refuse(failed)
        for step in steps:
            self._finish(step, 201)

    def _await_hashes(self, steps: Sequence[Step]) -> bool:
        """Tell whether a password must be hashed before it is written; in a rehearsal none is."""
        return self.hashes is not None and any(step.awaits_hash for step in steps)

    def _hash(self, steps: Sequence[Step], write: Callable[[], object]) -> None:
        """Hash what the rehearsal refused, perhaps for a version that passwords have raised since, if it fits now."""
        if self.hashes is not None and self._await_hashes(steps):
            with self.shared.database.rehearsal():
                write()
            for step in steps:
                step.hash(self.by, self.hashes[step.id])

    def _write_circle(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if not step.refusal:
                with refusing(step):
                    self._check_needs(step)
                    self._write(step)
            if step.refusal:
                raise _CircleFailed

    def _write(self, step: Step) -> int:
        """Do one operation and return the status of its success."""
        assert step.of_type
        assert step.id
        match step.made:
            case New():
                step.of_type.insert_one(self.by, step.made)
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

    def _finish(self, step: Step, status: int) -> None:
        step.status = step.refusal.status if step.refusal else status
        self.refused += step.refusal is not None


class _CircleFailed(Exception):
    """One of several operations that refer to one another failed."""


def _by_rows(steps: Sequence[Step]) -> list[Step]:
    """Return the operations of a circle so that those that must be there come before what points to them.

    Only what a document says of others may come before them. Raises _CircleFailed when nothing can be first.
    """
    numbers = {step.id: number for number, step in enumerate(steps)}
    order = bulk.in_order([{numbers[id] for id in step.points_to() if id in numbers} for step in steps])
    for circle in order:
        if len(circle) > 1:
            for number in circle:
                steps[number].refuse(ScimError(409, say("Groups that contain one another cannot be created.")))
            raise _CircleFailed
    return [steps[number] for (number,) in order]
