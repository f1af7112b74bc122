"""How does a made-up company get into the database? Through what serves SCIM, in batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from scim_server.demo.company import Company, with_references
from scim_server.protocol.validation import schemas_in_use
from scim_server.resources.base import Resources, new_id
from scim_server.resources.users import ENTERPRISE
from scim_server.resources.values import New
from scim_server.tokens import Principal

_BATCH = 1000
_ID_BYTES = 16


def load(resources: Mapping[str, Resources], by: Principal, company: Company, progress: Callable[[int], None]) -> None:
    """Create the company's users, services and groups, each batch in a transaction. Raises what a POST raises.

    ``progress`` is told of how many resources each batch was.
    """
    users, services, groups = _Ids(), _Ids(), _Ids()
    _load(resources["User"], by, _people(company, users), users, progress)
    _load(resources["Service"], by, company.services(), services, progress)
    _load(resources["Group"], by, _teams(company, users, services, groups), groups, progress)


class _Ids:
    """The ids of what was made, by its number from 0: a million of them as text would fill the memory."""

    def __init__(self) -> None:
        self._packed = bytearray()

    def add(self, id: str) -> None:
        self._packed += UUID(id).bytes

    def __getitem__(self, number: int) -> str:
        return str(UUID(bytes=bytes(self._packed[number * _ID_BYTES : (number + 1) * _ID_BYTES])))

    def some(self, numbers: Iterable[int]) -> list[str]:
        return [self[number] for number in numbers]


def _people(company: Company, ids: _Ids) -> Iterator[dict[str, Any]]:
    for number, document in enumerate(company.people()):
        manager = company.manager_of(number)
        if manager is not None:
            document[ENTERPRISE]["manager"] = {"value": ids[manager]}
        yield document


def _teams(company: Company, users: _Ids, services: _Ids, groups: _Ids) -> Iterator[dict[str, Any]]:
    for team in company.teams():
        yield with_references(team, users.some(team.users), groups.some(team.groups), services.some(team.services))


def _load(
    of_type: Resources,
    by: Principal,
    documents: Iterable[dict[str, Any]],
    ids: _Ids,
    progress: Callable[[int], None],
) -> None:
    drawn = iter(documents)
    while batch := list(islice(_made(of_type, by, drawn, ids), _BATCH)):
        with of_type.shared.database.transaction():
            refusals = of_type.insert(by, batch, most=1)
            if refusal := next(filter(None, refusals), None):
                raise refusal
        progress(len(batch))


def _made(of_type: Resources, by: Principal, documents: Iterable[dict[str, Any]], ids: _Ids) -> Iterator[New]:
    """Yield what is to be inserted; a document may name what was drawn before it."""
    for document in documents:
        id = new_id()
        ids.add(id)
        document["schemas"] = schemas_in_use(of_type.resource_type, document)
        yield of_type.new(by, of_type.draft(by, document), id)
