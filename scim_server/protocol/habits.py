"""Which habits do clients have that leave the RFC, and which of them are accepted?

A message is read as the RFC says. Only one that is refused so is brought into the form that its sender means, by the
chain of `compatibility`, and read again: no habit changes what a message of the RFC does.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from scim_server.protocol.errors import ScimError

_Message = TypeVar("_Message")
_Read = TypeVar("_Read")


class Habit(NamedTuple):
    """One way in which clients leave the RFC."""

    name: str
    meaning: str
    clients: str


HABITS = (
    Habit("endpoint-case", "/users for /Users", "hand-written scripts"),
    Habit("schemas", "schemas missing, null, or with URNs that the server does not know", "authentik, Entra ID"),
    Habit("operation-case", 'op "Add", "Replace" or "Remove"', "Entra ID"),
    Habit("list-or-one", "a list of one for a single value, one object for a list", "Entra ID, OneLogin"),
    Habit("flat-names", 'members such as "name.givenName" or "URN:attribute"', "Entra ID"),
    Habit("short-names", "an extension's attribute without its URN", "Entra ID"),
    Habit("unknown-attributes", "attributes that the server does not know; they are ignored", "OneLogin, SAP"),
    Habit(
        "read-only-members",
        "other values of id, groups and the like in a PATCH without a path; ignored",
        "clients that send a whole resource",
    ),
    Habit("empty-text", '"" for an optional attribute; it is cleared', "Entra ID"),
    Habit("text-for-object", 'text for an object with a value, such as "manager": "id"', "Entra ID"),
    Habit("text-for-boolean", '"True" or "False" for true or false', "Entra ID, Keycloak"),
    Habit("text-for-number", '"5" for 5', "hand-written scripts"),
    Habit("values-to-remove", "remove with a value; only that is removed", "Entra ID, authentik"),
    Habit("filtered-element", "add or replace at attribute[filter] where none matches; it is made", "Entra ID"),
    Habit("unquoted-operand", "an operand of a filter without double quotes", "authentik, Entra ID"),
    Habit("filter-after-brackets", 'emails[type eq "work"].value eq "x" as a filter', "Entra ID"),
)
"""Every habit, in the order in which messages are freed from them."""
ALL = frozenset(habit.name for habit in HABITS)


@dataclass(slots=True)
class Habits:
    """The habits that are accepted in a request, and those that it had."""

    accepted: frozenset[str] = frozenset()
    used: set[str] = field(default_factory=set)

    def accepts(self, name: str) -> bool:
        """Tell whether a habit that a message has is accepted, and note it."""
        assert name in ALL
        if name not in self.accepted:
            return False
        self.used.add(name)
        return True

    def read(
        self, strictly: Callable[[_Message], _Read], message: _Message, meant: Callable[[_Message, "Habits"], _Message]
    ) -> _Read:
        """Read a message as the RFC says or, if it is refused so, what is ``meant`` by it.

        Raises the refusal of what is meant, or the first one when the message has no accepted habit.
        """
        try:
            return strictly(message)
        except ScimError:
            if not self.accepted:
                raise
            found = Habits(self.accepted)
            clear = meant(message, found)
            if not found.used:
                raise
        read = strictly(clear)
        self.used |= found.used
        return read


def read_accepted(text: str) -> frozenset[str]:
    """Return the habits that a setting accepts: ``all``, ``strict`` for none, names, and ``-name`` for all but one.

    Raises ValueError with a phrase for what is neither.
    """
    accepted: set[str] = set()
    for name in (part.strip() for part in text.split(",")):
        if name in ("all", "strict"):
            accepted = set(ALL) if name == "all" else set()
        elif name.removeprefix("-") not in ALL:
            raise ValueError(f"must be all, strict, or names out of {', '.join(habit.name for habit in HABITS)}")
        elif name.startswith("-"):
            accepted.discard(name[1:])
        else:
            accepted.add(name)
    return frozenset(accepted)


def shown_accepted(accepted: frozenset[str]) -> str:
    """Return what `read_accepted` reads as these habits, in its shortest form."""
    if not accepted:
        return "strict"
    missing = [f"-{habit.name}" for habit in HABITS if habit.name not in accepted]
    if len(missing) <= len(accepted):
        return ",".join(["all", *missing])
    return ",".join(habit.name for habit in named(accepted))


def named(names: Collection[str]) -> list[Habit]:
    """Return the habits with these names, in the order of the chain."""
    return [habit for habit in HABITS if habit.name in names]
