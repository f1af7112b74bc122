"""What does a file change, and what keeps it from being applied?

Everything is looked up and checked before anything is written. Then all rows are written in one transaction, through
the functions that SCIM uses, or none.
"""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from scim_server.csv_accounts.cells import joined_names
from scim_server.csv_accounts.columns import ADDRESS, COLUMNS, DELETION, GROUPS, MOBILE, VALID_UNTIL, Column, Document
from scim_server.csv_accounts.exporting import account_parts, groups_of, shown
from scim_server.csv_accounts.problems import Problem, Refused, Unfit
from scim_server.csv_accounts.reading import Row, Table
from scim_server.protocol import template
from scim_server.protocol.address import is_address
from scim_server.protocol.errors import ScimError
from scim_server.protocol.limits import RESOURCE_BYTES
from scim_server.protocol.operations import PATCH_OP
from scim_server.protocol.text import check_text, code_point, folded, invisible
from scim_server.protocol.types import read_string
from scim_server.protocol.wording import Text, say
from scim_server.resources.accounts import ACCOUNT, ends_before_it_begins
from scim_server.resources.base import Resources, new_id
from scim_server.resources.groups import MEMBERS
from scim_server.resources.values import New, Patch
from scim_server.storage import documents
from scim_server.storage.documents import Stored
from scim_server.tokens import Principal, scope_prefix

CREATE, EDIT, DELETE, UNTOUCHED = "create", "edit", "delete", "untouched"
ACTIONS = (CREATE, EDIT, DELETE, UNTOUCHED)
_CLASSES = {403: "forbidden", 409: "taken"}
_Groups = Mapping[str, Mapping[str, str]]
"""For each name that is written in a file, the groups that have it: their names by their ids."""


@dataclass(slots=True)
class Step:
    """What becomes of one row's account: what its cells said before and say then, as far as they change."""

    row: Row
    action: str
    id: str
    address: str
    before: dict[Column, str] = field(default_factory=dict)
    after: dict[Column, str] = field(default_factory=dict)
    made: New | Patch | None = None
    joins: Collection[str] = ()
    """The ids of groups that the account is put into."""
    leaves: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done, or in a dry run would have been, row by row."""

    table: Table
    steps: list[Step]
    is_dry: bool

    @property
    def counts(self) -> dict[str, int]:
        """Return how many rows there were of each action."""
        actions = [step.action for step in self.steps]
        return {action: actions.count(action) for action in ACTIONS}

    def body(self) -> dict[str, Any]:
        """Return the outcome as JSON; columns are named as in the file."""
        return {"dryRun": self.is_dry, "counts": self.counts, "rows": [self._row(step) for step in self.steps]}

    def _row(self, step: Step) -> dict[str, Any]:
        row: dict[str, Any] = {"row": step.row.number, "action": step.action, "address": step.address}
        if not (self.is_dry and step.action == CREATE):
            row["id"] = step.id
        for name, cells in (("before", step.before), ("after", step.after)):
            if cells:
                row[name] = {self.table.names[column]: cell for column, cell in cells.items()}
        return row


class Import:
    """Applies files to the accounts of the caller's tenant."""

    def __init__(self, kinds: Mapping[str, Resources]) -> None:
        self.users = kinds["User"]
        self.groups = kinds["Group"]

    def run(
        self, by: Principal, table: Table, *, is_dry: bool, progress: Callable[[int], None] = lambda _: None
    ) -> Outcome:
        """Apply a file, or try what that would do; ``progress`` is told how many rows were done.

        Raises Refused with every error.
        """
        database = self.users.shared.database
        with database.snapshot():
            # What can be refused is refused without keeping other writers waiting.
            _Planning(self, by, table).steps()
        with database.rehearsal() if is_dry else database.transaction():
            steps = _Planning(self, by, table).steps()
            _Writing(self, by, table, progress).do(steps)
        return Outcome(table, steps, is_dry)


class _Planning:
    """The checks of one file against the accounts and groups as they are."""

    def __init__(self, what: Import, by: Principal, table: Table) -> None:
        self.users = what.users
        self.by = by
        self.table = table
        self.zone = ZoneInfo(by.tenant.time_zone)
        self.order = {name: number for number, name in enumerate(table.names.values())}
        self.problems = list(table.problems)
        self.accounts = self._accounts()
        self.groups_named = self._groups(what.groups)
        self.groups_scope = f"{scope_prefix(what.groups.resource_type)}:write"
        self.seen: dict[str, int] = {}
        """The row of each address."""
        self.first = 0
        """How many problems were found before the row that is looked at."""

    def _accounts(self) -> dict[str, Stored]:
        """Return the accounts that the file names, by the comparison key of their address. One statement."""
        addresses = [row.cells[ADDRESS] for row in self.table.rows]
        keys = {_key(text) for address in addresses for text in (address, address.strip())}
        scope, parts = self.users.scope(self.by), account_parts(self.users)
        return dict(documents.having(self.users.shared.database, scope, "user_name", keys, parts))

    def _groups(self, groups: Resources) -> _Groups:
        """Return the groups that the file names; letter case counts where it tells some apart. One statement."""
        names = {name for row in self.table.rows for name in row.groups}
        keys = {_key(text) for name in names for text in (name, name.strip())}
        found: dict[str, dict[str, str]] = {}
        self.group_order: dict[str, int] = {}
        for key, stored in documents.having(groups.shared.database, groups.scope(self.by), "display_name", keys):
            self.group_order[stored.id] = stored.key
            found.setdefault(key, {})[stored.id] = template.stored(stored.template)["displayName"]
        named: dict[str, dict[str, str]] = {}
        for name in names:
            like = found.get(_key(name)) or found.get(_key(name.strip()), {})
            named[name] = {id: shown for id, shown in like.items() if shown == name} or like
        return named

    def steps(self) -> list[Step]:
        """Return what the file does. Raises Refused."""
        steps = [step for row in self.table.rows if (step := self._step(row))]
        if self.problems:
            raise Refused(self.problems)
        return steps

    def _problem(self, row: Row, column: Column, unfit: Unfit) -> None:
        self.problems.append(Problem(row.number, self.table.names[column], unfit.value_class, unfit.advice))

    def _step(self, row: Row) -> Step | None:
        """Return what a row does, None if something is wrong with it."""
        self.first = len(self.problems)
        address = row.cells[ADDRESS]
        known = self.accounts.get(_key(address)) or self.accounts.get(_key(address.strip()))
        is_deletion = self._is_deletion(row)
        try:
            self._check_address(row, known, is_deletion=is_deletion)
        except Unfit as unfit:
            self._problem(row, ADDRESS, unfit)
        step = self._upsert(row, known) if not is_deletion else self._deletion(row, known) if known else None
        found = self.problems[self.first :]
        self.problems[self.first :] = sorted(found, key=lambda problem: self.order.get(problem.column, -1))
        return None if found else step

    def _is_deletion(self, row: Row) -> bool:
        try:
            self._check_cell(DELETION, row.cells[DELETION])
            return DELETION.canonical(row.cells[DELETION]) == "1"
        except Unfit as unfit:
            self._problem(row, DELETION, unfit)
        return False

    def _check_address(self, row: Row, known: Stored | None, *, is_deletion: bool) -> None:
        """Refuse an address that is missing, unfit, or in the file twice. Raises Unfit."""
        self._check_cell(ADDRESS, row.cells[ADDRESS])
        address = row.cells[ADDRESS].strip()
        if known is None and is_deletion:
            advice = say("There is no account with this address, so it cannot be deleted. Take the row away.")
            raise Unfit("unknownAddress", advice)
        if known is None and (char := invisible(address)):
            phrase = say("must not contain the invisible character {char}", char=code_point(char))
            raise self._forbidden(ADDRESS, phrase)
        if known is None and not is_address(address):
            raise Unfit("notAnAddress", say("Write an e-mail address, such as taro@example.com."))
        first = self.seen.setdefault(known.id if known else folded(address), row.number)
        if first != row.number:
            advice = say("Write each address once; row {first} has this one already.", first=first)
            raise Unfit("repeatedAddress", advice)

    def _deletion(self, row: Row, known: Stored) -> Step:
        document = template.stored(known.template)
        cells = shown(document, groups_of(known).values(), self.zone)
        del cells[DELETION]
        with _refusing(row, self.problems):
            self.users.check(self.by, document, None)
        return Step(row, DELETE, known.id, document["userName"], before=cells)

    def _upsert(self, row: Row, known: Stored | None) -> Step | None:
        old = template.stored(known.template) if known else {}
        own = groups_of(known) if known else {}
        cells = shown(old, own.values(), self.zone) if known else {}
        new = copy.deepcopy(old)
        after: dict[Column, str] = {}
        wanted = own
        for column in COLUMNS:
            cell = row.cells[column]
            if column in (ADDRESS, DELETION) or (known and cell == cells[column]):
                continue
            try:
                self._check_cell(column, cell)
                if column is GROUPS:
                    wanted = self._resolved(row)
                    text = joined_names(wanted.values())
                else:
                    text = column.canonical(cell) if cell.strip() else ""
                if not known or text != cells[column]:
                    column.put(new, text, self.zone)
                    after[column] = text
            except Unfit as unfit:
                self._problem(row, column, unfit)
        new = {name: value for name, value in new.items() if value != {}}
        self._check_together(row, old, new)
        if known is None:
            return self._creation(row, new, after, wanted)
        is_moved = wanted.keys() != own.keys()
        if old == new and not is_moved:
            return Step(row, UNTOUCHED, known.id, old["userName"])
        step = Step(row, EDIT, known.id, old["userName"], {column: cells[column] for column in after}, after)
        step.joins, step.leaves = wanted.keys() - own.keys(), own.keys() - wanted.keys()
        if old != new:
            step.made = self._made(row, lambda: self._edit(old, new))
        return step

    def _edit(self, old: Document, new: Document) -> Patch:
        self.users.check(self.by, old, new)
        return self.users.draft_patch(self.by, _patch(list(_operations("", old, new))))

    def _check_cell(self, column: Column, cell: str) -> None:
        """Refuse a cell that must not be empty, or holds what no text may hold. Raises Unfit."""
        if not cell.strip() and self._is_required(column):
            raise _empty()
        try:
            check_text(cell, self.table.names[column])
            read_string(cell)
        except ScimError as error:
            raise Unfit("forbiddenCharacter", error.detail) from None
        except ValueError as problem:
            raise self._forbidden(column, problem.args[0]) from None

    def _forbidden(self, column: Column, phrase: Text) -> Unfit:
        advice = say("{problems}.", problems=say("{path} {phrase}", path=self.table.names[column], phrase=phrase))
        return Unfit("forbiddenCharacter", advice)

    def _resolved(self, row: Row) -> dict[str, str]:
        """Return the groups that a row names, in the order of creation. Raises Unfit."""
        if not row.groups:
            raise _empty()
        if not self.by.may(self.groups_scope):
            advice = say("To change the groups of an account needs the scope {scope}.", scope=self.groups_scope)
            raise Unfit("forbidden", advice)
        found: dict[str, str] = {}
        for number, name in enumerate(row.groups, 1):
            named = self.groups_named.get(name)
            if not named:
                advice = say("Write the names of registered groups; name {number} is none.", number=number)
                raise Unfit("unknownGroup", advice)
            if len(named) > 1:
                advice = say("Several groups have name {number}; give each group a name of its own.", number=number)
                raise Unfit("ambiguousGroup", advice)
            found |= named
        return {id: found[id] for id in sorted(found, key=self.group_order.__getitem__)}

    def _check_together(self, row: Row, old: Document, new: Document) -> None:
        """Refuse cells that do not go with what others change."""
        if old.get(ACCOUNT) != new.get(ACCOUNT) and ends_before_it_begins(new):
            advice = say("Write a day that is not before the one on which the account becomes valid.")
            self._problem(row, VALID_UNTIL, Unfit("wrongOrder", advice))
        are_changed = old and old.get("phoneNumbers") != new.get("phoneNumbers")
        if are_changed and row.cells[MOBILE] == MOBILE.show(old, self.zone) == "" and self._is_required(MOBILE):
            self._problem(row, MOBILE, _empty())

    def _is_required(self, column: Column) -> bool:
        return column.is_required(self.by.tenant.policies)

    def _creation(self, row: Row, document: Document, after: dict[Column, str], groups: Mapping[str, str]) -> Step:
        address = row.cells[ADDRESS].strip()
        step = Step(row, CREATE, new_id(), address, after={ADDRESS: address} | after, joins=groups)
        urns = [name for name in document if name.startswith("urn:")]
        body = {"schemas": [self.users.resource_type.schema.id, *urns], "userName": address} | document
        step.made = self._made(row, lambda: self._new(body, step.id))
        return step

    def _new(self, body: Document, id: str) -> New:
        made = self.users.new(self.by, self.users.draft(self.by, body), id)
        if len(made.content.template) > RESOURCE_BYTES:
            detail = say(
                "The {kind} would be larger than the limit ({most} bytes).", kind=self.users.name, most=RESOURCE_BYTES
            )
            raise ScimError(413, detail)
        return made

    def _made(self, row: Row, make: Callable[[], New | Patch]) -> New | Patch | None:
        """Return what is written of a row's account, None if the schema refuses it or the row is wrong anyway."""
        if len(self.problems) == self.first:
            with _refusing(row, self.problems):
                return make()
        return None


class _Writing:
    """The writing of one file, within one transaction."""

    def __init__(self, what: Import, by: Principal, table: Table, progress: Callable[[int], None]) -> None:
        self.users, self.groups = what.users, what.groups
        self.by = by
        self.table = table
        self.progress = progress
        self.problems: list[Problem] = []

    def do(self, steps: Sequence[Step]) -> None:
        """Write what the steps say. Raises Refused with the errors of all of them."""
        by_action = {action: [step for step in steps if step.action == action] for action in ACTIONS}
        for step in by_action[DELETE]:
            with _refusing(step.row, self.problems):
                self.users.remove(self.by, step.id)
            self.progress(1)
        self._insert(by_action[CREATE])
        for step in by_action[EDIT]:
            with _refusing(step.row, self.problems):
                if isinstance(step.made, Patch):
                    self.users.change(self.by, step.id, step.made)
            self.progress(1)
        if not self.problems:
            self._move(steps)
        if self.problems:
            raise Refused(self.problems)
        self.progress(len(by_action[UNTOUCHED]))

    def _insert(self, steps: Sequence[Step]) -> None:
        created = [step.made for step in steps if isinstance(step.made, New)]
        for step, refusal in zip(steps, self.users.insert(self.by, created), strict=True):
            if refusal:
                self.problems.append(_refusal(step.row, refusal))
        self.progress(len(steps))

    def _move(self, steps: Sequence[Step]) -> None:
        """Put accounts into groups and take them out, each group changed once, as PATCH of it does."""
        joins: dict[str, list[Step]] = {}
        leaves: dict[str, list[Step]] = {}
        for step in steps:
            for moves, ids in ((joins, step.joins), (leaves, step.leaves)):
                for id in ids:
                    moves.setdefault(id, []).append(step)
        for id in sorted({*joins, *leaves}):
            operations: list[dict[str, Any]] = [
                {"op": "remove", "path": f'{MEMBERS}[value eq "{step.id}"]'} for step in leaves.get(id, ())
            ]
            if id in joins:
                operations.append({"op": "add", "path": MEMBERS, "value": [{"value": step.id} for step in joins[id]]})
            with _refusing((joins.get(id) or leaves[id])[0].row, self.problems):
                self.groups.change(self.by, id, self.groups.draft_patch(self.by, _patch(operations)))


@contextmanager
def _refusing(row: Row, problems: list[Problem]) -> Iterator[None]:
    """Let what a row is refused with be one of the errors of the file."""
    try:
        yield
    except ScimError as error:
        problems.append(_refusal(row, error))


def _refusal(row: Row, error: ScimError) -> Problem:
    return Problem(row.number, "", _CLASSES.get(error.status, "refused"), error.detail)


def _empty() -> Unfit:
    return Unfit("empty", say("Fill in this cell."))


def _key(text: str) -> str:
    """Return the comparison key of a text, none for one that no resource has: folding that could take long."""
    try:
        return folded(read_string(text))
    except ValueError:
        return ""


def _patch(operations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"schemas": [PATCH_OP], "Operations": operations}


def _operations(urn: str, old: Document, new: Document) -> Iterator[dict[str, Any]]:
    """Yield the operations that make one document of another, whose attributes differ as far as columns go."""
    for name in [*new, *(name for name in old if name not in new)]:
        path = f"{urn}:{name}" if urn else name
        if old.get(name) == new.get(name):
            continue
        if name.startswith("urn:"):
            yield from _operations(name, old.get(name, {}), new.get(name, {}))
        elif name in new:
            yield {"op": "replace", "path": path, "value": new[name]}
        else:
            yield {"op": "remove", "path": path}
